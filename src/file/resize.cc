#include "file/resize.h"

#include <algorithm>
#include <optional>

#include "cache/seal.h"
#include "cache/writeback.h"
#include "file/store_call.h"
#include "sync/range_lock.h"

namespace quire::file {
namespace {

class TruncateCall final : public StoreCall {
 public:
  TruncateCall(std::shared_ptr<Inode> inode, std::uint64_t size_bytes)
      : StoreCall(inode), inode_(std::move(inode)), size_bytes_(size_bytes) {}

  // Takes the locks, to shrink also the block, and seals what goes.
  std::error_code prepare(const sync::WaitLimit& limit);
  void submit() noexcept;
  // Ends a call that was never submitted.
  static void drop(TruncateCall* call) {
    call->inode_->end_request();
    delete call;
  }
  bool nothing_to_do() const noexcept { return nothing_to_do_; }

 private:
  ~TruncateCall() override { release(); }
  void ended(std::error_code error) noexcept override;
  void release() noexcept;

  const std::shared_ptr<Inode> inode_;
  const std::uint64_t size_bytes_;
  bool nothing_to_do_ = false;
  bool range_held_ = false;
  cache::CacheLock::Operation operation_;
  sync::RangeLock::Hold range_;
  cache::CacheLock::Block block_;
  std::optional<cache::SealedRange> sealed_;
};

std::error_code TruncateCall::prepare(const sync::WaitLimit& limit) {
  sync::WaitStatus status = operation_.begin(inode_->lock(), sync::RwMode::kWrite, limit);
  if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  for (;;) {
    const std::uint64_t first = std::min(size_bytes_, inode_->size_bytes());
    status = inode_->lock_range(range_, first, ~std::uint64_t{0}, limit);
    if (status != sync::WaitStatus::kReady) return sync::to_error(status);
    range_held_ = true;
    if (std::min(size_bytes_, inode_->size_bytes()) >= first) break;
    range_held_ = false;  // the file shrank while we waited
    inode_->ranges().unlock(range_);
  }
  if (size_bytes_ >= inode_->size_bytes()) {
    nothing_to_do_ = size_bytes_ == inode_->size_bytes();
    return {};
  }
  const std::uint64_t first_page = cache::page_index(size_bytes_);
  status = block_.begin(inode_->lock(), first_page, ~std::uint64_t{0}, limit);
  if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  sealed_.emplace(*inode_);
  return sealed_->seal(first_page, ~std::uint64_t{0}, limit);
}

void TruncateCall::submit() noexcept {
  // From here on the locks are the operation's, not this thread's.
  block_.hand_over();
  operation_.hand_over();
  inode_->ranges().hand_over();
  inode_->cache().store().truncate(inode_->write_handle(), size_bytes_, *this);
}

void TruncateCall::ended(std::error_code error) noexcept {
  if (!error) {
    inode_->stamp_change();
    inode_->note_changed();
    inode_->set_size_bytes(size_bytes_);
    const std::size_t tail = size_bytes_ & (limits::kPageBytes - 1);
    if (sealed_) {
      sealed_->drop_from(cache::pages_of(size_bytes_));
      if (tail != 0) sealed_->zero_tail_of(cache::page_index(size_bytes_), tail);
      inode_->unsynced().forget_from(cache::pages_of(size_bytes_));
    }
  }
  release();
}

void TruncateCall::release() noexcept {
  sealed_.reset();
  block_.end();
  if (range_held_) {
    range_held_ = false;
    inode_->ranges().unlock(range_);
  }
  operation_.end();
}

class AllocateCall final : public StoreCall {
 public:
  AllocateCall(std::shared_ptr<Inode> inode, std::uint64_t offset, std::uint64_t end,
               bool keep_size)
      : StoreCall(inode),
        inode_(std::move(inode)),
        offset_(offset),
        end_(end),
        keep_size_(keep_size) {}

  // Takes the locks.
  std::error_code prepare(const sync::WaitLimit& limit);
  void submit() noexcept;
  // Ends a call that was never submitted.
  static void drop(AllocateCall* call) {
    call->inode_->end_request();
    delete call;
  }

 private:
  ~AllocateCall() override { release(); }
  bool next() noexcept override;
  void ended(std::error_code error) noexcept override;
  void release() noexcept;

