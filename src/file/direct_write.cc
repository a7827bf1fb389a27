#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "cache/block_holders.h"
#include "cache/writeback.h"
#include "fault/planted.h"
#include "file/bounce.h"
#include "file/direct.h"
#include "file/mapping_table.h"
#include "file/shoot_down.h"
#include "file/slices.h"
#include "file/store_call.h"
#include "file/sync_file.h"
#include "file/write_locks.h"
#include "sync/check.h"

namespace quire::file {
namespace {

using cache::kInPage;
using cache::page_index;

const std::error_code kBusy = std::make_error_code(std::errc::device_or_resource_busy);

// What a direct write holds for one piece, beside what it holds for the whole (HeldWrite): the pages that it
// keeps out. By it, and by its requests, for as long as they last.
struct HeldPiece {
  explicit HeldPiece(std::shared_ptr<HeldWrite> held_write)
      : write(std::move(held_write)), down(write->inode) {}

  const std::shared_ptr<HeldWrite> write;
  ShotDown down;
};

// One piece.
class WriteCall final : public StoreCall {
 public:
  WriteCall(std::shared_ptr<HeldWrite> write, std::uint64_t offset)
      : StoreCall(write->inode),
        inode_(write->inode),
        held_(std::make_shared<HeldPiece>(std::move(write))),
        bounce_(inode_->cache()),
        offset_(offset) {}

  // Takes the next of the caller's bytes, `bytes_max` at most, by reference or by copying them.
  void take_memory(Slices<const std::byte>& from, std::size_t bytes_max) noexcept {
    bytes_ = from.take(bytes_max, pieces_, &count_);
  }
  std::error_code take_copy(Slices<const std::byte>& from, std::size_t bytes,
                            const sync::WaitLimit& limit);
  std::size_t bytes_taken() const noexcept { return bytes_; }
  // Takes the pages of the piece out of the cache. Errors: as ShotDown.
  std::error_code shoot_down(const sync::WaitLimit& limit);
  void submit(IoMode mode) noexcept {
    Inode& inode = *inode_;
    inode.cache().counters().write_requests.fetch_add(1);
    inode.cache().store().write(inode.write_handle(), offset_, {pieces_.data(), count_}, mode,
                                *this);
  }
  // Nothing: what the call holds is the call's. As a planted fault, all of that.
  std::shared_ptr<HeldPiece> held_by_caller() noexcept {
    return fault::planted(fault::Planted::kDirectLocksAreTheCallers) ? std::move(held_) : nullptr;
  }
  // Ends a call that was never submitted.
  static void drop(WriteCall* call) {
    const std::shared_ptr<Inode> inode = call->inode_;
    delete call;
    inode->end_request();
  }

 private:
  ~WriteCall() override = default;
  std::error_code check(std::size_t bytes) const noexcept override {
    return bytes == bytes_ ? std::error_code{} : std::make_error_code(std::errc::io_error);
  }
  bool mend() noexcept override;
  void mended(std::error_code error) noexcept override;
  void ended(std::error_code error) noexcept override;
  std::uint64_t end_bytes() const noexcept { return offset_ + bytes_; }
  void note_written() noexcept;

