#include "file/sync_file.h"

#include <algorithm>
#include <utility>

#include "cache/page_write.h"
#include "cache/writeback.h"
#include "file/store_call.h"
#include "sync/range_lock.h"

namespace quire::file {
namespace {

// Syncs of the store that one call makes while others keep failing beside it.
constexpr int kAttemptsMax = 3;

class SyncCall final : public StoreCall {
 public:
  explicit SyncCall(std::shared_ptr<Inode> inode)
      : StoreCall(inode), inode_(std::move(inode)), written_(inode_->unsynced().take()) {
    inode_->set_needs_sync(false);
  }

 private:
  void ended(std::error_code error) noexcept override {
    if (!error) return;
    inode_->unsynced().put_back(written_);
    inode_->set_needs_sync(true);
  }

  const std::shared_ptr<Inode> inode_;
  const Unsynced::Intervals written_;
};

// Makes one page dirty again, reading it first where it is no longer cached.
std::error_code redirty_page(Inode& inode, std::uint64_t index, const sync::WaitLimit& limit) {
  const std::uint64_t begin = cache::page_offset(index);
  sync::RangeLock::Hold range;
  const sync::WaitStatus status = inode.ranges().lock(range, begin, begin + limits::kPageBytes - 1,
                                                      sync::RangeMode::kExclusive, limit);
  if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  std::error_code error;
  if (index >= cache::pages_of(inode.size_bytes())) {
    // Nobody can make the file longer while we hold a range past its end.
    inode.unsynced().forget_rewrite_from(index);
  } else {
    error = inode.cache().dirty().take(1, limit);
    if (!error) {
      cache::PageWrite page(inode);
      error = page.begin(index, 0, 0, limit);
      if (!error) {
        page.finish(0);
        inode.unsynced().rewritten(index);
      } else {
        inode.cache().dirty().give(1);
      }
    }
  }
  inode.ranges().unlock(range);
  return error;
}

std::error_code redirty_failed(Inode& inode, const sync::WaitLimit& limit) {
  std::uint64_t index = 0;
  while (inode.unsynced().next_rewrite(&index)) {
    const std::error_code error = redirty_page(inode, index, limit);
    if (error) return error;
  }
  return {};
}

// One attempt of sync_pages.
std::error_code sync_once(const std::shared_ptr<Inode>& inode, std::uint64_t first_page,
                          std::uint64_t last_page, SyncKind kind, const sync::WaitLimit& limit) {
  if (inode->unsynced().rewrite_needed()) {
    const std::error_code error = redirty_failed(*inode, limit);
    if (error) return error;
    first_page = 0;
    last_page = ~std::uint64_t{0};
  }
  const cache::FlushResult flushed = cache::flush_all(*inode, first_page, last_page, limit);
  if (flushed.pages > 0 || kind == SyncKind::kAll) inode->after_flush();
  if (flushed.error) return flushed.error;
  if (inode->take_stale()) return std::error_code(ESTALE, std::generic_category());

  auto* const call = new SyncCall(inode);
  inode->cache().store().sync(inode->write_handle(), kind, *call);
  return StoreCall::wait_and_disown(call, limit);
}

}  // namespace

std::error_code write_back(Inode& inode, const sync::WaitLimit& limit) {
  // Until the time stamps are pushed the handles stay.
  const cache::FilePages::InUse in_use(inode);
  const cache::FlushResult result = cache::flush_all(inode, 0, ~std::uint64_t{0}, limit);
  if (result.pages > 0) inode.after_flush();
  return result.error;
}

std::error_code sync_pages(const std::shared_ptr<Inode>& inode, std::uint64_t first_page,
                           std::uint64_t last_page, SyncKind kind, const sync::WaitLimit& limit) {
  if (inode->write_handle().value == 0) return {};  // never open for writing: nothing of ours
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    const std::error_code error = sync_once(inode, first_page, last_page, kind, limit);
    if (error) return error;
    // Another sync that ran beside ours may have failed, and lost what ours found written.
    if (!inode->unsynced().rewrite_needed()) return {};
  }
  return std::make_error_code(std::errc::io_error);
}

}  // namespace quire::file
