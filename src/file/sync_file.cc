#include "file/sync_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cache/page_write.h"
#include "fault/planted.h"
#include "file/store_call.h"
#include "sync/range_lock.h"

namespace quire::file {
namespace {

// Attempts of one call, while others' syncs keep failing beside it.
constexpr int kAttemptsMax = 3;

const std::error_code kIoError = std::make_error_code(std::errc::io_error);

// One sync of the store's. Holds the file's turn from take_turn() until the request has ended, whether
// anybody waits still or not.
class SyncCall final : public StoreCall {
 public:
  explicit SyncCall(std::shared_ptr<Inode> inode) : StoreCall(inode), inode_(std::move(inode)) {}

  std::error_code take_turn(const sync::WaitLimit& limit) {
    const sync::WaitStatus status =
        inode_->sync_turn().lock(turn_, 0, ~std::uint64_t{0}, sync::RangeMode::kExclusive, limit);
    held_ = status == sync::WaitStatus::kReady;
    return sync::to_error(status);
  }
  bool try_turn() {
    held_ = inode_->sync_turn().try_lock(turn_, 0, ~std::uint64_t{0}, sync::RangeMode::kExclusive);
    return held_;
  }
  void submit(SyncKind kind) noexcept {
    taken_ = inode_->unsynced().take();
    // From here on the turn is the request's, not this thread's.
    inode_->sync_turn().hand_over();
    const ObjectHandle write = inode_->write_handle();
    const ObjectHandle handle = write.value != 0 ? write : inode_->read_handle();
    inode_->cache().store().sync(handle, kind, *this);
  }
  // Ends a call that was never submitted.
  static void drop(SyncCall* call) {
    const std::shared_ptr<Inode> inode = call->inode_;
    delete call;
    inode->end_request();
  }

 private:
  ~SyncCall() override { release(); }
  void ended(std::error_code error) noexcept override {
    if (error && !fault::planted(fault::Planted::kSyncForgetsError)) {
      inode_->unsynced().failed();
      // Of what the store has taken it may have kept nothing.
      if (inode_->space() != nullptr) inode_->space()->doubt({0, ~std::uint64_t{0}});
    } else {
      inode_->unsynced().succeeded(taken_);
    }
    release();
  }
  void release() noexcept {
    if (!held_) return;
    held_ = false;
    inode_->sync_turn().unlock(turn_);
  }

