#include "file/write_locks.h"

#include <algorithm>

#include "fault/planted.h"
#include "file/buffered.h"
#include "file/tail.h"

namespace quire::file {
namespace {

using cache::kInPage;
constexpr std::uint64_t kLastByte = ~std::uint64_t{0};
constexpr std::uint64_t kInChunk = SpaceBook::kChunkPages * limits::kPageBytes - 1;

}  // namespace

std::error_code WriteLocks::lock(std::uint64_t* offset, std::size_t bytes, Extent extent,
                                 const sync::WaitLimit& limit, const std::uint64_t* cuts) {
  const sync::WaitStatus began = operation_.begin(inode_.lock(), sync::RwMode::kWrite, limit);
  if (began != sync::WaitStatus::kReady) return sync::to_error(began);
  const bool append = *offset == kAtEnd;
  for (;;) {
    const std::uint64_t size = inode_.size_bytes();
    const bool extends = append || *offset + bytes > size;
    std::uint64_t first = append ? size : extends ? std::min(*offset, size) : *offset;
    std::uint64_t last = extends ? kLastByte : *offset + bytes - 1;
    const std::uint64_t inside = extent == Extent::kBytes   ? 0
                                 : extent == Extent::kPages ? kInPage
                                                            : kInChunk;
    first &= ~inside;
    last |= inside;
    const sync::WaitStatus status = inode_.lock_range(hold_, first, last, limit);
    if (status != sync::WaitStatus::kReady) return sync::to_error(status);
    held_ = true;
    first_ = first;
    last_ = last;
    // A shift that we waited for may have failed midway.
    if (inode_.broken()) return std::make_error_code(std::errc::io_error);
    if (cuts != nullptr && *cuts != inode_.cuts()) {
      return std::make_error_code(std::errc::operation_canceled);
    }
    // The file may have shrunk while we waited: then what we hold is not all that we change.
    const std::uint64_t now = inode_.size_bytes();
    const bool enough =
        extends ? std::min(append ? now : *offset, now) >= first : *offset + bytes <= now;
    if (enough) {
      if (append) *offset = fault::planted(fault::Planted::kAppendTrustsOldSize) ? size : now;
      if (append && fault::planted(fault::Planted::kLoseAppendOffset)) {
        *offset -= now % limits::kPageBytes;
      }
      // An append fills its own place.
      if (cuts == nullptr) inode_.append_places().note_change();
      return extends ? settle_tail(inode_, limit) : std::error_code();
    }
    inode_.ranges().unlock(hold_);
    held_ = false;
  }
}

PageRange WriteLocks::whole_pages() const noexcept {
  // The last page that an offset can name ends where offsets do.
  const std::uint64_t end =
      last_ == kLastByte ? cache::page_index(kLastByte) + 1 : cache::page_index(last_ + 1);
  return {cache::pages_of(first_), end};
}

}  // namespace quire::file
