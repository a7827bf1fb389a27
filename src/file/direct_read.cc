#include <algorithm>
#include <array>

#include "cache/writeback.h"
#include "fault/planted.h"
#include "file/bounce.h"
#include "file/direct.h"
#include "file/mapping_table.h"
#include "file/slices.h"
#include "file/store_call.h"
#include "file/sync_file.h"
#include "sync/check.h"
#include "sync/range_lock.h"

namespace quire::file {
namespace {

using cache::kInPage;

// What a direct read holds: by it, and by its requests, for as long as they last.
class ReadLocks {
 public:
  explicit ReadLocks(std::shared_ptr<Inode> inode) : inode_(std::move(inode)) {}
  ~ReadLocks() {
    if (held_) inode_->ranges().unlock(range_);
  }
  ReadLocks(const ReadLocks&) = delete;
  ReadLocks& operator=(const ReadLocks&) = delete;

  // Whole pages: what the store is asked for is then nobody's to write, not even beside these bytes.
  std::error_code lock(std::uint64_t offset, std::size_t bytes, const sync::WaitLimit& limit) {
    sync::WaitStatus status = operation_.begin(inode_->lock(), sync::RwMode::kRead, limit);
    if (status != sync::WaitStatus::kReady) return sync::to_error(status);
    if (fault::planted(fault::Planted::kDirectReadTakesNoRange)) return {};
    status = inode_->lock_range(range_, offset & ~kInPage, (offset + bytes - 1) | kInPage, limit,
                                sync::RangeMode::kShared);
    held_ = status == sync::WaitStatus::kReady;
    // A shift that we waited for may have failed midway.
    if (held_ && inode_->broken()) return std::make_error_code(std::errc::io_error);
    return sync::to_error(status);
  }
  void hand_over() noexcept {
    operation_.hand_over();
    inode_->ranges().hand_over();
  }
  const std::shared_ptr<Inode>& inode() const noexcept { return inode_; }

 private:
  const std::shared_ptr<Inode> inode_;
  cache::CacheLock::Operation operation_;
  sync::RangeLock::Hold range_;
  bool held_ = false;
};

// One request.
class ReadCall final : public StoreCall {
 public:
  explicit ReadCall(std::shared_ptr<ReadLocks> locks)
      : StoreCall(locks->inode(), Request::kLooks),
        locks_(std::move(locks)),
        bounce_(locks_->inode()->cache()) {}

  // The memory: the caller's next `bytes_max` bytes at most, or as many of ours.
  std::size_t take_memory(Slices<std::byte>& to, std::size_t bytes_max) noexcept {
    return to.take(bytes_max, pieces_, &count_);
  }
  std::error_code take_bounce(std::size_t bytes, const sync::WaitLimit& limit) {
    const std::error_code error = bounce_.take(bytes, limit);
    while (!error && count_ < bounce_.pieces()) {
      pieces_[count_] = bounce_.piece(count_);
      ++count_;
    }
    return error;
  }
  void submit(std::uint64_t offset, IoMode mode) noexcept {
    Inode& inode = *locks_->inode();
    inode.cache().counters().read_requests.fetch_add(1);
    inode.cache().store().read(inode.read_handle(), offset, {pieces_.data(), count_}, mode, *this);
  }
  // Of a call that has ended, or that was never submitted.
  std::error_code result() const noexcept { return error(); }
  std::size_t read_bytes() const noexcept { return bytes(); }
  const Bounce& bounce() const noexcept { return bounce_; }
  static void end(ReadCall* call) { delete call; }
  static void drop(ReadCall* call) {
    const std::shared_ptr<ReadLocks> locks = call->locks_;
    delete call;
    locks->inode()->end_request(Request::kLooks);
  }

 private:
  ~ReadCall() override = default;