  const std::shared_ptr<Inode> inode_;
  std::shared_ptr<HeldPiece> held_;
  Bounce bounce_;
  const std::uint64_t offset_;
  std::size_t bytes_ = 0;
  std::size_t count_ = 0;
  std::array<Store::ConstBuffer, limits::kStoreIoMaxPieces> pieces_;
};

std::error_code WriteCall::take_copy(Slices<const std::byte>& from, std::size_t bytes,
                                     const sync::WaitLimit& limit) {
  const std::error_code error = bounce_.take(bytes, limit);
  if (error) return error;
  for (; count_ < bounce_.pieces(); ++count_) {
    copy_out(from, bounce_.piece(count_));
    pieces_[count_] = bounce_.piece(count_);
  }
  bytes_ = bytes;
  return {};
}

std::error_code WriteCall::shoot_down(const sync::WaitLimit& limit) {
  const std::shared_ptr<ShotDown> down(held_, &held_->down);
  std::error_code error = down->lock_pages(page_index(offset_), page_index(end_bytes() - 1), limit);
  if (!error) error = ShotDown::write(down, limit);
  if (!error && !fault::planted(fault::Planted::kDirectWriteKeepsPages)) down->drop();
  if (fault::planted(fault::Planted::kDirectUnblocksEarly)) held_.reset();
  return error;
}

bool WriteCall::mend() noexcept {
  // Nobody else changes the size while we hold the range.
  if (end_bytes() <= inode_->size_bytes()) return false;
  // The object may have become longer than the file: nobody shall find that there when the file grows.
  if (inode_->space() != nullptr) {
    inode_->space()->truncated(cache::pages_of(inode_->size_bytes()), true);
  }
  inode_->cache().store().truncate(inode_->write_handle(), inode_->size_bytes(), *this);
  return true;
}

void WriteCall::mended(std::error_code error) noexcept {
  if (!error) return;
  inode_->cache().log_soon(LogLevel::kError, [&] {
    return fmt::format(
        "a direct write past the end of {} failed, and so did cutting off what it may have left "
        "beyond {} bytes: {}",
        inode_->path(), inode_->size_bytes(), error.message());
  });
}

void WriteCall::note_written() noexcept {
  const std::uint64_t first = page_index(offset_);
  const std::size_t count = page_index(end_bytes() - 1) - first + 1;
  const bool to_the_end = end_bytes() >= inode_->size_bytes();
  inode_->note_overwritten(first, count, cache::pages_of(offset_),
                           to_the_end ? cache::pages_of(end_bytes()) : page_index(end_bytes()));
}

void WriteCall::ended(std::error_code error) noexcept {
  if (error) {
    // A store that refused may have changed bytes and stamps all the same.
    inode_->note_changed();
  } else {
    if (!fault::planted(fault::Planted::kDirectWriteUntold)) note_written();
    // After the bytes are in place, and before anybody can look for them.
    const bool grows = end_bytes() > inode_->size_bytes();
    if (grows && !fault::planted(fault::Planted::kDirectWriteKeepsSize)) {
      inode_->set_size_bytes(end_bytes());
    }
  }
  bounce_.give_back();
  held_.reset();
}

// One piece of a direct write. EBUSY: somebody uses a page of it, and nothing was done.
Transfer write_piece(const std::shared_ptr<HeldWrite>& write, Slices<const std::byte>& from,
                     std::uint64_t offset, std::size_t bytes_max, const sync::WaitLimit& limit) {
  const bool bounced = limit.may_leave();
  auto* const call = new WriteCall(write, offset);
  std::error_code error;
  if (bounced) {
    error = call->take_copy(from, bytes_max, limit);
  } else {
    call->take_memory(from, bytes_max);
  }
  const cache::BlockHolders::Scope scope;
  if (!error) error = call->shoot_down(limit);
  if (error) {
    WriteCall::drop(call);
    return {0, error};
  }
  const std::size_t bytes = call->bytes_taken();
  write->inode->stamp_change();
  const std::shared_ptr<HeldPiece> held_by_caller = call->held_by_caller();
  call->submit(bounced ? IoMode::kAsync : IoMode::kWait);
  error = StoreCall::wait_and_disown(call, limit);
  return {error ? 0 : bytes, error};
}

// The rest, from `done` bytes on, through the cache, and then to the store.
Transfer write_through_cache(const std::shared_ptr<HeldWrite>& held,
                             std::span<const std::span<const std::byte>> buffers, std::size_t done,
                             std::size_t bytes, std::uint64_t offset,
                             const sync::WaitLimit& limit) {
  Inode& inode = *held->inode;
  inode.cache().counters().direct_fallbacks.fetch_add(1);
  Gather from(buffers);
  from.skip(done);
  const Transfer rest = write_reserving(held, from, bytes - done, offset + done, limit);
  if (rest.bytes == 0) return {done, rest.error};
  const std::uint64_t begin = offset + done;
  const cache::FlushResult flushed =
      cache::flush_all(inode, page_index(begin), page_index(begin + rest.bytes - 1), limit);
  // What is not at the store was not written directly. It stays in the cache, and is written when it can be.
  if (flushed.error) return {done, flushed.error};
  return {done + rest.bytes, rest.error};
}

}  // namespace

Transfer direct_write(const std::shared_ptr<Inode>& inode,
                      std::span<const std::span<const std::byte>> buffers, std::size_t bytes,
                      std::uint64_t* offset, const sync::WaitLimit& limit,
                      const std::uint64_t* cuts) {
  QUIRE_DCHECK(!MappingTable::of_process().meets(buffers));
  Transfer moved;
  // What a failed sync is about must be written again while it is known.
  moved.error = rewrite_failed(*inode, limit);
  if (moved.error) return moved;
  {
    const auto write = std::make_shared<HeldWrite>(inode);
    moved.error = write->locks.lock(offset, bytes, WriteLocks::Extent::kPages, limit, cuts);
    if (moved.error) return moved;
    write->locks.hand_over();
    const std::uint64_t alignment_mask = inode->cache().traits().io_alignment_bytes - 1;
    const std::uint64_t room =
        (limits::kFileSizeMaxBytes - std::min(*offset, limits::kFileSizeMaxBytes)) &
        ~alignment_mask;
    if ((*offset & alignment_mask) != 0) {
      moved.error = std::make_error_code(std::errc::invalid_argument);
    } else if (room == 0) {
      moved.error = std::make_error_code(std::errc::file_too_large);
    }
    bytes = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, room));
    const std::size_t piece_max =
        limit.may_leave() ? Bounce::bytes_max(inode->cache()) : limits::kDirectPieceBytes;
    Slices<const std::byte> from(buffers);
    while (!moved.error && moved.bytes < bytes) {
      const std::uint64_t at = *offset + moved.bytes;
      const std::size_t piece_bytes =
          std::min(bytes - moved.bytes, piece_max - static_cast<std::size_t>(at & kInPage));
      const Transfer piece = write_piece(write, from, at, piece_bytes, limit);
      if (piece.error == kBusy) {
        moved = write_through_cache(write, buffers, moved.bytes, bytes, *offset, limit);
        break;
      }
      moved.bytes += piece.bytes;
      moved.error = piece.error;
    }
  }
  // The stamps are pushed with the next flush, sync or close: each push keeps others off the object.
  if (inode->unsynced().sync_due()) inode->after_flush();
  inode->cache().counters().direct_write_bytes.fetch_add(moved.bytes);
  return moved;
}

}  // namespace quire::file
