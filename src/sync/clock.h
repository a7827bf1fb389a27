// The time. In `sim` builds it is virtual: it stands still while anything can run, and jumps to the
// next deadline when nothing can.
#ifndef QUIRE_SYNC_CLOCK_H_
#define QUIRE_SYNC_CLOCK_H_

#include <chrono>

#include "quire/store.h"

namespace quire::sync {

struct Clock {
  using duration = std::chrono::steady_clock::duration;
  using time_point = std::chrono::steady_clock::time_point;

  static constexpr time_point kNever = time_point::max();

  // Monotonic, for deadlines.
  static time_point now() noexcept;
  // The same, at the kernel's tick (1 to 10 ms) and never ahead of now(): cheaper, for ages.
  static time_point coarse_now() noexcept;
  // Of the day, for time stamps. Coarse: the kernel's tick, as file systems use.
  static TimeSpec wall() noexcept;
};

// `timeout` from now, or kNever if that is out of range.
inline Clock::time_point deadline_after(Clock::duration timeout) noexcept {
  const Clock::time_point now = Clock::now();
  return timeout >= Clock::kNever - now ? Clock::kNever : now + timeout;
}

}  // namespace quire::sync

#endif  // QUIRE_SYNC_CLOCK_H_
