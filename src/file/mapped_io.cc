#include "file/mapped_io.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "cache/turns.h"
#include "file/bounce.h"
#include "file/direct.h"
#include "file/resize.h"
#include "file/slices.h"
#include "sync/check.h"
#include "sync/lock_rank.h"

namespace quire::file {
namespace {

using cache::kInPage;
using Access = MappedMemory::Access;

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

// While memory is copied that raises_signals(): the library's threads have all of them blocked, and callers may.
class LetsSignalsThrough {
 public:
  explicit LetsSignalsThrough(bool wanted) noexcept : wanted_(wanted) {
    if (!wanted_) return;
    sigset_t bus;
    sigemptyset(&bus);
    sigaddset(&bus, SIGBUS);
    QUIRE_CHECK(pthread_sigmask(SIG_UNBLOCK, &bus, &before_) == 0);
  }
  ~LetsSignalsThrough() {
    if (wanted_) QUIRE_CHECK(pthread_sigmask(SIG_SETMASK, &before_, nullptr) == 0);
  }
  LetsSignalsThrough(const LetsSignalsThrough&) = delete;
  LetsSignalsThrough& operator=(const LetsSignalsThrough&) = delete;

 private:
  const bool wanted_;
  sigset_t before_;
};

// Goes through the next `bytes` bytes of the caller's buffers, and has `copy` move those of each part that can be
// accessed, in turn. Ends at the first that cannot.
template <class Byte, class Copy>
Transfer for_each_ready(Slices<Byte>& slices, std::size_t bytes, Access access,
                        const sync::WaitLimit& limit, Copy&& copy) {
  // What copying may wait for is not to be held here, nor what they hold who are waited for.
  sync::lock_rank::assert_none_held();
  Transfer moved;
  while (moved.bytes < bytes) {
    std::span<Byte> slice = slices.next(bytes - moved.bytes);
    while (!slice.empty()) {
      const MappedRange part = MappingTable::of_process().head(slice);
      MappedMemory::Ready ready{part.bytes.size(), {}};
      if (part.memory != nullptr) ready = part.memory->prepare(part.bytes, access, limit);
      QUIRE_CHECK(ready.error ? ready.bytes < part.bytes.size() : ready.bytes == part.bytes.size());
      {
        const LetsSignalsThrough scope(part.memory != nullptr && part.memory->raises_signals());
        copy(slice.first(ready.bytes));
      }
      moved.bytes += ready.bytes;
      moved.error = ready.error;
      if (moved.error) return moved;
      slice = slice.subspan(ready.bytes);
    }
  }
  return moved;
}

Transfer copy_to_caller(Slices<std::byte>& to, const Piece& piece, std::size_t bytes,
                        const sync::WaitLimit& limit) {
  Slices<std::byte> from(piece.memory());
  return for_each_ready(to, bytes, Access::kStore, limit, [&](std::span<std::byte> out) {
    from.for_each(out.size(), [&](std::span<std::byte> in) {
      std::memcpy(out.data(), in.data(), in.size());
      out = out.subspan(in.size());
    });
  });
}

Transfer copy_from_caller(Slices<const std::byte>& from, const Piece& piece,
                          const sync::WaitLimit& limit) {
  Slices<std::byte> to(piece.memory());
  return for_each_ready(from, piece.bytes(), Access::kLoad, limit,
                        [&](std::span<const std::byte> in) {
                          to.for_each(in.size(), [&](std::span<std::byte> out) {
                            std::memcpy(out.data(), in.data(), out.size());
                            in = in.subspan(out.size());
                          });
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
                     std::size_t bytes, std::uint64_t* offset, const sync::WaitLimit& limit) {
  std::array<std::span<const std::byte>, limits::kStoreIoMaxPieces> parts;
  std::size_t count = 0;
  for (std::size_t left = bytes; left > 0; ++count) {
    const std::span<std::byte> part = piece.memory()[count];
    parts[count] = part.first(std::min(part.size(), left));
    left -= parts[count].size();
  }
  if (path == IoPath::kDirect)
    return direct_write(inode, {parts.data(), count}, bytes, offset, limit);
  Gather from({parts.data(), count});
  return write_at(*inode, from, bytes, offset, limit);
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
  if (extended) {
    moved.error = extend(inode, alignment, &bytes, offset, limit);
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
    const Transfer put = write_piece(inode, path, piece, got.bytes, &at, limit);
    if (appends) *offset = at;
    moved.bytes += put.bytes;
    if (put.error) moved.error = put.error;
    if (put.bytes < got.bytes) break;
  }
  if (extended && moved.bytes < bytes) {
    (void)cut_back(inode, *offset + bytes, *offset + moved.bytes, limit);
  }
  return moved;
}

}  // namespace quire::file
