#include "cache/sealed_write.h"

#include <algorithm>
#include <array>
#include <utility>

#include "fault/planted.h"
#include "sync/check.h"
#include "sync/mutex.h"
#include "sync/parker.h"

namespace quire::cache {
namespace {

// Requests under way together. Shared by them and the caller, who counts as one.
class Batch {
 public:
  void begin_part() noexcept { parts_.fetch_add(1); }
  void end_part(std::error_code error) noexcept {
    if (error) {
      sync::MutexLock lock(mutex_);
      if (!error_) error_ = error;
    }
    if (parts_.fetch_sub(1) == 1) parker_.unpark();
  }
  // By the caller, once, for its own part and all others.
  std::error_code wait(const sync::WaitLimit& limit) noexcept {
    end_part({});
    const sync::WaitStatus status = parker_.park_until(limit);
    if (status != sync::WaitStatus::kReady) return sync::to_error(status);
    sync::MutexLock lock(mutex_);
    return error_;
  }

 private:
  sync::Atomic<std::uint32_t> parts_{1};
  sync::Mutex mutex_;
  std::error_code error_ GUARDED_BY(mutex_);
  sync::Parker parker_;
};

// One request: neighbours that are sealed and dirty.
class SealedWrite final : public IoDone {
 public:
  SealedWrite(FilePages& pages, std::uint64_t first, std::shared_ptr<Batch> batch,
              std::shared_ptr<void> owner)
      : pages_(pages.shared_from_this()),
        first_(first),
        batch_(std::move(batch)),
        owner_(std::move(owner)) {
    batch_->begin_part();
  }

  // Appends the page if it is the next one and there is room.
  bool append(std::uint64_t index, PageValue value) noexcept;
  void submit(IoMode mode) noexcept;
  void io_done(std::error_code error, std::size_t bytes) noexcept override;

 private:
  const std::shared_ptr<FilePages> pages_;
  const std::uint64_t first_;
  const std::shared_ptr<Batch> batch_;
  std::shared_ptr<void> owner_;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
  std::array<Store::ConstBuffer, limits::kStoreIoMaxPieces> pieces_;
};

bool SealedWrite::append(std::uint64_t index, PageValue value) noexcept {
  if (index != first_ + count_ || count_ == pieces_.size()) return false;
  // What others make the file longer by in this page, beside the range, is zeros here.
  const std::uint64_t in_file = pages_->size_bytes() - page_offset(index);
  const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>(in_file, limits::kPageBytes));
  pieces_[count_++] = {pages_->bytes(index, value), bytes};
  bytes_ += bytes;
  return true;
}

void SealedWrite::submit(IoMode mode) noexcept {
  PageCache& cache = pages_->cache();
  cache.counters().write_requests.fetch_add(1);
  pages_->begin_request();
  cache.store().write(pages_->write_handle(), page_offset(first_), {pieces_.data(), count_}, mode,
                      *this);
}

void SealedWrite::io_done(std::error_code error, std::size_t bytes) noexcept {
  PageCache& cache = pages_->cache();
  if (!error && bytes != bytes_) error = std::make_error_code(std::errc::io_error);
  if (error) {
    cache.counters().writeback_errors.fetch_add(1);
  } else {
    cache.counters().written_pages.fetch_add(count_);
    pages_->note_written(first_, count_);
    for (std::uint64_t index = first_; index < first_ + count_; ++index) {
      PageWord& word = *pages_->find(index);
      pages_->dirty().remove(word.load().frame());
      const PageValue before = word.end_sealed_write();
      // As drop_page(): a sync that waits for the page finds nothing dirty then.
      cache.dirty().give(1);
      pages_->wake(index, before);
    }
  }
  cache.dirty().note_written(error);
  const std::shared_ptr<Batch> batch = batch_;
  const std::shared_ptr<FilePages> pages = pages_;
  // The locks go with the last owner: before the file counts as idle.
  owner_.reset();
  delete this;
  pages->end_request();
  batch->end_part(error);
}

}  // namespace

std::error_code write_sealed(FilePages& pages, std::uint64_t first, std::uint64_t last,
                             const std::shared_ptr<void>& owner, const sync::WaitLimit& limit) {
  if (fault::planted(fault::Planted::kInvalidateSkipsDirty)) return {};
  for (;;) {
    const auto batch = std::make_shared<Batch>();
    std::array<SealedWrite*, limits::kWritebackDepth> requests;
    std::size_t count = 0;
    bool all = true;
    pages.tree().for_each(first, last, [&](std::uint64_t index, PageWord& word) {
      const PageValue value = word.load();
      if (value.state() != PageState::kDirty) return true;
      QUIRE_DCHECK(value.sealed());
      if (count > 0 && requests[count - 1]->append(index, value)) return true;
      if (count == requests.size()) {
        all = false;
        first = index;
        return false;
      }
      requests[count] = new SealedWrite(pages, index, batch, owner);
      return requests[count++]->append(index, value);
    });
    for (std::size_t i = 0; i < count; ++i) {
      requests[i]->submit(count == 1 && !limit.may_leave() ? IoMode::kWait : IoMode::kAsync);
    }
    const std::error_code error = batch->wait(limit);
    if (error || all) return error;
  }
}

}  // namespace quire::cache
