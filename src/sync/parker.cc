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

}  // namespace

// FUTEX_WAIT_BITSET takes an absolute time of CLOCK_MONOTONIC, which is what steady_clock reads.
bool Parker::Futex::wait(Word& word, std::uint32_t expected, Clock::time_point deadline) noexcept {
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
void Parker::Futex::wake(Word* word) noexcept {
  syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, nullptr, nullptr, 0);
}

void Parker::park() noexcept {
  const WaitStatus status = core_.wait(Clock::kNever);
  QUIRE_CHECK(status == WaitStatus::kReady);
}

WaitStatus Parker::park_until(const WaitLimit& limit) noexcept {
  return core_.park_until(limit);
}

void Parker::unpark() noexcept {
  core_.unpark();
}

}  // namespace quire::sync
