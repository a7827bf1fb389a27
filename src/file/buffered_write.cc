#include <algorithm>
#include <cstring>

#include "cache/page_write.h"
#include "fault/planted.h"
#include "file/buffered.h"
#include "file/mapping_table.h"
#include "file/reserve.h"
#include "file/write_locks.h"
#include "sync/check.h"

namespace quire::file {
namespace {

using cache::page_index;

// Dirty credits taken at a time.
constexpr std::size_t kCreditPages = 16;

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

void Gather::skip(std::size_t bytes) noexcept {
  while (bytes > 0) {
    const std::size_t n = std::min(pieces_[piece_].size() - at_, bytes);
    bytes -= n;
    at_ += n;
    if (at_ == pieces_[piece_].size()) {
      ++piece_;
      at_ = 0;
    }
  }
}

namespace {

// Stores the bytes. With `held`, which holds the locks: reserves space for each chunk before a page of it is
// held; without, there is space for all of them.
Transfer store_bytes(Inode& inode, const std::shared_ptr<HeldWrite>& held, Gather& from,
                     std::size_t bytes, std::uint64_t offset, const sync::WaitLimit& limit,
                     Space space = Space::kNeeded) {
  QUIRE_DCHECK(!MappingTable::of_process().meets(from.pieces()));
  Transfer moved;
  if (offset >= limits::kFileSizeMaxBytes) {
    moved.error = std::make_error_code(std::errc::file_too_large);
    return moved;
  }
  bytes =
      static_cast<std::size_t>(std::min<std::uint64_t>(bytes, limits::kFileSizeMaxBytes - offset));

  cache::DirtyBudget& dirty = inode.cache().dirty();
  const std::uint64_t end_page = page_index(offset + bytes - 1) + 1;
  std::uint64_t reserved_end = held != nullptr ? 0 : end_page;
  std::uint64_t credits = 0;
  while (moved.bytes < bytes) {
    const std::uint64_t at = offset + moved.bytes;
    const std::size_t in_page = at & (limits::kPageBytes - 1);
    const std::size_t n = std::min(bytes - moved.bytes, limits::kPageBytes - in_page);
    if (page_index(at) >= reserved_end) {
      const std::uint64_t chunk = page_index(at) / SpaceBook::kChunkPages;
      const PageRange need = {page_index(at),
                              std::min(end_page, (chunk + 1) * SpaceBook::kChunkPages)};
      const Reserved reserved = reserve(held->inode, held, need, held->locks.whole_pages(), limit);
      reserved_end = reserved.end;
      if (reserved_end <= page_index(at)) {
        const bool left = reserved.error == Errc::kTimedOut || reserved.error == Errc::kInterrupted;
        if (space == Space::kNeeded || left) {
          moved.error = reserved.error;
          break;
        }
        reserved_end = need.end;
      }
    }
    if (credits == 0) {
      const std::uint64_t pages = end_page - page_index(at);
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
    if (moved.bytes == 0 && !fault::planted(fault::Planted::kWriteKeepsStamps)) {
      inode.stamp_change();
    }
    page.finish(at + n);
    --credits;
    moved.bytes += n;
    if (inode.unsynced().any_lost()) [[unlikely]] {
      const bool whole = in_page == 0 && (n == limits::kPageBytes || at + n >= inode.size_bytes());
      if (whole) inode.unsynced().overwritten(page_index(at));
    }
  }
  if (!moved.error || !fault::planted(fault::Planted::kLoseACredit)) dirty.give(credits);
  if (moved.bytes > 0) inode.cache().balance_dirty();
  return moved;
}

bool has_space(Inode& inode, std::uint64_t offset, std::size_t bytes) {
  SpaceBook* const space = inode.space();
  return space == nullptr ||
         space->covers({page_index(offset), page_index(offset + bytes - 1) + 1});
}

}  // namespace

Transfer write_at(Inode& inode, Gather& from, std::size_t bytes, std::uint64_t* offset,
                  const sync::WaitLimit& limit, Space space, const std::uint64_t* cuts) {
  const std::uint64_t asked = *offset;
  {
    WriteLocks locks(inode);
    const std::error_code error =
        locks.lock(offset, bytes, WriteLocks::Extent::kBytes, limit, cuts);
    if (error) return {0, error};
    if (has_space(inode, *offset, bytes)) {
      return store_bytes(inode, nullptr, from, bytes, *offset, limit);
    }
  }
  // Again, with all of each chunk held, so that nobody cuts what the store is asked about.
  *offset = asked;
  const auto held =
      std::make_shared<HeldWrite>(std::static_pointer_cast<Inode>(inode.shared_from_this()));
  const std::error_code error =
      held->locks.lock(offset, bytes, WriteLocks::Extent::kChunks, limit, cuts);
  if (error) return {0, error};
  held->locks.hand_over();
  return store_bytes(inode, held, from, bytes, *offset, limit, space);
}

Transfer write_reserving(const std::shared_ptr<HeldWrite>& held, Gather& from, std::size_t bytes,
                         std::uint64_t offset, const sync::WaitLimit& limit) {
  return store_bytes(*held->inode, held, from, bytes, offset, limit);
}

}  // namespace quire::file
