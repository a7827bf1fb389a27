#include "sync/parker.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "sync/check.h"

namespace quire::sync {
namespace {

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

timespec to_timespec(Clock::time_point when) noexcept {
  // The kernel refuses times before zero; both mean that the deadline has passed.
  const auto since_boot = std::max(when.time_since_epoch(), Clock::duration::zero());
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_boot);
  const std::chrono::nanoseconds rest = since_boot - seconds;
  return {static_cast<time_t>(seconds.count()), static_cast<long>(rest.count())};
}

// Sleeps while the word is `expected`. Returns false when the deadline has passed; true says
// nothing. FUTEX_WAIT_BITSET takes an absolute time of CLOCK_MONOTONIC, which is what steady_clock
// reads.
bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected,
                Clock::time_point deadline) noexcept {
  timespec time = {};
  const timespec* limit = nullptr;
  if (deadline != Clock::kNever) {
    time = to_timespec(deadline);
    limit = &time;
  }
  const long rc = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, limit,
                          nullptr, FUTEX_BITSET_MATCH_ANY);
  if (rc == 0) return true;
  QUIRE_CHECK(errno == ETIMEDOUT || errno == EAGAIN || errno == EINTR);
  return errno != ETIMEDOUT;
}

// The address only names the queue to the kernel, which does not read it: it may be gone by now,
// and whoever sleeps on a word that was put in its place looks at that word again and goes on
// sleeping.
void futex_wake(const std::atomic<std::uint32_t>* word) noexcept {
  syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, nullptr, nullptr, 0);
}

}  // namespace

void Parker::park() noexcept {
  const WaitStatus status = wait(Clock::kNever);
  QUIRE_CHECK(status == WaitStatus::kReady);
}

WaitStatus Parker::park_until(const WaitLimit& limit) noexcept {
  if (!limit.stop.stop_possible()) return wait(limit.deadline);
  WaitStatus status;
  {
    // Runs interrupt() here and now if the stop was requested already; once destroyed, it is not
    // running and will not run.
    std::stop_callback on_stop(limit.stop, [this]() noexcept { interrupt(); });
    status = wait(limit.deadline);
  }
  state_.fetch_and(~std::uint32_t{kInterrupt});
  return status;
}

// Leaves with kPermit clear if and only if it returns kReady and cleared it itself; kInterrupt
// stays.
WaitStatus Parker::wait(Clock::time_point deadline) noexcept {
  bool in_time = true;
  for (;;) {
    std::uint32_t state = state_.load();
    if (state & kPermit) {
      state_.fetch_and(~std::uint32_t{kPermit | kSleeping});
      return WaitStatus::kReady;
    }
    if ((state & kInterrupt) || !in_time) {
      // Giving up succeeds only from a state without a permit: one that comes first is taken.
      const WaitStatus status =
          (state & kInterrupt) ? WaitStatus::kInterrupted : WaitStatus::kTimedOut;
      if (state_.compare_exchange_strong(state, state & ~std::uint32_t{kSleeping})) return status;
      continue;
    }
    if (!(state & kSleeping) && !state_.compare_exchange_strong(state, state | kSleeping)) continue;
    in_time = futex_wait(state_, kSleeping, deadline);
  }
}

void Parker::unpark() noexcept {
  const std::atomic<std::uint32_t>* const word = &state_;
  // From here on the owner may take the permit and destroy the Parker.
  const std::uint32_t before = state_.fetch_or(kPermit);
  if ((before & kSleeping) && !(before & kPermit)) futex_wake(word);
}

// REQUIRES: the Parker outlives the call, as the stop callback's destructor sees to.
void Parker::interrupt() noexcept {
  if (state_.fetch_or(kInterrupt) & kSleeping) futex_wake(&state_);
}

}  // namespace quire::sync
