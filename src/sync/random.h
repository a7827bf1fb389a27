// Random numbers for the engine's own choices (jitter, sampling, never data). Seeded from the
// system in normal builds and from the simulation's seed in `sim` builds.
#ifndef QUIRE_SYNC_RANDOM_H_
#define QUIRE_SYNC_RANDOM_H_

#include <cstdint>

namespace quire::sync {

// A uniformly distributed 64-bit number. Thread-safe.
std::uint64_t random_u64() noexcept;

}  // namespace quire::sync

#endif  // QUIRE_SYNC_RANDOM_H_
