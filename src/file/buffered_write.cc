#include <algorithm>
#include <cstring>

#include "cache/page_write.h"
#include "file/buffered.h"
#include "sync/range_lock.h"

namespace quire::file {
namespace {

using cache::page_index;

constexpr std::uint64_t kLastByte = ~std::uint64_t{0};
// Dirty credits taken at a time.
constexpr std::size_t kCreditPages = 16;

// The locks of one write: its Operation, and its write range, [offset, end), or for one that extends the
// file from the old end on. For kAtEnd the offset is chosen under the lock.
class WriteLocks {
 public:
  WriteLocks(Inode& inode, const sync::WaitLimit& limit) : inode_(inode), limit_(limit) {}
  ~WriteLocks() {
    if (held_) inode_.ranges().unlock(hold_);
  }
  WriteLocks(const WriteLocks&) = delete;
  WriteLocks& operator=(const WriteLocks&) = delete;

  std::error_code lock(std::uint64_t* offset, std::size_t bytes) {
    const sync::WaitStatus began = operation_.begin(inode_.lock(), sync::RwMode::kWrite, limit_);
    if (began != sync::WaitStatus::kReady) return sync::to_error(began);
    const bool append = *offset == kAtEnd;
    for (;;) {
      const std::uint64_t size = inode_.size_bytes();
      const bool extends = append || *offset + bytes > size;
      const std::uint64_t first = append ? size : extends ? std::min(*offset, size) : *offset;
      const std::uint64_t last = extends ? kLastByte : *offset + bytes - 1;
      const sync::WaitStatus status = inode_.lock_range(hold_, first, last, limit_);
      if (status != sync::WaitStatus::kReady) return sync::to_error(status);
      held_ = true;
      // The file may have shrunk while we waited: then what we hold is not all that we change.
      const std::uint64_t now = inode_.size_bytes();
      const bool enough =
          extends ? std::min(append ? now : *offset, now) >= first : *offset + bytes <= now;
      if (inode_.broken()) return std::make_error_code(std::errc::io_error);
      if (enough) {
        if (append) *offset = now;
        return {};
      }
      inode_.ranges().unlock(hold_);
      held_ = false;
    }
  }

 private:
  Inode& inode_;
  const sync::WaitLimit& limit_;
  cache::CacheLock::Operation operation_;
  sync::RangeLock::Hold hold_;
  bool held_ = false;
};

}  // namespace

void Gather::copy(std::span<std::byte> out) noexcept {
  while (!out.empty()) {
    const std::span<const std::byte> left = pieces_[piece_].subspan(at_);
    const std::size_t n = std::min(left.size(), out.size());
    if (n > 0) std::memcpy(out.data(), left.data(), n);
    out = out.subspan(n);
    at_ += n;
    if (at_ == pieces_[piece_].size()) {
      ++piece_;
      at_ = 0;
    }
  }
}

Transfer write_at(Inode& inode, Gather& from, std::size_t bytes, std::uint64_t* offset,
                  const sync::WaitLimit& limit) {
  WriteLocks locks(inode, limit);
  Transfer moved;
  moved.error = locks.lock(offset, bytes);
  if (moved.error) return moved;
  if (*offset >= limits::kFileSizeMaxBytes) {
    moved.error = std::make_error_code(std::errc::file_too_large);
    return moved;
  }
  bytes =
      static_cast<std::size_t>(std::min<std::uint64_t>(bytes, limits::kFileSizeMaxBytes - *offset));

  cache::DirtyBudget& dirty = inode.cache().dirty();
  std::uint64_t credits = 0;
  while (moved.bytes < bytes) {
    const std::uint64_t at = *offset + moved.bytes;
    const std::size_t in_page = at & (limits::kPageBytes - 1);
    const std::size_t n = std::min(bytes - moved.bytes, limits::kPageBytes - in_page);
    if (credits == 0) {
      const std::uint64_t pages = page_index(*offset + bytes - 1) - page_index(at) + 1;
      const std::uint64_t want = std::min<std::uint64_t>(pages, kCreditPages);
      moved.error = dirty.take(want, limit);
      if (moved.error) break;
      credits = want;
    }
    cache::PageWrite page(inode);
    moved.error = page.begin(page_index(at), in_page, in_page + n, limit);
    if (moved.error) break;
    from.copy({page.bytes() + in_page, n});
    // Before the first page can be written back.
    if (moved.bytes == 0) inode.stamp_change();
    page.finish(at + n);
    --credits;
    moved.bytes += n;
    if (inode.unsynced().any_lost()) [[unlikely]] {
      const bool whole = in_page == 0 && (n == limits::kPageBytes || at + n >= inode.size_bytes());
      if (whole) inode.unsynced().overwritten(page_index(at));
    }
  }
  dirty.give(credits);
  if (moved.bytes > 0) inode.cache().balance_dirty();
  return moved;
}

}  // namespace quire::file
