#include "sync/clock.h"

#include <time.h>

namespace quire::sync {

Clock::time_point Clock::now() noexcept {
  return std::chrono::steady_clock::now();
}

TimeSpec Clock::wall() noexcept {
  timespec time = {};
  clock_gettime(CLOCK_REALTIME_COARSE, &time);
  return {time.tv_sec, static_cast<std::uint32_t>(time.tv_nsec)};
}

}  // namespace quire::sync