  const std::shared_ptr<Inode> inode_;
  Unsynced::Taken taken_;
  sync::RangeLock::Hold turn_;
  bool held_ = false;
};

// Makes one page of a failed sync dirty again, or counts it as lost.
std::error_code rewrite_page(Inode& inode, std::uint64_t index, const sync::WaitLimit& limit) {
  const std::uint64_t begin = cache::page_offset(index);
  cache::CacheLock::Operation operation;
  sync::WaitStatus status = operation.begin(inode.lock(), sync::RwMode::kWrite, limit);
  if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  sync::RangeLock::Hold range;
  status = inode.lock_range(range, begin, begin + limits::kPageBytes - 1, limit);
  if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  const sync::RangeGuard guard(inode.ranges(), range);
  // While we waited a direct write may have cured it, or a cut taken it away.
  if (!inode.unsynced().to_rewrite(index)) return {};
  if (index >= cache::pages_of(inode.size_bytes())) {
    // Nobody can make the file longer while we hold a range past its end.
    inode.unsynced().forget_rewrite_from(index);
    return {};
  }
  if (!cache::PageWrite::stored_here(inode, index)) {
    inode.unsynced().lose(index);
    return {};
  }
  std::error_code error = inode.cache().dirty().take(1, limit);
  if (error) return error;
  cache::PageWrite page(inode);
  error = page.begin(index, 0, 0, limit);
  if (!error && page.stored_here()) {
    page.finish(0);
    inode.unsynced().rewritten(index);
    return {};
  }
  // It was evicted meanwhile; or we could not wait for it.
  page.abandon();
  inode.cache().dirty().give(1);
  if (!error) inode.unsynced().lose(index);
  return error;
}

}  // namespace

std::error_code rewrite_failed(Inode& inode, const sync::WaitLimit& limit) {
  std::uint64_t index = 0;
  while (inode.unsynced().next_rewrite(&index)) {
    // Open for reading only; whoever opens it for writing can cure it.
    if (inode.write_handle().value == 0) return kIoError;
    const std::error_code error = rewrite_page(inode, index, limit);
    if (error) return error;
  }
  return {};
}

namespace {

// Waits until nobody is making the file longer.
std::error_code wait_extenders(Inode& inode, const sync::WaitLimit& limit) {
  cache::CacheLock::Operation operation;
  sync::WaitStatus status = operation.begin(inode.lock(), sync::RwMode::kWrite, limit);
  if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  sync::RangeLock::Hold range;
  status = inode.lock_range(range, inode.size_bytes(), ~std::uint64_t{0}, limit);
  if (status == sync::WaitStatus::kReady) inode.ranges().unlock(range);
  return sync::to_error(status);
}

}  // namespace

cache::FlushResult flush(Inode& inode, std::uint64_t first_page, std::uint64_t last_page,
                         const sync::WaitLimit& limit, cache::Sight sight) {
  cache::FlushResult result = cache::flush_all(inode, first_page, last_page, limit, sight);
  if (inode.cache().traits().io_alignment_bytes == 1) return result;
  for (int attempt = 1; attempt < kAttemptsMax; ++attempt) {
    if (result.error != std::errc::invalid_argument) return result;
    if (const std::error_code error = wait_extenders(inode, limit)) {
      result.error = error;
      return result;
    }
    const cache::FlushResult more = cache::flush_all(inode, first_page, last_page, limit, sight);
    result = {more.error, result.pages + more.pages};
  }
  return result;
}

namespace {

// One attempt of sync_pages. `again`: it came to nothing because another sync failed just before.
std::error_code sync_once(const std::shared_ptr<Inode>& inode, std::uint64_t first_page,
                          std::uint64_t last_page, SyncKind kind, const sync::WaitLimit& limit,
                          bool* again) {
  const std::uint64_t failures = inode->unsynced().failures();
  if (inode->unsynced().rewrite_needed()) {
    const std::error_code error = rewrite_failed(*inode, limit);
    if (error) return error;
    first_page = 0;
    last_page = ~std::uint64_t{0};
  }
  const cache::FlushResult flushed = flush(*inode, first_page, last_page, limit);
  // Not if nothing of ours is new: another program's stamps would be set back.
  if (flushed.pages > 0 || inode->unpushed()) inode->after_flush();
  if (flushed.error) return flushed.error;
  if (inode->take_stale()) return std::error_code(ESTALE, std::generic_category());

  const std::uint64_t changes = inode->unsynced().changes();
  const bool was_durable = inode->unsynced().durable(changes);
  auto* const call = new SyncCall(inode);
  std::error_code error = call->take_turn(limit);
  // A sync that held the turn before us may have failed, and lost what ours would find written. Or one
  // that began while we waited has done our work, so that many who sync at once share a few syncs.
  *again = !error && inode->unsynced().failures() != failures;
  const bool done = kind == SyncKind::kData && !was_durable && inode->unsynced().durable(changes);
  if (error || *again || done || fault::planted(fault::Planted::kSyncSkipsStore)) {
    SyncCall::drop(call);
    return error;
  }
  call->submit(kind);
  error = StoreCall::wait_and_disown(call, limit);
  // At once, while the pages are still cached.
  if (error) (void)rewrite_failed(*inode, limit);
  return error;
}

}  // namespace

std::error_code write_back(Inode& inode, const sync::WaitLimit& limit) {
  // Until the time stamps are pushed the handles stay.
  const cache::FilePages::InUse in_use(inode);
  const cache::FlushResult result = flush(inode, 0, ~std::uint64_t{0}, limit);
  if (result.pages > 0) inode.after_flush();
  return result.error;
}

void begin_sync(const std::shared_ptr<Inode>& inode) {
  auto* const call = new SyncCall(inode);
  if (!call->try_turn()) {
    SyncCall::drop(call);
    return;
  }
  call->submit(SyncKind::kData);
  (void)StoreCall::wait_and_disown(call, {sync::Clock::time_point{}, {}});
}

std::string lost_text(const Inode& inode, std::uint64_t first_page, std::uint64_t last_page) {
  std::uint64_t first = 0;
  const std::uint64_t pages = inode.unsynced().lost(first_page, last_page, &first);
  if (pages == 0) return {};
  return fmt::format(
      ": {} pages of {} bytes, from offset {} on, were written, not made durable by a sync that "
      "failed, and are no longer in the cache; write them again as a whole, or cut them away",
      pages, limits::kPageBytes, cache::page_offset(first));
}

std::error_code sync_pages(const std::shared_ptr<Inode>& inode, std::uint64_t first_page,
                           std::uint64_t last_page, SyncKind kind, const sync::WaitLimit& limit) {
  // Open for reading only: nothing of it is dirty, but what was written before may not be durable.
  const bool nothing_to_sync = inode->write_handle().value == 0 && !inode->unsynced().sync_needed();
  bool again = !nothing_to_sync;
  for (int attempt = 0; again && attempt < kAttemptsMax; ++attempt) {
    const std::error_code error = sync_once(inode, first_page, last_page, kind, limit, &again);
    if (error) return error;
  }
  if (again) return kIoError;
  std::uint64_t first_lost = 0;
  if (inode->unsynced().lost(first_page, last_page, &first_lost) > 0) return kIoError;
  return {};
}

}  // namespace quire::file
