#include "map/fault_thread.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <span>
#include <system_error>
#include <utility>

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
  std::unique_ptr<FaultThread> started(new FaultThread(userfault, sink, bell));
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
  QUIRE_CHECK(posted_.load() == nullptr);
}

void FaultThread::post(Posted& posted) noexcept {
  posting_.fetch_add(1);
  Posted* last = posted_.load();
  do {
    posted.next_ = last;
  } while (!posted_.compare_exchange_weak(last, &posted));
  // Who finds postings there knows that the bell was rung for them, or will be.
  if (last == nullptr) ring();
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
  for (;;) {
    const sync::Clock::time_point next = sink_.tick();
    // Before looking for work: what was there when stop() was called is done.
    const bool last = stopping_.load();
    const bool faults = wait(last ? sync::Clock::time_point{} : next);
    std::size_t work = faults ? hand_over() : 0;
    work += run_posted();
    if (last && work == 0) return;
  }
}

// Until there is something to do, or it is that time. Returns whether there are faults.
bool FaultThread::wait(sync::Clock::time_point until) noexcept {
  std::array<pollfd, 2> fds = {pollfd{.fd = userfault_.fd(), .events = POLLIN, .revents = 0},
                               pollfd{.fd = bell_, .events = POLLIN, .revents = 0}};
  const int ready = ::poll(fds.data(), fds.size(), milliseconds_until(until));
  QUIRE_CHECK(ready >= 0 || errno == EINTR);
  if (ready <= 0) return false;
  if ((fds[1].revents & POLLIN) != 0) {
    // Before the postings are taken, so that one that comes later rings again.
    std::uint64_t rings = 0;
    QUIRE_CHECK(::read(bell_, &rings, sizeof rings) == sizeof rings);
  }
  return (fds[0].revents & POLLIN) != 0;
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
  Posted* last = posted_.exchange(nullptr);
  Posted* first = nullptr;
  while (last != nullptr) {
    Posted* const before = std::exchange(last->next_, first);
    first = std::exchange(last, before);
  }
  std::size_t count = 0;
  while (first != nullptr) {
    // From run() on it is somebody else's.
    Posted* const posted = std::exchange(first, first->next_);
    posted->run();
    ++count;
  }
  return count;
}

}  // namespace quire::map
