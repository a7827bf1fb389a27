#include "sync/clock.h"

#include <time.h>

namespace quire::sync {

Clock::time_point Clock::now() noexcept {
  return std::chrono::steady_clock::now();
}

Clock::time_point Clock::coarse_now() noexcept {
  timespec time = {};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
  return time_point(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
}

TimeSpec Clock::wall() noexcept {
  timespec time = {};
  clock_gettime(CLOCK_REALTIME_COARSE, &time);
  return {time.tv_sec, static_cast<std::uint32_t>(time.tv_nsec)};
}

}  // namespace quire::sync
