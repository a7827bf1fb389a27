#include "sync/random.h"

#include <sys/random.h>

#include "sync/clock.h"
#include "sync/splitmix64.h"
#include "sync/thread_local.h"

namespace quire::sync {
namespace {

std::uint64_t system_seed() noexcept {
  std::uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed) {
    // Early in boot. Jitter and sampling can live with the time and this thread's stack address.
    seed = static_cast<std::uint64_t>(Clock::now().time_since_epoch().count()) ^
           reinterpret_cast<std::uintptr_t>(&seed);
  }
  return seed;
}

// One stream per thread, so that nothing is shared.
struct Stream {
  SplitMix64 numbers{system_seed()};
};
struct StreamTag {};

}  // namespace

std::uint64_t random_u64() noexcept {
  return ThreadLocal<Stream, StreamTag>::get().numbers.next();
}

}  // namespace quire::sync
