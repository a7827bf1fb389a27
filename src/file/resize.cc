#include "file/resize.h"

#include <algorithm>
#include <optional>

#include "cache/block_holders.h"
#include "cache/seal.h"
#include "cache/writeback.h"
#include "fault/planted.h"
#include "file/cut_call.h"
#include "file/sync_file.h"
#include "file/tail.h"
#include "sync/range_lock.h"

namespace quire::file {
namespace {

class TruncateCall : public CutCall {
 public:
  TruncateCall(const std::shared_ptr<Inode>& inode, std::uint64_t size_bytes)
      : CutCall(inode), size_bytes_(size_bytes) {}

 protected:
  std::error_code prepare(const sync::WaitLimit& limit) override;

  std::uint64_t size_bytes_;  // of the file, when this has ended

 private:
  bool next() noexcept override;
  void done() noexcept override;
  void failed(std::error_code error) noexcept override;

  bool shrinks_ = false;
  bool asked_ = false;
};

std::error_code TruncateCall::prepare(const sync::WaitLimit& limit) {
  const std::error_code error = lock_bytes(
      [&](std::uint64_t size) {
        return Bytes{std::min(size_bytes_, size), kLast};
      },
      limit);
  shrinks_ = size_bytes_ < inode_->size_bytes();
  if (error) return error;
  if (!shrinks_) return settle_tail(*inode_, limit);
  return lock_pages(cache::page_index(size_bytes_), kLast, limit);
}

bool TruncateCall::next() noexcept {
  if (asked_ || size_bytes_ == inode_->size_bytes()) return false;
  asked_ = true;
  if (fault::planted(fault::Planted::kPublishSizeFirst)) inode_->set_size_bytes(size_bytes_);
  store().truncate(handle(), size_bytes_, *this);
  return true;
}

void TruncateCall::done() noexcept {
  inode_->stamp_change();
  if (!asked_) return;
  inode_->note_changed();
  inode_->set_size_bytes(size_bytes_);
  if (inode_->space() != nullptr) {
    inode_->space()->truncated(cache::pages_of(size_bytes_), shrinks_);
  }
  if (!shrinks_) return;
  inode_->note_cut();
  const std::size_t tail = size_bytes_ & (limits::kPageBytes - 1);
  if (!fault::planted(fault::Planted::kSkipTruncateDrop)) {
    down_->pages().drop_from(cache::pages_of(size_bytes_));
  }
  if (tail != 0 && !fault::planted(fault::Planted::kSkipTailZeroing)) {
    down_->pages().zero_tail_of(cache::page_index(size_bytes_), tail);
  }
  inode_->unsynced().forget_from(cache::pages_of(size_bytes_));
}

void TruncateCall::failed(std::error_code /*error*/) noexcept {
  if (inode_->space() == nullptr) return;
  const std::uint64_t size = std::min(size_bytes_, inode_->size_bytes());
  inode_->space()->doubt({cache::pages_of(size), kLast});
}

class ExtendCall final : public TruncateCall {
 public:
  ExtendCall(const std::shared_ptr<Inode>& inode, std::uint64_t alignment_bytes, std::size_t* bytes,
             std::uint64_t* offset, std::uint64_t* cuts)
      : TruncateCall(inode, 0),
        alignment_mask_(alignment_bytes - 1),
        bytes_(bytes),
        offset_(offset),
        cuts_(cuts) {}

 private:
  std::error_code prepare(const sync::WaitLimit& limit) override;

  const std::uint64_t alignment_mask_;
  // The caller's, while prepare() runs.
  std::size_t* const bytes_;
  std::uint64_t* const offset_;
  std::uint64_t* const cuts_;
};

std::error_code ExtendCall::prepare(const sync::WaitLimit& limit) {
  const std::error_code error = lock_bytes(
      [](std::uint64_t size) {
        return Bytes{size, kLast};
      },
      limit);
  if (error) return error;
  const std::uint64_t size = inode_->size_bytes();
  *offset_ = size;
  *cuts_ = inode_->cuts();
  const std::uint64_t room = (limits::kFileSizeMaxBytes - size) & ~alignment_mask_;
  if ((size & alignment_mask_) != 0) return std::make_error_code(std::errc::invalid_argument);
  if (room == 0) return std::make_error_code(std::errc::file_too_large);
  *bytes_ = static_cast<std::size_t>(std::min<std::uint64_t>(*bytes_, room));
  size_bytes_ = size + *bytes_;
  return settle_tail(*inode_, limit);
}

class CutBackCall final : public TruncateCall {
 public:
  CutBackCall(const std::shared_ptr<Inode>& inode, std::uint64_t from_bytes,
              std::uint64_t size_bytes, std::uint64_t cuts, std::uint64_t changes)
      : TruncateCall(inode, size_bytes), from_bytes_(from_bytes), cuts_(cuts), changes_(changes) {}

 private:
  std::error_code prepare(const sync::WaitLimit& limit) override {
    const std::error_code error = TruncateCall::prepare(limit);
    // The pages are sealed: nobody can store into them now.
    const bool ours = inode_->size_bytes() == from_bytes_ && inode_->cuts() == cuts_ &&
                      inode_->append_places().changes() == changes_;
    if (!error && !ours) size_bytes_ = inode_->size_bytes();
    return error;
  }

