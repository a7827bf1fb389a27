#include "map/fault_thread.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <new>
#include <span>
#include <system_error>
#include <utility>

#include "quire/limits.h"
#include "sync/check.h"

namespace quire::map {
namespace {

// As poll(2) takes it.
int milliseconds_until(sync::Clock::time_point when) noexcept {
  if (when == sync::Clock::kNever) return -1;
  const sync::Clock::time_point now = sync::Clock::now();
  if (when <= now) return 0;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(when - now).count();
  return static_cast<int>(std::min<std::int64_t>(left, 60'000));
}

}  // namespace

Result<std::unique_ptr<FaultThread>> FaultThread::start(Userfault& userfault, FaultSink& sink) {
  const int bell = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (bell < 0) return Error(std::error_code(errno, std::generic_category()), "eventfd");
  std::unique_ptr<FaultThread> started(new (std::nothrow) FaultThread(userfault, sink, bell));
  if (started == nullptr) {
    ::close(bell);
    return Error(std::errc::not_enough_memory, "starting a thread");
  }
  FaultThread* const self = started.get();
  Result<sync::Thread> thread = sync::Thread::start("quire-fault", [self] { self->run(); });
  if (!thread) return std::move(thread).error();
  started->thread_ = std::move(*thread);
  return started;
}

FaultThread::~FaultThread() {
  stop();
  ::close(bell_);
}

void FaultThread::stop() noexcept {
  if (!thread_.joinable()) return;
  stopping_.store(true);
  ring();
  thread_.join();
  // Who posted may not have returned from ringing yet. That takes one system call.
  while (posting_.load() != 0) sync::yield_thread();
  QUIRE_CHECK(posted_.empty());
}

void FaultThread::post(Posted& posted) noexcept {
  posting_.fetch_add(1);
  if (posted_.post(posted)) ring();
  posting_.fetch_sub(1);
}

void FaultThread::ring() noexcept {
  rings_.fetch_add(1);
  const std::uint64_t one = 1;
  // It can only be full after 2^64 - 2 rings without an answer.
  QUIRE_CHECK(::write(bell_, &one, sizeof one) == sizeof one);
}

bool FaultThread::is_here() const noexcept {
  return id_.load() == ::gettid();
}

void FaultThread::run() noexcept {
  id_.store(::gettid());
  // Whether what there was to do came soon after what was before.
  bool soon = false;
  for (;;) {
    const sync::Clock::time_point next = sink_.tick();
    // Before looking for work: what was there when stop() was called is done.
    const bool last = stopping_.load();
    if (work() > 0) continue;
    if (last) return;
    const sync::Clock::time_point began = sync::Clock::now();
    if (soon && spin(began, std::min(next, began + limits::kFaultSpin)) > 0) continue;
    sleep(next);
    soon = sync::Clock::now() - began < limits::kFaultSpin;
  }
}

// Does what there is. Returns how much that was.
std::size_t FaultThread::work() noexcept {
  const std::size_t faults = hand_over();
  return faults + run_posted();
}

// Looks for work from now until then. Returns how much was done.
std::size_t FaultThread::spin(sync::Clock::time_point now, sync::Clock::time_point until) noexcept {
  if (now < spins_again_) return 0;
  while (now < until && !stopping_.load()) {
    if (const std::size_t done = work(); done > 0) return done;
    const sync::Clock::time_point gave_way = sync::Clock::now();
    sync::yield_thread();
    now = sync::Clock::now();
    if (now - gave_way >= limits::kFaultSpinLost) {
      spins_again_ = now + limits::kFaultSpinPause;
      return 0;
    }
  }
  return 0;
}

// Until there is something to do, or it is that time.
void FaultThread::sleep(sync::Clock::time_point until) noexcept {
  std::array<pollfd, 2> fds = {pollfd{.fd = userfault_.fd(), .events = POLLIN, .revents = 0},
                               pollfd{.fd = bell_, .events = POLLIN, .revents = 0}};
  if (!posted_.may_sleep()) return;
  // stop() rings whether this sleeps or not.
  const int ready = ::poll(fds.data(), fds.size(), milliseconds_until(until));
  QUIRE_CHECK(ready >= 0 || errno == EINTR);
  posted_.woken();
  if (ready <= 0 || (fds[1].revents & POLLIN) == 0) return;
  std::uint64_t rings = 0;
  QUIRE_CHECK(::read(bell_, &rings, sizeof rings) == sizeof rings);
}

// Returns how many there were.
std::size_t FaultThread::hand_over() noexcept {
  std::array<Fault, kFaultsAtOnce> faults;
  const std::size_t count = userfault_.next(faults);
  for (const Fault& fault : std::span(faults).first(count)) sink_.fault(fault);
  return count;
}

// Those that were posted by now, in their order. Returns how many.
std::size_t FaultThread::run_posted() noexcept {
  std::size_t count = 0;
  Posted* next = posted_.take();
  while (next != nullptr) {
    Posted* const posted = std::exchange(next, PostedQueue::next_of(*next));
    posted->run();
    ++count;
  }
  return count;
}

}  // namespace quire::map
