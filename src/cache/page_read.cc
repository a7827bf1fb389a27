#include "cache/page_read.h"

namespace quire::cache {

PageCopy copy_page_pinned(FilePages& pages, std::uint64_t offset,
                          std::span<std::byte> out) noexcept {
  const std::uint64_t index = page_index(offset);
  const FilePages::Walker walker(pages);
  PageWord* const word = pages.find(index);
  if (word == nullptr) return {};
  PageValue value = word->load();
  if (!word->try_pin(value)) {
    return {value.absent() ? PageLook::kAbsent : PageLook::kUnreadable, 0};
  }
  PageCopy copy{PageLook::kMarked, 0};
  if (!value.marker()) copy = copy_in_file(pages, pages.bytes(index, value), offset, out);
  pages.cache().memory().touch(value.frame());
  pages.wake(index, word->unpin());
  pages.cache().memory().note_evictable();
  if (value.in_file()) pages.come_back(index);
  return copy;
}

bool take_marker(FilePages& pages, std::uint64_t index) noexcept {
  const FilePages::Walker walker(pages);
  PageWord* const word = pages.find(index);
  return word != nullptr && word->load().marker() && word->take_marker();
}

}  // namespace quire::cache
