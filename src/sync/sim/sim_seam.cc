// The simulation's versions of Clock, Parker, Thread and random_u64.
#include <cstring>
#include <stop_token>
#include <utility>

#include "sync/check.h"
#include "sync/clock.h"
#include "sync/parker.h"
#include "sync/random.h"
#include "sync/sim/engine.h"
#include "sync/sim/fiber.h"
#include "sync/sim/hooks.h"
#include "sync/thread.h"

namespace quire::sync {
namespace {

// Runs begin at midnight, 1 January 2024.
constexpr std::int64_t kEpochSeconds = 1'704'067'200;
constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr std::size_t kNameMaxBytes = 15;  // the kernel's TASK_COMM_LEN, less the zero

}  // namespace

Clock::time_point Clock::now() noexcept {
  sim::yield_point(sim::Op::kClock);
  return sim::virtual_now();
}

Clock::time_point Clock::coarse_now() noexcept {
  return now();
}

TimeSpec Clock::wall() noexcept {
  const std::int64_t time = sim::virtual_now().time_since_epoch().count();
  return {kEpochSeconds + time / kNanosecondsPerSecond,
          static_cast<std::uint32_t>(time % kNanosecondsPerSecond)};
}

std::uint64_t random_u64() noexcept {
  return sim::engine_random();
}

void Parker::park() noexcept {
  const WaitStatus status = park_until({});
  QUIRE_CHECK(status == WaitStatus::kReady);
}

WaitStatus Parker::park_until(const WaitLimit& limit) noexcept {
  bool interrupted = false;
  std::stop_callback on_stop(limit.stop, [&interrupted]() noexcept { interrupted = true; });
  sim::Wait wait;
  wait.op = sim::Op::kPark;
  wait.ordinal = sim::ordinal_of(tag_);
  wait.ready = &permit_;
  wait.interrupted = &interrupted;
  wait.deadline = limit.deadline;
  sim::wait_point(wait);
  if (std::exchange(permit_, false)) return WaitStatus::kReady;
  return interrupted ? WaitStatus::kInterrupted : WaitStatus::kTimedOut;
}

void Parker::unpark() noexcept {
  sim::note(sim::Op::kUnpark, sim::ordinal_of(tag_));
  permit_ = true;
}

struct Thread::State {
  std::shared_ptr<sim::Fiber> fiber;
};

Thread::Thread() noexcept = default;
Thread::Thread(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Thread::Thread(Thread&&) noexcept = default;

Thread& Thread::operator=(Thread&& other) noexcept {
  QUIRE_CHECK(!joinable());
  state_ = std::move(other.state_);
  return *this;
}

Thread::~Thread() {
  QUIRE_CHECK(!joinable());
}

Result<Thread> Thread::start(const char* name, std::function<void()> body) {
  QUIRE_CHECK(std::strlen(name) <= kNameMaxBytes);
  auto state = std::make_unique<State>();
  state->fiber = sim::start_fiber(name, std::move(body));
  return Thread(std::move(state));
}

bool Thread::joinable() const noexcept {
  return state_ != nullptr;
}

void Thread::join() {
  QUIRE_CHECK(joinable());
  sim::Wait wait;
  wait.op = sim::Op::kJoin;
  wait.ordinal = state_->fiber->number();
  wait.ready = &state_->fiber->ended();
  sim::wait_point(wait);
  state_.reset();
}

void yield_thread() noexcept {
  sim::spin();
}

}  // namespace quire::sync
