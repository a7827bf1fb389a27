#include "file/mapped_io.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>

#include "cache/turns.h"
#include "file/append_place.h"
#include "file/bounce.h"
#include "file/direct.h"
#include "file/resize.h"
#include "file/slices.h"
#include "sync/check.h"
#include "sync/lock_rank.h"

namespace quire::file {
namespace {

using cache::kInPage;
using Copied = MappedMemory::Copied;

// What one piece holds: a turn, and the bounce. They lie in it as in the file, so that what is a page there is
// one piece of memory here.
class Piece {
 public:
  explicit Piece(cache::PageCache& cache) noexcept
      : bytes_max_(Bounce::bytes_max(cache)), turn_(cache.turns()), bounce_(cache) {}

  // The next piece of `left` bytes at `offset` of the file.
  std::error_code take(std::uint64_t offset, std::size_t left, const sync::WaitLimit& limit) {
    const auto in_page = static_cast<std::size_t>(offset & kInPage);
    bytes_ = std::min(left, bytes_max_ - in_page);
    const sync::WaitStatus turn = turn_.take(limit);
    if (turn != sync::WaitStatus::kReady) return sync::to_error(turn);
    if (const std::error_code error = bounce_.take(in_page + bytes_, limit)) return error;
    for (; count_ < bounce_.pieces(); ++count_) parts_[count_] = bounce_.piece(count_);
    parts_[0] = parts_[0].subspan(in_page);
    return {};
  }
  std::size_t bytes() const noexcept { return bytes_; }
  std::span<const std::span<std::byte>> memory() const noexcept { return {parts_.data(), count_}; }

