// Pages of the model: 4 KiB that never change once they are made, shared by all who remember them. Null
// is a page of zeros.
#ifndef QUIRE_TESTS_MODEL_PAGE_H_
#define QUIRE_TESTS_MODEL_PAGE_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "quire/limits.h"

namespace quire::model {

inline constexpr std::size_t kPageBytes = limits::kPageBytes;

using Page = std::array<std::byte, kPageBytes>;
using PageRef = std::shared_ptr<const Page>;

inline const Page kZeros{};

inline const Page& bytes_of(const PageRef& page) {
  return page != nullptr ? *page : kZeros;
}
inline bool same(const PageRef& a, const PageRef& b) {
  return a == b || std::memcmp(bytes_of(a).data(), bytes_of(b).data(), kPageBytes) == 0;
}
// Bytes of part of a page, from `in_page` on.
inline bool holds(const PageRef& page, std::size_t in_page, std::span<const std::byte> bytes) {
  return std::memcmp(bytes_of(page).data() + in_page, bytes.data(), bytes.size()) == 0;
}

inline PageRef with(const PageRef& page, std::size_t in_page, std::span<const std::byte> bytes) {
  auto changed = std::make_shared<Page>(bytes_of(page));
  std::memcpy(changed->data() + in_page, bytes.data(), bytes.size());
  return changed;
}
// `page` with zeros in [from, to).
inline PageRef zeroed(const PageRef& page, std::size_t from, std::size_t to) {
  if (page == nullptr || from == to) return page;
  if (from == 0 && to == kPageBytes) return nullptr;
  auto changed = std::make_shared<Page>(*page);
  std::fill(changed->begin() + static_cast<std::ptrdiff_t>(from),
            changed->begin() + static_cast<std::ptrdiff_t>(to), std::byte{0});
  return changed;
}

inline std::uint64_t page_of(std::uint64_t offset) {
  return offset / kPageBytes;
}
inline std::uint64_t pages_up_to(std::uint64_t end) {
  return end / kPageBytes + (end % kPageBytes != 0 ? 1 : 0);
}

}  // namespace quire::model

#endif  // QUIRE_TESTS_MODEL_PAGE_H_
