#include "cache/writeback.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "sync/check.h"
#include "sync/mutex.h"
#include "sync/parker.h"
#include "sync/thread.h"

namespace quire::cache {
namespace {

// Pages taken off the list at a time: enough to sort neighbours together.
constexpr std::size_t kTakeMax = 1024;

// One flush under way: counts its requests, and ends when the last of them has. The thread that
// makes it counts as one until it has sent them all.
class FlushJob {
 public:
  explicit FlushJob(FilePages& pages) : pages_(pages.shared_from_this()) {
    pages.dirty().begin_flush(flush_);
  }

  FilePages& pages() noexcept { return *pages_; }
  void begin_part() noexcept { parts_.fetch_add(1); }
  void end_part() noexcept {
    if (parts_.fetch_sub(1) != 1) return;
    pages_->dirty().end_flush(flush_, error());
    parker_.unpark();
  }
  // Waits for the end. On a give-up the requests go on alone.
  FlushResult finish(const sync::WaitLimit& limit) {
    FlushResult result;
    const sync::WaitStatus status = parker_.park_until(limit);
    if (status != sync::WaitStatus::kReady) {
      result.error = sync::to_error(status);
      return result;
    }
    result.error = error();
    result.pages = pages_sent;
    return result;
  }

  void note_error(std::error_code error) noexcept {
    sync::MutexLock lock(mutex_);
    if (!error_) error_ = error;
  }
  std::error_code error() noexcept {
    sync::MutexLock lock(mutex_);
    return error_;
  }

  std::uint64_t pages_sent = 0;  // by the thread that makes the flush

 private:
  const std::shared_ptr<FilePages> pages_;
  Flush flush_;
  sync::Atomic<std::uint32_t> parts_{1};
  sync::Mutex mutex_;
  std::error_code error_ GUARDED_BY(mutex_);
  sync::Parker parker_;
};

// A page's way out of writeback, whatever became of its request.
void end_page(FilePages& pages, const DirtyPage& page, std::error_code error) noexcept {
  PageCache& cache = pages.cache();
  // A page that must be written again is on the list before it is dirty. If it was rewritten, or a
  // writer who holds it was faster, it is there already.
  if (error && pages.dirty().put_back(page)) pages.became_dirty();
  const PageValue before = pages.find(page.index)->end_writeback(!error);
  if (!error && before.state() == PageState::kWriteback) {
    cache.dirty().give(1);
    cache.memory().note_evictable();
  }
  pages.wake(page.index, before);
}

// One request of a flush: a run of neighbours in a snapshot buffer.
class WriteRequest final : public IoDone {
 public:
  WriteRequest(std::shared_ptr<FlushJob> job, std::byte* buffer)
      : job_(std::move(job)), buffer_(buffer) {
    job_->begin_part();
    pages_.reserve(job_->pages().cache().snapshots().buffer_bytes() / limits::kPageBytes);
  }

  // Copies the page behind those that are there.
  void append(const DirtyPage& page) noexcept;
  std::size_t count() const noexcept { return pages_.size(); }
  void submit(IoMode mode) noexcept;
  void io_done(std::error_code error, std::size_t bytes) noexcept override;

