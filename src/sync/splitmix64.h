// SplitMix64: a counter sent through a 64-bit mixing function. Small, fast, and good enough for
// jitter, sampling and schedules; never for secrets. (Steele, Lea and Flood, "Fast splittable
// pseudorandom number generators", OOPSLA 2014.)
//
// Thread-safety: none; give each thread or run its own.
#ifndef QUIRE_SYNC_SPLITMIX64_H_
#define QUIRE_SYNC_SPLITMIX64_H_

#include <cstdint>

namespace quire::sync {

class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t next() noexcept {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  // From 0 to bound - 1; the bias, below bound / 2^64, is of no account here. REQUIRES: bound > 0.
  std::uint64_t below(std::uint64_t bound) noexcept { return next() % bound; }

 private:
  std::uint64_t state_;
};

}  // namespace quire::sync

#endif  // QUIRE_SYNC_SPLITMIX64_H_