  const std::shared_ptr<Inode> inode_;
  const std::uint64_t offset_;
  const std::uint64_t end_;
  const bool keep_size_;
  bool grows_ = false;
  bool growing_ = false;
  bool range_held_ = false;
  cache::CacheLock::Operation operation_;
  sync::RangeLock::Hold range_;
};

std::error_code AllocateCall::prepare(const sync::WaitLimit& limit) {
  sync::WaitStatus status = operation_.begin(inode_->lock(), sync::RwMode::kWrite, limit);
  if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  for (;;) {
    const std::uint64_t size = inode_->size_bytes();
    grows_ = !keep_size_ && end_ > size;
    const std::uint64_t first = grows_ ? std::min(offset_, size) : offset_;
    const std::uint64_t last = grows_ ? ~std::uint64_t{0} : end_ - 1;
    status = inode_->lock_range(range_, first, last, limit);
    if (status != sync::WaitStatus::kReady) return sync::to_error(status);
    range_held_ = true;
    // Under a range that reaches past the end the size stays; else it may have changed while we waited.
    const std::uint64_t now = inode_->size_bytes();
    if (grows_ ? std::min(offset_, now) >= first : keep_size_ || end_ <= now) {
      grows_ = !keep_size_ && end_ > now;
      return {};
    }
    range_held_ = false;
    inode_->ranges().unlock(range_);
  }
}

void AllocateCall::submit() noexcept {
  // From here on the locks are the operation's, not this thread's.
  inode_->ranges().hand_over();
  operation_.hand_over();
  inode_->cache().store().reserve(inode_->write_handle(), offset_, end_ - offset_, *this);
}

bool AllocateCall::next() noexcept {
  if (!grows_ || growing_) return false;
  growing_ = true;
  // At the store too: nothing that is written back later would make the object as long.
  inode_->cache().store().truncate(inode_->write_handle(), end_, *this);
  return true;
}

void AllocateCall::ended(std::error_code error) noexcept {
  // A store that refused may have changed its own stamps all the same.
  inode_->note_changed();
  if (!error) {
    inode_->stamp_change();
    if (grows_) inode_->set_size_bytes(end_);
  }
  release();
}

void AllocateCall::release() noexcept {
  if (range_held_) {
    range_held_ = false;
    inode_->ranges().unlock(range_);
  }
  operation_.end();
}

// Runs `then` with all locks of the whole file, and every page sealed.
template <class Then>
std::error_code with_all_sealed(Inode& inode, const sync::WaitLimit& limit, Then then) {
  cache::CacheLock::Operation operation;
  sync::WaitStatus status = operation.begin(inode.lock(), sync::RwMode::kWrite, limit);
  if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  sync::RangeLock::Hold range;
  status = inode.lock_range(range, 0, ~std::uint64_t{0}, limit);
  if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  const sync::RangeGuard guard(inode.ranges(), range);
  cache::CacheLock::Block block;
  status = block.begin(inode.lock(), 0, ~std::uint64_t{0}, limit);
  if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  cache::SealedRange sealed(inode);
  const std::error_code error = sealed.seal(0, ~std::uint64_t{0}, limit);
  if (!error) then(sealed);
  return error;
}

}  // namespace

std::error_code truncate(const std::shared_ptr<Inode>& inode, std::uint64_t size_bytes,
                         const sync::WaitLimit& limit) {
  auto* const call = new TruncateCall(inode, size_bytes);
  std::error_code error = call->prepare(limit);
  if (error || call->nothing_to_do()) {
    if (!error) inode->stamp_change();
    TruncateCall::drop(call);
    return error;
  }
  call->submit();
  error = StoreCall::wait_and_disown(call, limit);
  if (!error) inode->after_flush();
  return error;
}

std::error_code allocate(const std::shared_ptr<Inode>& inode, std::uint64_t offset,
                         std::uint64_t end, bool keep_size, const sync::WaitLimit& limit) {
  if (!inode->cache().traits().reserves_space) {
    return std::make_error_code(std::errc::operation_not_supported);
  }
  auto* const call = new AllocateCall(inode, offset, end, keep_size);
  std::error_code error = call->prepare(limit);
  if (error) {
    AllocateCall::drop(call);
    return error;
  }
  call->submit();
  error = StoreCall::wait_and_disown(call, limit);
  if (!error) inode->after_flush();
  return error;
}

std::error_code discard(Inode& inode, const sync::WaitLimit& limit) {
  return with_all_sealed(inode, limit, [&](cache::SealedRange& sealed) {
    inode.set_size_bytes(0);
    sealed.drop_from(0);
    inode.forget_changes();
  });
}

Behind check_behind(Inode& inode, const sync::WaitLimit& limit) {
  Behind result = Behind::kUnchanged;
  (void)with_all_sealed(inode, limit, [&](cache::SealedRange& sealed) {
    const std::optional<ObjectStat> stat = inode.look_behind();
    if (!stat) return;
    if (inode.dirty().size() == 0) {
      inode.adopt(*stat);
      sealed.drop_from(0);
      result = Behind::kAdopted;
    } else {
      inode.set_stale(*stat);
      result = Behind::kStale;
    }
  });
  return result;
}

std::error_code drop_behind(const std::shared_ptr<Inode>& inode, std::uint64_t first_page,
                            std::uint64_t last_page) {
  const sync::WaitLimit limit = {sync::deadline_after(limits::kCloseWaitMax), {}};
  const cache::FlushResult flushed = cache::flush_all(*inode, first_page, last_page, limit);
  if (flushed.pages > 0) inode->after_flush();
  cache::drop_clean(*inode, first_page, last_page);
  return flushed.error;
}

}  // namespace quire::file