  const std::shared_ptr<ReadLocks> locks_;
  Bounce bounce_;
  std::size_t count_ = 0;
  std::array<Store::Buffer, limits::kStoreIoMaxPieces> pieces_;
};

// Reads one piece: `wanted` bytes of the file at `offset`, for which the store is asked for `asked`. Returns how
// many of `wanted` it was; what the store does not have of them are zeros.
Transfer read_piece(const std::shared_ptr<ReadLocks>& locks, Slices<std::byte>& to,
                    std::uint64_t offset, std::size_t asked, std::size_t wanted,
                    const sync::WaitLimit& limit) {
  const bool bounced = limit.may_leave();
  auto* const call = new ReadCall(locks);
  Slices<std::byte> memory = to;
  if (bounced) {
    if (const std::error_code error = call->take_bounce(asked, limit)) {
      ReadCall::drop(call);
      return {0, error};
    }
  } else {
    asked = call->take_memory(to, asked);
    wanted = std::min(wanted, asked);
  }
  call->submit(offset, bounced ? IoMode::kAsync : IoMode::kWait);
  const sync::WaitStatus status = StoreCall::wait(call, limit);
  if (status != sync::WaitStatus::kReady) return {0, sync::to_error(status)};

  const Transfer moved = {call->result() ? 0 : wanted, call->result()};
  std::size_t valid = std::min(call->read_bytes(), moved.bytes);
  if (bounced && !moved.error) {
    std::size_t left = valid;
    for (std::size_t i = 0; left > 0; ++i) {
      const auto piece = call->bounce().piece(i);
      copy_in(memory, piece.first(std::min(piece.size(), left)));
      left -= std::min(piece.size(), left);
    }
  } else {
    memory.for_each(valid, [](std::span<std::byte>) {});
  }
  // The object may end before the file does: what would make it longer is not written yet.
  fill_zero(memory, moved.bytes - valid);
  ReadCall::end(call);
  if (bounced) to = memory;
  return moved;
}

}  // namespace

Transfer direct_read(const std::shared_ptr<Inode>& inode,
                     std::span<const std::span<std::byte>> buffers, std::size_t bytes,
                     std::uint64_t offset, const sync::WaitLimit& limit) {
  QUIRE_DCHECK(!MappingTable::of_process().meets(buffers));
  Transfer moved;
  // What a failed sync may have lost is known to the cache alone.
  moved.error = rewrite_failed(*inode, limit);
  if (moved.error || bytes == 0) return moved;
  bool flushed = false;
  {
    const auto locks = std::make_shared<ReadLocks>(inode);
    moved.error = locks->lock(offset, bytes, limit);
    if (moved.error) return moved;
    locks->hand_over();
    const std::uint64_t size = inode->size_bytes();
    if (offset >= size) return moved;
    const auto in_file = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, size - offset));
    const bool skips = fault::planted(fault::Planted::kDirectReadSkipsDirty);
    if (inode->dirty().unwritten() > 0 && !skips) {
      const cache::FlushResult result = cache::flush_all(
          *inode, cache::page_index(offset), cache::page_index(offset + in_file - 1), limit);
      flushed = result.pages > 0;
      moved.error = result.error;
    }
    const std::size_t piece_max =
        limit.may_leave() ? Bounce::bytes_max(inode->cache()) : limits::kDirectPieceBytes;
    Slices<std::byte> to(buffers);
    while (!moved.error && moved.bytes < in_file) {
      const std::uint64_t at = offset + moved.bytes;
      const std::size_t asked =
          std::min(bytes - moved.bytes, piece_max - static_cast<std::size_t>(at & kInPage));
      const Transfer piece =
          read_piece(locks, to, at, asked, std::min(asked, in_file - moved.bytes), limit);
      moved.bytes += piece.bytes;
      moved.error = piece.error;
    }
  }
  if (flushed) inode->after_flush();
  inode->cache().counters().direct_read_bytes.fetch_add(moved.bytes);
  return moved;
}

}  // namespace quire::file
