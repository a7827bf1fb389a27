#include "file/fault_service.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "file/file_view.h"
#include "file/fork_guard.h"
#include "file/mapping_table.h"
#include "file/page_fault.h"
#include "quire/limits.h"
#include "sync/check.h"
#include "sync/thread.h"

namespace quire::file {
namespace {

struct OfWay {
  FaultService* service = nullptr;
  std::size_t uses = 0;
};
// A fork may leave the mutex locked for ever: who was in it is not in the child, which has a Process of its own.
struct Process {
  explicit Process(unsigned of) : generation(of) {}

  const unsigned generation;
  sync::Mutex mutex;
  std::array<OfWay, FaultWay::kCount> ways GUARDED_BY(mutex);
  map::FeatureSet refused GUARDED_BY(mutex);
};
// Never freed: a mapping may be one of the program's statics, and what a parent had is used by nobody.
constinit sync::Atomic<Process*> current{nullptr};
Process& process() {
  Process* here = current.load();
  while (here == nullptr || here->generation != fork_generation()) {
    auto made = std::make_unique<Process>(fork_generation());
    if (current.compare_exchange_strong(here, made.get())) return *made.release();
  }
  return *here;
}

}  // namespace

FaultService::Use::~Use() {
  if (service_ != nullptr) service_->leave();
}

sync::Mutex& FaultService::mutex_of_process() noexcept {
  return process().mutex;
}

Result<FaultService::Use> FaultService::of_process(FaultWay way) {
  Process& here = process();
  sync::MutexLock lock(here.mutex);
  OfWay& of_way = here.ways[way.index()];
  if (of_way.service == nullptr) {
    Result<std::unique_ptr<map::Userfault>> opened = map::Userfault::open(
        {.refuse = here.refused, .async_stores = way.async_stores, .in_thread = way.in_thread});
    if (!opened) return std::move(opened).error();
    auto* const service = new (std::nothrow) FaultService(way);
    if (service == nullptr) return Error(std::errc::not_enough_memory, "answering faults");
    service->userfault_ = std::move(*opened);
    Status started;
    try {
      started = service->start();
    } catch (const std::bad_alloc&) {
      started = Error(std::errc::not_enough_memory, "starting the thread that answers faults");
    }
    if (!started) {
      delete service;
      return std::move(started).error();
    }
    of_way.service = service;
  }
  ++of_way.uses;
  return Use(*of_way.service);
}

Status FaultService::start() {
  Result<std::unique_ptr<map::FaultThread>> started = map::FaultThread::start(*userfault_, *this);
  if (!started) return std::move(started).error();
  thread_ = std::move(*started);
  return {};
}

void FaultService::leave() noexcept {
  if (generation_ != fork_generation()) return;
  {
    Process& here = process();
    sync::MutexLock lock(here.mutex);
    OfWay& of_way = here.ways[way_.index()];
    --of_way.uses;
    // The thread of any service: two that waited for each other to end would wait for ever.
    const bool answers = std::any_of(here.ways.begin(), here.ways.end(), [](const OfWay& other) {
      return other.service != nullptr && other.service->thread_->is_here();
    });
    if (of_way.uses > 0 || answers) return;
    of_way.service = nullptr;
  }
  // Not under the mutex: the last that the thread does may be to let go of a mapping of another service, at an address
  // that was one of ours, and so to come here.
  thread_->stop();
  delete this;
}

void FaultService::refuse(map::FeatureSet features) noexcept {
  Process& here = process();
  for (;;) {
    std::array<OfWay, FaultWay::kCount> ended;
    bool ends = false;
    {
      sync::MutexLock lock(here.mutex);
      const bool used = std::any_of(here.ways.begin(), here.ways.end(),
                                    [](const OfWay& of_way) { return of_way.uses > 0; });
      ends = !used;
      if (ends) {
        here.refused = features;
        ended = std::exchange(here.ways, {});
      }
    }
    if (ends) {
      for (const OfWay& of_way : ended) {
        if (of_way.service == nullptr) continue;
        of_way.service->thread_->stop();
        delete of_way.service;
      }
      return;
    }
    // A fault that was answered is ending.
    sync::yield_thread();
  }
}

void FaultService::fault(const map::Fault& fault) noexcept {
  const std::span<std::byte> page(fault.page, limits::kPageBytes);
  MappedRange range = MappingTable::of_process().head(page);
  const auto view = std::dynamic_pointer_cast<FileView>(std::move(range.memory));
  if (view == nullptr || &view->service() != this) {
    // It is being unmapped, or was, and the address is another service's by now, which is asked by itself and does not
    // keep this one: the access is repeated, into whatever is there.
    userfault_->wake(page);
    return;
  }
  PageFault::answer(*this, view, cache::page_index(range.offset), fault);
}

void FaultService::note_failed(const std::shared_ptr<FileView>& view) noexcept {
  try {
    failed_[view.get()] = view;
  } catch (const std::bad_alloc&) {
    // It fails until another page of the view does, File has copied something there, or it is unmapped.
  }
}

sync::Clock::time_point FaultService::tick() noexcept {
  if (failed_.empty()) return sync::Clock::kNever;
  const sync::Clock::time_point now = sync::Clock::now();
  sync::Clock::time_point next = sync::Clock::kNever;
  for (auto entry = failed_.begin(); entry != failed_.end();) {
    const std::shared_ptr<FileView> view = entry->second.lock();
    const sync::Clock::time_point at =
        view == nullptr ? sync::Clock::kNever : view->retry_failed(now);
    next = std::min(next, at);
    entry = at == sync::Clock::kNever ? failed_.erase(entry) : std::next(entry);
  }
  return next;
}

}  // namespace quire::file