 private:
  const std::shared_ptr<FlushJob> job_;
  std::byte* const buffer_;
  std::size_t bytes_ = 0;
  std::vector<DirtyPage> pages_;
  Store::ConstBuffer piece_;
};

void WriteRequest::append(const DirtyPage& page) noexcept {
  FilePages& pages = job_->pages();
  PageWord& word = *pages.find(page.index);
  // A writer may have the page at this moment; it is copying, and waits for nothing of ours.
  PageValue value = word.load();
  while (!word.try_pin(value)) {
    (void)pages.wait_changed(page.index, word, value, {});
    value = word.load();
  }
  const std::size_t at = pages_.size() * limits::kPageBytes;
  std::memcpy(buffer_ + at, pages.cache().memory().bytes(page.frame), limits::kPageBytes);
  const std::uint64_t size = pages.size_bytes();
  const std::uint64_t begins = page_offset(page.index);
  QUIRE_DCHECK(size > begins);
  bytes_ =
      at + static_cast<std::size_t>(std::min<std::uint64_t>(size - begins, limits::kPageBytes));
  pages.wake(page.index, word.unpin());
  pages_.push_back(page);
}

void WriteRequest::submit(IoMode mode) noexcept {
  PageCache& cache = job_->pages().cache();
  cache.counters().write_requests.fetch_add(1);
  job_->pages().begin_request();
  piece_ = {buffer_, bytes_};
  cache.store().write(job_->pages().write_handle(), page_offset(pages_.front().index), {&piece_, 1},
                      mode, *this);
}

void WriteRequest::io_done(std::error_code error, std::size_t bytes) noexcept {
  PageCache& cache = job_->pages().cache();
  if (!error && bytes != bytes_) error = std::make_error_code(std::errc::io_error);
  if (error) {
    job_->note_error(error);
    cache.counters().writeback_errors.fetch_add(1);
  } else {
    cache.counters().written_pages.fetch_add(pages_.size());
    job_->pages().note_written(pages_.front().index, pages_.size());
  }
  cache.dirty().note_written(error);
  for (const DirtyPage& page : pages_) end_page(job_->pages(), page, error);
  cache.snapshots().release(buffer_);
  job_->pages().end_request();
  job_->end_part();
  delete this;
}

bool begin_page(FilePages& pages, const DirtyPage& page) noexcept {
  return pages.find(page.index)->begin_writeback();
}

// Sends `taken`, sorted, as runs. On an error before a page was sent it goes back on the list.
std::error_code send(const std::shared_ptr<FlushJob>& job, std::vector<DirtyPage>& taken,
                     const sync::WaitLimit& limit) {
  std::sort(taken.begin(), taken.end(),
            [](const DirtyPage& a, const DirtyPage& b) { return a.index < b.index; });
  SnapshotPool& snapshots = job->pages().cache().snapshots();
  const std::size_t run_max = snapshots.buffer_bytes() / limits::kPageBytes;
  const bool may_leave = limit.stop.stop_possible() || limit.deadline != sync::Clock::kNever;

  for (std::size_t i = 0; i < taken.size();) {
    sync::WaitStatus status;
    std::byte* const buffer = snapshots.acquire(limit, status);
    if (buffer == nullptr) {
      const std::error_code error = sync::to_error(status);
      for (; i < taken.size(); ++i) end_page(job->pages(), taken[i], error);
      return error;
    }
    auto* const request = new WriteRequest(job, buffer);
    const std::size_t begin = i;
    do {
      request->append(taken[i]);
      ++i;
    } while (i < taken.size() && i - begin < run_max && taken[i].index == taken[i - 1].index + 1);
    job->pages_sent += i - begin;
    const bool only_one = begin == 0 && i == taken.size();
    request->submit(only_one && !may_leave ? IoMode::kWait : IoMode::kAsync);
  }
  return {};
}

}  // namespace

FlushResult flush_some(FilePages& pages, const DirtyList::Wanted& wanted, std::size_t pages_max,
                       const sync::WaitLimit& limit) {
  std::vector<DirtyPage> taken;
  taken.reserve(std::min(pages_max, kTakeMax));
  const auto job = std::make_shared<FlushJob>(pages);
  pages.dirty().take(wanted, std::min(pages_max, kTakeMax), taken,
                     [&](const DirtyPage& page) { return begin_page(pages, page); });
  const std::error_code error = send(job, taken, limit);
  if (error) job->note_error(error);
  job->end_part();
  return job->finish(limit);
}

FlushResult flush_all(FilePages& pages, std::uint64_t first_index, std::uint64_t last_index,
                      const sync::WaitLimit& limit) {
  DirtyList& list = pages.dirty();
  DirtyList::Wanted wanted;
  wanted.first_index = first_index;
  wanted.last_index = last_index;
  wanted.newest_sequence = list.newest_sequence();

  FlushResult result;
  std::vector<DirtyPage> taken;
  taken.reserve(kTakeMax);
  std::uint64_t failures = list.failures();
  for (;;) {
    taken.clear();
    const auto job = std::make_shared<FlushJob>(pages);
    const DirtyList::Taken got = list.take(
        wanted, kTakeMax, taken, [&](const DirtyPage& page) { return begin_page(pages, page); });
    const std::error_code error = send(job, taken, limit);
    if (error) job->note_error(error);
    job->end_part();
    const FlushResult part = job->finish(limit);
    result.pages += part.pages;
    if (part.error) {
      result.error = part.error;
      return result;
    }
    if (got.pages == kTakeMax) continue;
    if (!got.busy) {
      // The rest, if any, is in flushes that others began before.
      const sync::WaitStatus status = list.wait_flushes(limit);
      if (status != sync::WaitStatus::kReady) {
        result.error = sync::to_error(status);
        return result;
      }
      // If one of them failed its pages are on the list again, with the numbers they had: try them
      // ourselves; an error is then ours.
      const std::uint64_t failures_now = list.failures();
      if (failures_now == failures) return result;
      failures = failures_now;
      continue;
    }
    // A wanted page is being written, dropped, or under somebody else's writeback: until that ends.
    const FilePages::Walker walker(pages);
    PageWord* const word = pages.find(got.busy_page.index);
    if (word == nullptr) continue;
    const PageValue value = word->load();
    const bool busy =
        value.state() == PageState::kDirty ? value.writing() || value.sealed() : value.dirty();
    if (!busy) {
      // It can be taken now, or somebody else has written or dropped it, or its writer has put it on
      // the list and is about to let go.
      sync::yield_thread();
      if (limit.stop.stop_requested()) {
        result.error = Errc::kInterrupted;
        return result;
      }
      continue;
    }
    const sync::WaitStatus status = pages.wait_changed(got.busy_page.index, *word, value, limit);
    if (status != sync::WaitStatus::kReady) {
      result.error = sync::to_error(status);
      return result;
    }
  }
}

}  // namespace quire::cache
