// What the tests of the file floor in the simulation share: the unit of their offsets, and choices that
// follow from the seed.
#ifndef QUIRE_FILE_TEST_SIM_H_
#define QUIRE_FILE_TEST_SIM_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "quire/limits.h"
#include "quire/options.h"
#include "sync/clock.h"
#include "sync/random.h"
#include "sync/wait.h"

namespace quire::file {

inline constexpr std::size_t kPage = limits::kPageBytes;
inline constexpr std::array kStrategies = {Locking::kGate, Locking::kRange, Locking::kInvalidate,
                                           Locking::kInode};
inline constexpr std::uint64_t kLast = ~std::uint64_t{0};  // page

inline std::uint64_t below(std::uint64_t bound) {
  return sync::random_u64() % bound;
}

// No limit, or one that never passes: past the cache with the caller's memory given to the store, or
// through frames of the cache.
inline sync::WaitLimit patient() {
  if (below(2) == 0) return {};
  return {sync::deadline_after(std::chrono::hours(1)), {}};
}

}  // namespace quire::file

#endif  // QUIRE_FILE_TEST_SIM_H_