 private:
  const std::size_t bytes_max_;
  cache::Turns::Turn turn_;
  Bounce bounce_;
  std::size_t bytes_ = 0;
  std::size_t count_ = 0;
  std::array<std::span<std::byte>, limits::kStoreIoMaxPieces> parts_;
};

// Goes through the next `bytes` bytes of the caller's buffers, and through those of the bounce, and has `copy` move
// what lies in one piece of either, and in one mapping or none. Ends at the first that cannot be had.
template <class Ours, class Theirs, class Copy>
Transfer for_each_part(Slices<Ours>& ours, Slices<Theirs>& theirs, std::size_t bytes, Copy&& copy) {
  // What copying may wait for is not to be held here, nor what they hold who are waited for.
  sync::lock_rank::assert_none_held();
  Transfer moved;
  while (moved.bytes < bytes) {
    std::span<Theirs> slice = theirs.next(bytes - moved.bytes);
    while (!slice.empty()) {
      const MappedRange range = MappingTable::of_process().head(slice);
      const std::span<Ours> own = ours.next(range.bytes.size());
      const Copied copied = copy(own, slice.first(own.size()), range.memory.get());
      QUIRE_CHECK(copied.error ? copied.bytes < own.size() : copied.bytes == own.size());
      moved.bytes += copied.bytes;
      moved.error = copied.error;
      if (moved.error) return moved;
      slice = slice.subspan(own.size());
    }
  }
  return moved;
}

Transfer copy_to_caller(Slices<std::byte>& to, const Piece& piece, std::size_t bytes,
                        const sync::WaitLimit& limit) {
  Slices<std::byte> from(piece.memory());
  return for_each_part(
      from, to, bytes,
      [&](std::span<std::byte> ours, std::span<std::byte> theirs, MappedMemory* memory) -> Copied {
        if (memory != nullptr) return memory->store(theirs, ours, limit);
        std::memcpy(theirs.data(), ours.data(), ours.size());
        return {ours.size(), {}};
      });
}

Transfer copy_from_caller(Slices<const std::byte>& from, const Piece& piece,
                          const sync::WaitLimit& limit) {
  Slices<std::byte> to(piece.memory());
  return for_each_part(to, from, piece.bytes(),
                       [&](std::span<std::byte> ours, std::span<const std::byte> theirs,
                           MappedMemory* memory) -> Copied {
                         if (memory != nullptr) return memory->load(theirs, ours, limit);
                         std::memcpy(ours.data(), theirs.data(), ours.size());
                         return {ours.size(), {}};
                       });
}

// A strict cache gives up where direct IO would go from bytes of the file to themselves.
template <class Byte>
std::error_code refused(Inode& inode, IoPath path, std::span<const std::span<Byte>> buffers,
                        std::uint64_t offset, std::size_t bytes) {
  if (path != IoPath::kDirect || inode.cache().deadlock() != Deadlock::kStrict) return {};
  if (offset == kAtEnd) offset = inode.size_bytes();
  for (const std::span<Byte>& buffer : buffers) {
    if (MappingTable::of_process().shows(buffer, inode.serial(), offset, bytes)) {
      return std::make_error_code(std::errc::resource_deadlock_would_occur);
    }
  }
  return {};
}

Transfer read_piece(const std::shared_ptr<Inode>& inode, SharedReadahead& readahead, IoPath path,
                    const Piece& piece, std::uint64_t offset, const sync::WaitLimit& limit) {
  if (path == IoPath::kDirect) {
    return direct_read(inode, piece.memory(), piece.bytes(), offset, limit);
  }
  // Page by page, as they lie in the file.
  Transfer moved;
  for (const std::span<std::byte> part : piece.memory()) {
    const Transfer page = read_at(*inode, readahead, part, offset + moved.bytes, limit);
    moved.bytes += page.bytes;
    moved.error = page.error;
    if (page.error || page.bytes < part.size()) break;
  }
  return moved;
}

// `bytes` of the piece.
Transfer write_piece(const std::shared_ptr<Inode>& inode, IoPath path, const Piece& piece,
                     std::size_t bytes, std::uint64_t* offset, const sync::WaitLimit& limit,
                     const std::uint64_t* cuts) {
  std::array<std::span<const std::byte>, limits::kStoreIoMaxPieces> parts;
  std::size_t count = 0;
  for (std::size_t left = bytes; left > 0; ++count) {
    const std::span<std::byte> part = piece.memory()[count];
    parts[count] = part.first(std::min(part.size(), left));
    left -= parts[count].size();
  }
  if (path == IoPath::kDirect)
    return direct_write(inode, {parts.data(), count}, bytes, offset, limit, cuts);
  Gather from({parts.data(), count});
  return write_at(*inode, from, bytes, offset, limit, Space::kNeeded, cuts);
}

}  // namespace

Transfer mapped_read(const std::shared_ptr<Inode>& inode, SharedReadahead& readahead, IoPath path,
                     std::span<const std::span<std::byte>> buffers, std::size_t bytes,
                     std::uint64_t offset, const sync::WaitLimit& limit) {
  Transfer moved;
  moved.error = refused(*inode, path, buffers, offset, bytes);
  Slices<std::byte> to(buffers);
  while (!moved.error && moved.bytes < bytes) {
    Piece piece(inode->cache());
    moved.error = piece.take(offset + moved.bytes, bytes - moved.bytes, limit);
    if (moved.error) break;
    const Transfer got = read_piece(inode, readahead, path, piece, offset + moved.bytes, limit);
    const Transfer put = copy_to_caller(to, piece, got.bytes, limit);
    moved.bytes += put.bytes;
    moved.error = put.error ? put.error : got.error;
    if (got.bytes < piece.bytes()) break;
  }
  return moved;
}

Transfer mapped_write(const std::shared_ptr<Inode>& inode, IoPath path,
                      std::span<const std::span<const std::byte>> buffers, std::size_t bytes,
                      std::uint64_t* offset, const sync::WaitLimit& limit) {
  Transfer moved;
  moved.error = refused(*inode, path, buffers, *offset, bytes);
  if (moved.error) return moved;
  const std::size_t alignment =
      path == IoPath::kDirect ? inode->cache().traits().io_alignment_bytes : 1;
  const bool extended = *offset == kAtEnd && bytes > Bounce::bytes_max(inode->cache());
  std::uint64_t cuts = 0;
  std::optional<AppendPlace> place;
  if (extended) {
    place.emplace(inode->append_places());
    moved.error = extend(inode, alignment, &bytes, offset, &cuts, limit);
    if (moved.error) return moved;
  }
  const bool appends = *offset == kAtEnd;  // in one piece
  Slices<const std::byte> from(buffers);
  while (!moved.error && moved.bytes < bytes) {
    Piece piece(inode->cache());
    moved.error = piece.take(appends ? 0 : *offset + moved.bytes, bytes - moved.bytes, limit);
    if (moved.error) break;
    Transfer got = copy_from_caller(from, piece, limit);
    // What the store does not take is not written.
    if (got.error) got.bytes -= got.bytes % alignment;
    moved.error = got.error;
    if (got.bytes == 0) break;
    std::uint64_t at = appends ? kAtEnd : *offset + moved.bytes;
    const Transfer put =
        write_piece(inode, path, piece, got.bytes, &at, limit, extended ? &cuts : nullptr);
    if (appends) *offset = at;
    moved.bytes += put.bytes;
    if (put.error) moved.error = put.error;
    if (put.bytes < got.bytes) break;
  }
  if (extended && moved.bytes < bytes) {
    (void)cut_back(inode, *offset + bytes, *offset + moved.bytes, cuts, place->changes(), limit);
  }
  return moved;
}

}  // namespace quire::file
