// What the tests of the replacement policies share.
#ifndef QUIRE_CACHE_TEST_POLICY_H_
#define QUIRE_CACHE_TEST_POLICY_H_

#include <cstdint>

namespace quire::cache::policy_testing {

// The identity of a page, mixed as S3Fifo and Ghost want it.
inline std::uint64_t hash_of(std::uint64_t page) {
  std::uint64_t x = page + 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace quire::cache::policy_testing

#endif  // QUIRE_CACHE_TEST_POLICY_H_
