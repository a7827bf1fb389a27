// PageKey: the name of one page of one file, in 63 bits, for hazard slots and for waiting. It is a
// digest: different pages may share a key (file serials repeat after 2^23 files, indices after 2^40
// pages). Users treat a match as "perhaps": they wait or wake once too often, never too seldom.
#ifndef QUIRE_CACHE_PAGE_KEY_H_
#define QUIRE_CACHE_PAGE_KEY_H_

#include <cstdint>

namespace quire::cache {

struct PageKey {
  static constexpr unsigned kIndexBits = 40;
  static constexpr std::uint64_t kIndexMask = (std::uint64_t{1} << kIndexBits) - 1;
  static constexpr std::uint64_t kSerials = (std::uint64_t{1} << 23) - 1;

  std::uint64_t bits = 0;  // never 0 for a page; bit 63 stays clear

  // `serial`: a number of the file's own, 1 or more.
  static constexpr PageKey of(std::uint64_t serial, std::uint64_t index) {
    return {((serial % kSerials) + 1) << kIndexBits | (index & kIndexMask)};
  }
  constexpr std::uint64_t serial_part() const { return bits >> kIndexBits; }
  constexpr std::uint64_t index_part() const { return bits & kIndexMask; }

  friend constexpr bool operator==(PageKey, PageKey) = default;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_PAGE_KEY_H_
