// The job's random numbers: SplitMix64 (Steele, Lea, Flood 2014), seeded by what the numbers are
// for, so that each file, round and thread has a sequence of its own that no other order of events
// changes.
#ifndef QUIRE_TESTS_MAIN_JOB_RNG_H_
#define QUIRE_TESTS_MAIN_JOB_RNG_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

namespace quire::main_job {

class Rng {
 public:
  using result_type = std::uint64_t;

  explicit Rng(std::initializer_list<std::uint64_t> what_for) {
    for (std::uint64_t part : what_for) {
      state_ = next() ^ part;
    }
  }

  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  // A number in [0, bound); 0 if bound is 0.
  std::uint64_t below(std::uint64_t bound) { return bound == 0 ? 0 : next() % bound; }
  // A number in [low, high].
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    return low + below(high - low + 1);
  }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) {
      std::swap(items[i - 1], items[below(i)]);
    }
  }

 private:
  std::uint64_t state_ = 0x51a7e0f3c9b84d26u;
};

}  // namespace quire::main_job

#endif  // QUIRE_TESTS_MAIN_JOB_RNG_H_
