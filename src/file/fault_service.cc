#include "file/fault_service.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <new>
#include <span>
#include <utility>

#include "file/file_view.h"
#include "file/fork_guard.h"
#include "file/mapping_table.h"
#include "file/page_fault.h"
#include "sync/check.h"
#include "sync/thread.h"

namespace quire::file {
namespace {

struct OfWay {
  FaultService* service = nullptr;
  std::size_t uses = 0;
};
struct Process {
  sync::Mutex mutex;
  std::array<OfWay, FaultWay::kCount> ways GUARDED_BY(mutex);
  unsigned generation GUARDED_BY(mutex) = 0;
  map::FeatureSet refused GUARDED_BY(mutex);
};
// Outlives the process's other statics: a mapping may be one of them.
Process& process() {
  static auto* const process = new Process;
  return *process;
}

}  // namespace

FaultService::Use::~Use() {
  if (service_ != nullptr) service_->leave();
}

Result<FaultService::Use> FaultService::of_process(FaultWay way) {
  Process& here = process();
  sync::MutexLock lock(here.mutex);
  if (here.generation != fork_generation()) {
    here.ways = {};
    here.generation = fork_generation();
  }
  OfWay& of_way = here.ways[way.index()];
  if (of_way.service == nullptr) {
    Result<std::unique_ptr<map::Userfault>> opened = map::Userfault::open(
        {.refuse = here.refused, .async_stores = way.async_stores, .in_thread = way.in_thread});
    if (!opened) return std::move(opened).error();
    auto* const service = new FaultService(way);
    service->userfault_ = std::move(*opened);
    Result<std::unique_ptr<map::FaultThread>> started =
        map::FaultThread::start(*service->userfault_, *service);
    if (!started) {
      delete service;
      return std::move(started).error();
    }
    service->thread_ = std::move(*started);
    of_way.service = service;
  }
  ++of_way.uses;
  return Use(*of_way.service);
}

void FaultService::leave() noexcept {
  Process& here = process();
  sync::MutexLock lock(here.mutex);
  if (here.generation != fork_generation()) return;
  OfWay& of_way = here.ways[way_.index()];
  --of_way.uses;
  if (of_way.uses > 0 || thread_->is_here()) return;
  of_way.service = nullptr;
  thread_->stop();
  delete this;
}

void FaultService::refuse(map::FeatureSet features) noexcept {
  Process& here = process();
  for (;;) {
    {
      sync::MutexLock lock(here.mutex);
      const bool used = std::any_of(here.ways.begin(), here.ways.end(),
                                    [](const OfWay& of_way) { return of_way.uses > 0; });
      if (!used) {
        here.refused = features;
        for (OfWay& of_way : here.ways) {
          FaultService* const service = std::exchange(of_way.service, nullptr);
          if (service == nullptr) continue;
          service->thread_->stop();
          delete service;
        }
        return;
      }
    }
    // A fault that was answered is ending.
    sync::yield_thread();
  }
}

void FaultService::fault(const map::Fault& fault) noexcept {
  const std::span<std::byte> page(fault.page, limits::kPageBytes);
  MappedRange range = MappingTable::of_process().head(page);
  const auto view = std::dynamic_pointer_cast<FileView>(std::move(range.memory));
  if (view == nullptr) {
    // It is being unmapped: the access is repeated, into whatever is there by then.
    userfault_->wake(page);
    return;
  }
  PageFault::answer(*this, view, cache::page_index(range.offset), fault);
}

void FaultService::note_failed(const std::shared_ptr<FileView>& view) noexcept {
  try {
    failed_[view.get()] = view;
  } catch (const std::bad_alloc&) {
    // It fails until somebody asks for it by Mapping::advise().
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
