// page_read: the hit path. Copies bytes of one cached page to the caller without a lock, a shared
// counter or a store to anything that another thread uses.
//
// Who calls: the file floor's reads, under no lock of the engine. The destination is the caller's
// memory; nothing is held over the copy but the hazard slot, which bars nobody but a writer, a cut or
// eviction of this very page.
#ifndef QUIRE_CACHE_PAGE_READ_H_
#define QUIRE_CACHE_PAGE_READ_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "cache/file_pages.h"
#include "fault/planted.h"

namespace quire::cache {

enum class PageLook : std::uint8_t {
  kCopied,
  kAbsent,      // not in the cache: fill it
  kUnreadable,  // filling, being written or being dropped: wait for it
  kMarked,      // reading it starts the next readahead: take_marker() first
  kEnd,         // the file ends before these bytes
};

struct PageCopy {
  PageLook look = PageLook::kAbsent;
  std::size_t bytes = 0;  // copied
};

// Copies from the page's `bytes` what lies in the file: the size is read after the page was seen readable, so
// bytes past the end are never returned.
inline PageCopy copy_in_file(FilePages& pages, const std::byte* bytes, std::uint64_t offset,
                             std::span<std::byte> out) noexcept {
  const std::uint64_t size = pages.size_bytes();
  if (offset >= size) [[unlikely]]
    return {PageLook::kEnd, 0};
  const std::size_t n =
      fault::planted(fault::Planted::kReadPastEnd)
          ? out.size()
          : static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), size - offset));
  const std::size_t in_page = offset & (limits::kPageBytes - 1);
  std::memcpy(out.data(), bytes + in_page, n);
  return {PageLook::kCopied, n};
}

// Copies out.size() bytes, all of one page, from `offset` on. `slot`: of the calling thread.
inline PageCopy copy_page(FilePages& pages, std::uint32_t slot, std::uint64_t offset,
                          std::span<std::byte> out) noexcept {
  const std::uint64_t index = page_index(offset);
  Hazards::Guard guard(slot, pages.key(index));
  const PageWord* const word = pages.find(index);
  if (word == nullptr) return {};
  const PageValue value = word->load();
  const bool torn = fault::planted(fault::Planted::kReadTakesWriting) && value.writing();
  if (!value.readable() && !torn) [[unlikely]] {
    return {value.absent() ? PageLook::kAbsent : PageLook::kUnreadable, 0};
  }
  if (value.marker()) [[unlikely]]
    return {PageLook::kMarked, 0};
  pages.cache().memory().touch(value.frame());
  const PageCopy copy = copy_in_file(pages, pages.bytes(index, value), offset, out);
  if (value.in_file() && !pages.maps()) [[unlikely]] {
    guard.clear();
    pages.come_back(index);
  }
  return copy;
}

// The same for a thread without a hazard slot, by a pin counted in the page word.
PageCopy copy_page_pinned(FilePages& pages, std::uint64_t offset,
                          std::span<std::byte> out) noexcept;

// Clears the page's readahead marker; true for the one caller who cleared it.
bool take_marker(FilePages& pages, std::uint64_t index) noexcept;

}  // namespace quire::cache

#endif  // QUIRE_CACHE_PAGE_READ_H_