  const std::uint64_t from_bytes_;
  const std::uint64_t cuts_;
  const std::uint64_t changes_;
};

class AllocateCall final : public CutCall {
 public:
  AllocateCall(const std::shared_ptr<Inode>& inode, std::uint64_t offset, std::uint64_t end,
               bool keep_size)
      : CutCall(inode), offset_(offset), end_(end), keep_size_(keep_size) {}

 private:
  std::error_code prepare(const sync::WaitLimit& limit) override;
  bool next() noexcept override;
  void done() noexcept override;
  // A store that refused may have changed its own stamps all the same.
  void failed(std::error_code /*error*/) noexcept override { inode_->note_changed(); }

  const std::uint64_t offset_;
  const std::uint64_t end_;
  const bool keep_size_;
  bool grows_ = false;
  int asked_ = 0;
};

std::error_code AllocateCall::prepare(const sync::WaitLimit& limit) {
  const std::error_code error = lock_bytes(
      [&](std::uint64_t size) {
        const bool grows = !keep_size_ && end_ > size;
        return grows ? Bytes{std::min(offset_, size), kLast} : Bytes{offset_, end_ - 1};
      },
      limit);
  grows_ = !keep_size_ && end_ > inode_->size_bytes();
  return error || !grows_ ? error : settle_tail(*inode_, limit);
}

bool AllocateCall::next() noexcept {
  switch (asked_++) {
    case 0:
      store().reserve(handle(), offset_, end_ - offset_, *this);
      return true;
    case 1:
      if (!grows_) return false;
      // At the store too: nothing that is written back later would make the object as long.
      store().truncate(handle(), end_, *this);
      return true;
    default:
      return false;
  }
}

void AllocateCall::done() noexcept {
  inode_->stamp_change();
  inode_->note_changed();
  if (SpaceBook* const space = inode_->space(); space != nullptr) {
    // Of a page that was asked for in part it is known only that others want it.
    space->written({cache::page_index(offset_), cache::pages_of(end_)});
    space->kept({cache::pages_of(offset_), cache::page_index(end_)});
    if (grows_) space->truncated(cache::pages_of(end_), false);
  }
  if (grows_) inode_->set_size_bytes(end_);
}

// Runs `then` with all locks of the whole file, and every page sealed.
template <class Then>
std::error_code with_all_sealed(Inode& inode, const sync::WaitLimit& limit, Then then) {
  const cache::BlockHolders::Scope scope;
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
  return CutCall::run(new TruncateCall(inode, size_bytes), limit);
}

std::error_code extend(const std::shared_ptr<Inode>& inode, std::uint64_t alignment_bytes,
                       std::size_t* bytes, std::uint64_t* offset, std::uint64_t* cuts,
                       const sync::WaitLimit& limit) {
  return CutCall::run(new ExtendCall(inode, alignment_bytes, bytes, offset, cuts), limit);
}

std::error_code cut_back(const std::shared_ptr<Inode>& inode, std::uint64_t from_bytes,
                         std::uint64_t size_bytes, std::uint64_t cuts, std::uint64_t changes,
                         const sync::WaitLimit& limit) {
  return CutCall::run(new CutBackCall(inode, from_bytes, size_bytes, cuts, changes), limit);
}

std::error_code allocate(const std::shared_ptr<Inode>& inode, std::uint64_t offset,
                         std::uint64_t end, bool keep_size, const sync::WaitLimit& limit) {
  if (!inode->cache().traits().reserves_space) {
    return std::make_error_code(std::errc::operation_not_supported);
  }
  return CutCall::run(new AllocateCall(inode, offset, end, keep_size), limit);
}

std::error_code discard(Inode& inode, const sync::WaitLimit& limit) {
  return with_all_sealed(inode, limit, [&](cache::SealedRange& sealed) {
    inode.set_size_bytes(0);
    inode.note_cut();
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

std::error_code mend(Inode& inode, const sync::WaitLimit& limit) {
  std::error_code looked;
  const std::error_code error = with_all_sealed(inode, limit, [&](cache::SealedRange& sealed) {
    const Result<ObjectStat> now = inode.cache().store().stat(inode.read_handle());
    looked = now.code();
    if (looked) return;
    sealed.drop_from(cache::pages_of(now->size_bytes));
    sealed.drop_clean();
    inode.mended(*now);
  });
  return error ? error : looked;
}

std::error_code drop_behind(const std::shared_ptr<Inode>& inode, std::uint64_t first_page,
                            std::uint64_t last_page) {
  const sync::WaitLimit limit = {sync::deadline_after(limits::kCloseWaitMax), {}};
  const cache::FlushResult flushed =
      flush(*inode, first_page, last_page, limit, cache::Sight::kEnds);
  if (flushed.pages > 0) inode->after_flush();
  cache::drop_clean(*inode, first_page, last_page);
  return flushed.error;
}

}  // namespace quire::file
