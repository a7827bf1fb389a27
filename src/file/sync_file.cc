#include "file/sync_file.h"

#include <algorithm>
#include <utility>

#include "cache/page_write.h"
#include "cache/writeback.h"
#include "file/store_call.h"
#include "sync/range_lock.h"

namespace quire::file {
namespace {

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
  const sync::WaitStatus status =
      inode.ranges().lock(range, begin, begin + limits::kPageBytes - 1,
                          sync::RangeMode::kExclusive, limit);
  if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  std::error_code error;
  if (index < cache::pages_of(inode.size_bytes())) {
    error = inode.cache().dirty().take(1, limit);
    if (!error) {
      cache::PageWrite page(inode);
      error = page.begin(index, 0, 0, limit);
      if (!error) {
        page.finish(0);
      } else {
        inode.cache().dirty().give(1);
      }
    }
  }
  inode.ranges().unlock(range);
  return error;
}

std::error_code redirty_failed(Inode& inode, const sync::WaitLimit& limit) {
  Unsynced::Intervals left = inode.unsynced().take_rewrite();
  while (!left.empty()) {
    const auto it = left.begin();
    const std::uint64_t index = it->first;
    const std::uint64_t end = std::min(it->second, cache::pages_of(inode.size_bytes()));
    if (index < end) {
      const std::error_code error = redirty_page(inode, index, limit);
      if (error) {
        inode.unsynced().add_rewrite(left);
        return error;
      }
    }
    left.erase(it);
    if (index + 1 < end) left.emplace(index + 1, end);
  }
  return {};
}

}  // namespace

std::error_code write_back(Inode& inode, const sync::WaitLimit& limit) {
  const cache::FlushResult result = cache::flush_all(inode, 0, ~std::uint64_t{0}, limit);
  if (result.pages > 0) inode.after_flush();
  return result.error;
}

std::error_code sync_pages(const std::shared_ptr<Inode>& inode, std::uint64_t first_page,
                           std::uint64_t last_page, SyncKind kind, const sync::WaitLimit& limit) {
  if (inode->write_handle().value == 0) return {};  // never open for writing: nothing of ours
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

}  // namespace quire::file
