#include "sync/random.h"

#include <sys/random.h>

#include "sync/clock.h"
#include "sync/thread_local.h"

namespace quire::sync {
namespace {

// SplitMix64: a counter through a 64-bit mixing function (Steele, Lea and Flood, "Fast splittable
// pseudorandom number generators", OOPSLA 2014). One stream per thread, so that nothing is shared.
class SplitMix64 {
 public:
  SplitMix64() noexcept {
    if (getrandom(&state_, sizeof state_, GRND_NONBLOCK) != sizeof state_) {
      // Early in boot. Jitter and sampling can live with the time and this thread's address.
      state_ = static_cast<std::uint64_t>(Clock::now().time_since_epoch().count()) ^
               reinterpret_cast<std::uintptr_t>(this);
    }
  }

  std::uint64_t next() noexcept {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

 private:
  std::uint64_t state_ = 0;
};

struct RandomTag {};

}  // namespace

std::uint64_t random_u64() noexcept {
  return ThreadLocal<SplitMix64, RandomTag>::get().next();
}

}  // namespace quire::sync
