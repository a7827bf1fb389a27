#include "cache/writeback.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "fault/planted.h"
#include "sync/check.h"
#include "sync/mutex.h"
#include "sync/parker.h"
#include "sync/thread.h"

namespace quire::cache {

// A flush under way: counts its requests, and ends when the last of them has. The thread that makes it
// counts as one until it has sent them all.
class FlushJob {
 public:
  explicit FlushJob(FilePages& pages) : pages_(pages.shared_from_this()) {
    pages.dirty().begin_flush(flush_);
  }

  FilePages& pages() noexcept { return *pages_; }
  void begin_part() noexcept { parts_.fetch_add(1); }
  void end_part() noexcept {
    if (parts_.fetch_sub(1) != 1) return;
    std::error_code error = store_error();
    if (!error) error = left_out;
    pages_->dirty().end_flush(flush_, error);
    parker_.unpark();
  }
  // For the thread that makes it.
  sync::WaitStatus wait(const sync::WaitLimit& limit) {
    if (ended_) return sync::WaitStatus::kReady;
    const sync::WaitStatus status = parker_.park_until(limit);
    ended_ = status == sync::WaitStatus::kReady;
    return status;
  }

  void note_store_error(std::error_code error) noexcept {
    sync::MutexLock lock(mutex_);
    if (!error_) error_ = error;
  }
  std::error_code store_error() noexcept {
    sync::MutexLock lock(mutex_);
    return error_;
  }

  // By the thread that makes it, before its own part ends.
  std::uint64_t pages_sent = 0;
  std::error_code left_out;

 private:
  const std::shared_ptr<FilePages> pages_;
  Flush flush_;
  sync::Atomic<std::uint32_t> parts_{1};
  sync::Mutex mutex_;
  std::error_code error_ GUARDED_BY(mutex_);
  sync::Parker parker_;
  bool ended_ = false;  // of the thread that waits
};

namespace {

// A page's way out of writeback, whatever became of its request.
void end_page(FilePages& pages, const DirtyPage& page, std::error_code error) noexcept {
  PageCache& cache = pages.cache();
  // A page that must be written again is on the list before it is dirty. If it was rewritten, or a
  // writer who holds it was faster, it is there already.
  if (error && pages.dirty().put_back(page)) pages.became_dirty();
  cache.counters().writeback_pages.fetch_sub(1);
  const PageValue before = pages.find(page.index)->end_writeback(!error);
  if (!error && before.state() == PageState::kWriteback) {
    cache.dirty().give(1);
    cache.memory().note_evictable();
  }
  pages.wake(page.index, before);
}

// A buffer of the pool, shared by the requests that leave through it.
using Buffer = std::shared_ptr<std::byte>;

// One request of a flush: neighbours whose bytes lie side by side in a buffer.
class WriteRequest final : public IoDone {
 public:
  WriteRequest(std::shared_ptr<FlushJob> job, Buffer buffer, const std::byte* from,
               std::size_t bytes, std::span<const DirtyPage> pages)
      : job_(std::move(job)),
        buffer_(std::move(buffer)),
        pages_(pages.begin(), pages.end()),
        piece_{from, bytes} {
    job_->begin_part();
  }

  void submit(IoMode mode) noexcept;
  void io_done(std::error_code error, std::size_t bytes) noexcept override;

 private:
  const std::shared_ptr<FlushJob> job_;
  Buffer buffer_;
  const std::vector<DirtyPage> pages_;
  const Store::ConstBuffer piece_;
};

void WriteRequest::submit(IoMode mode) noexcept {
  PageCache& cache = job_->pages().cache();
  cache.counters().write_requests.fetch_add(1);
  job_->pages().begin_request();
  cache.store().write(job_->pages().write_handle(), page_offset(pages_.front().index), {&piece_, 1},
                      mode, *this);
}

void WriteRequest::io_done(std::error_code error, std::size_t bytes) noexcept {
  PageCache& cache = job_->pages().cache();
  if (!error && bytes != piece_.size()) error = std::make_error_code(std::errc::io_error);
  if (error) {
    job_->note_store_error(error);
    cache.counters().writeback_errors.fetch_add(1);
  } else {
    cache.counters().written_pages.fetch_add(pages_.size());
    job_->pages().note_written(pages_.front().index, pages_.size());
  }
  cache.dirty().note_written(error);
  const bool early = fault::planted(fault::Planted::kClearWritebackEarly);
  for (const DirtyPage& page : pages_) {
    end_page(job_->pages(), page, early ? std::error_code() : error);
  }
  if (!error) job_->pages().dirty().note_written(pages_.size());
  buffer_.reset();
  job_->pages().end_request();
  job_->end_part();
  delete this;
}

// Neighbours that were taken, on their way into a buffer.
class Run final : public Views::Told {
 public:
  Run(std::shared_ptr<FlushJob> job, Buffer buffer, Sight sight)
      : job_(std::move(job)),
        buffer_(std::move(buffer)),
        sight_(sight),
        mapped_(job_->pages().has_memory()) {
    pages_.reserve(job_->pages().cache().snapshots().buffer_bytes() / limits::kPageBytes);
  }

  // Takes the page behind those that are there. A writer may hold it; past the limit it is left out.
  sync::WaitStatus append(const DirtyPage& page, const sync::WaitLimit& limit) noexcept;
  // After the last append(): all of it is in the buffer.
  void complete() noexcept;
  // Sends what must be written. `only`: it is all that the flush has to send.
  void submit(bool only);

  void told(std::uint64_t page, bool mapped, bool stored) noexcept override;

 private:
  PageWord& word(std::size_t i) noexcept { return *job_->pages().find(pages_[i].index); }
  void ask() noexcept;
  // The page `i`, which is pinned.
  void copy(std::size_t i) noexcept;
  void unpin(std::size_t i) noexcept;

  const std::shared_ptr<FlushJob> job_;
  const Buffer buffer_;
  const Sight sight_;
  // Programs may be storing into pages: all stay pinned until no view lets anybody, and are copied then. Who
  // would store for the first time since waits for the pin to go, so the copy is not torn.
  const bool mapped_;
  std::size_t bytes_ = 0;
  std::vector<DirtyPage> pages_;
  std::vector<bool>
      needless_;        // of pages: its bytes are at the store. Empty unless some are watched
  bool heard_ = false;  // of stores
};

sync::WaitStatus Run::append(const DirtyPage& page, const sync::WaitLimit& limit) noexcept {
  FilePages& pages = job_->pages();
  PageWord& word = *pages.find(page.index);
  // A writer who has the page at this moment waits for readers who came before, whatever they do.
  PageValue value = word.load();
  while (!word.try_pin(value)) {
    const sync::WaitStatus status = pages.wait_changed(page.index, word, value, limit);
    if (status != sync::WaitStatus::kReady) return status;
    value = word.load();
  }
  const std::size_t at = pages_.size() * limits::kPageBytes;
  const std::uint64_t size = pages.size_bytes();
  const std::uint64_t begins = page_offset(page.index);
  QUIRE_DCHECK(size > begins);
  bytes_ =
      at + static_cast<std::size_t>(std::min<std::uint64_t>(size - begins, limits::kPageBytes));
  if (fault::planted(fault::Planted::kWriteWholeTail)) bytes_ = at + limits::kPageBytes;
  pages_.push_back(page);
  if (!mapped_) copy(pages_.size() - 1);
  if (!mapped_ || fault::planted(fault::Planted::kSnapshotUnpinned)) {
    pages.wake(page.index, word.unpin());
  }
  return sync::WaitStatus::kReady;
}

void Run::copy(std::size_t i) noexcept {
  std::memcpy(buffer_.get() + i * limits::kPageBytes,
              job_->pages().bytes(pages_[i].index, word(i).load()), limits::kPageBytes);
}

void Run::unpin(std::size_t i) noexcept {
  if (fault::planted(fault::Planted::kSnapshotUnpinned)) return;
  job_->pages().wake(pages_[i].index, word(i).unpin());
}

void Run::complete() noexcept {
  if (!mapped_ || pages_.empty()) return;
  ask();
  fault::meet_between();
  for (std::size_t i = 0; i < pages_.size(); ++i) {
    const bool needless = !needless_.empty() && needless_[i];
    if (!needless) copy(i);
    unpin(i);
    if (!needless) continue;
    end_page(job_->pages(), pages_[i], {});
    job_->pages().dirty().note_written(1);
  }
}

// From here on no store is missed: it is a fault, or those who asked next are told of it.
void Run::ask() noexcept {
  FilePages& pages = job_->pages();
  const std::uint64_t first = pages_.front().index;
  bool watched = false;
  for (std::size_t i = 0; i < pages_.size() && !watched; ++i) watched = word(i).load().watched();
  if (watched && sight_ == Sight::kEnds) {
    pages.views().hide(first, pages_.size());
  } else if (!fault::planted(fault::Planted::kSkipProtect)) {
    pages.views().protect(first, pages_.size());
  }
  if (!watched) return;
  needless_.resize(pages_.size());
  pages.views().ask(first, pages_.size(), *this);
  if (heard_) pages.note_heard();
}

void Run::told(std::uint64_t page, bool mapped, bool stored) noexcept {
  const auto i = static_cast<std::size_t>(page - pages_.front().index);
  PageWord& word = this->word(i);
  const PageValue value = word.load();
  if (!value.watched()) return;
  heard_ |= stored;
  if (!mapped || sight_ == Sight::kEnds) {
    needless_[i] = !word.stop_watching(stored);
    return;
  }
  // On the list first: a page that is rewritten is.
  const bool listed = value.state() == PageState::kRewritten;
  if (!listed && job_->pages().dirty().add(pages_[i].frame)) job_->pages().became_dirty();
  needless_[i] = !word.keep_watching(stored);
}

void Run::submit(bool only) {
  const auto needless = [&](std::size_t i) { return !needless_.empty() && needless_[i]; };
  std::size_t end = 0;
  for (std::size_t first = 0; first < pages_.size(); first = end) {
    end = first + 1;
    if (needless(first)) continue;
    while (end < pages_.size() && !needless(end)) ++end;
    job_->pages_sent += end - first;
    const std::size_t at = first * limits::kPageBytes;
    auto* const request = new WriteRequest(job_, buffer_, buffer_.get() + at,
                                           std::min(bytes_, end * limits::kPageBytes) - at,
                                           std::span(pages_).subspan(first, end - first));
    request->submit(only && end - first == pages_.size() ? IoMode::kWait : IoMode::kAsync);
  }
}

// Sends `taken`, sorted, as runs. What cannot be sent within `limit` goes back on the list.
void send(const std::shared_ptr<FlushJob>& job, std::vector<DirtyPage>& taken, Sight sight,
          const sync::WaitLimit& limit) {
  std::sort(taken.begin(), taken.end(),
            [](const DirtyPage& a, const DirtyPage& b) { return a.index < b.index; });
  if (fault::planted(fault::Planted::kForgetADirtyPage) && taken.size() > 1) {
    end_page(job->pages(), taken.back(), {});
    taken.pop_back();
  }
  SnapshotPool& snapshots = job->pages().cache().snapshots();
  const std::size_t run_max = snapshots.buffer_bytes() / limits::kPageBytes;
  const auto leave_out = [&](const DirtyPage& page, sync::WaitStatus status) {
    job->left_out = sync::to_error(status);
    end_page(job->pages(), page, job->left_out);
  };

  for (std::size_t i = 0; i < taken.size();) {
    sync::WaitStatus status;
    std::byte* const acquired = snapshots.acquire(limit, status);
    if (acquired == nullptr) {
      for (; i < taken.size(); ++i) leave_out(taken[i], status);
      return;
    }
    Run run(job, Buffer(acquired, [&snapshots](std::byte* b) { snapshots.release(b); }), sight);
    const std::size_t begin = i;
    do {
      status = run.append(taken[i], limit);
      if (status != sync::WaitStatus::kReady) leave_out(taken[i], status);
      ++i;
    } while (status == sync::WaitStatus::kReady && i < taken.size() && i - begin < run_max &&
             taken[i].index == taken[i - 1].index + 1);
    run.complete();
    run.submit(begin == 0 && i == taken.size() && !limit.may_leave());
  }
}

// A wanted page is being written, dropped, or under somebody else's writeback: waits until that ends.
sync::WaitStatus wait_busy(FilePages& pages, const DirtyPage& page, const sync::WaitLimit& limit) {
  const FilePages::Walker walker(pages);
  PageWord* const word = pages.find(page.index);
  if (word == nullptr) return sync::WaitStatus::kReady;
  const PageValue value = word->load();
  const bool busy =
      value.state() == PageState::kDirty ? value.writing() || value.sealed() : value.dirty();
  if (busy) return pages.wait_changed(page.index, *word, value, limit);
  // It can be taken now, or somebody else has written or dropped it, or its writer has put it on the
  // list and is about to let go.
  sync::yield_thread();
  if (limit.stop.stop_requested()) return sync::WaitStatus::kInterrupted;
  return sync::Clock::now() >= limit.deadline ? sync::WaitStatus::kTimedOut
                                              : sync::WaitStatus::kReady;
}

}  // namespace

FlushBatch::FlushBatch(FilePages& pages, const DirtyList::Wanted& wanted, std::size_t pages_max,
                       Sight sight, const sync::WaitLimit& limit)
    : job_(std::make_shared<FlushJob>(pages)) {
  std::vector<DirtyPage> pages_taken;
  pages_taken.reserve(pages_max);
  taken_ = pages.dirty().take(wanted, pages_max, pages_taken, [&](const DirtyPage& page) {
    return pages.find(page.index)->begin_writeback();
  });
  pages.cache().counters().writeback_pages.fetch_add(pages_taken.size());
  send(job_, pages_taken, sight, limit);
  job_->end_part();
}

FlushBatch::~FlushBatch() = default;

sync::WaitStatus FlushBatch::wait(const sync::WaitLimit& limit) {
  return job_->wait(limit);
}

std::uint64_t FlushBatch::pages_sent() const noexcept {
  return job_->pages_sent;
}

std::error_code FlushBatch::left_out() const noexcept {
  return job_->left_out;
}

std::error_code FlushBatch::store_error() const noexcept {
  return job_->store_error();
}

FlushResult flush_all(FilePages& pages, std::uint64_t first_index, std::uint64_t last_index,
                      const sync::WaitLimit& limit, Sight sight) {
  DirtyList& list = pages.dirty();
  DirtyList::Wanted wanted;
  wanted.first_index = first_index;
  wanted.last_index = last_index;
  if (!fault::planted(fault::Planted::kFlushWantsNew)) {
    wanted.newest_sequence = list.newest_sequence();
  }

  FlushResult result;
  const auto give_up = [&](std::error_code error) {
    if (!result.error) result.error = error;
    return result;
  };
  std::uint64_t failures = list.failures();  // those that we know of
  for (;;) {
    // One pass over the list, oldest first, going on past pages that fail: they are behind us then.
    DirtyList::Taken got;
    DirtyList::Taken busy;
    wanted.after_sequence = 0;
    do {
      FlushBatch batch(pages, wanted, FlushBatch::kPagesMax, sight, limit);
      const sync::WaitStatus status = batch.wait(limit);
      if (status != sync::WaitStatus::kReady) return give_up(sync::to_error(status));
      result.pages += batch.pages_sent();
      if (batch.store_error()) {
        ++failures;
        if (!result.error) result.error = batch.store_error();
      }
      if (batch.left_out()) return give_up(batch.left_out());
      got = batch.taken();
      if (got.busy) busy = got;
      wanted.after_sequence = got.newest_sequence;
    } while (got.pages == FlushBatch::kPagesMax);
    if (result.error) return result;

    if (busy.busy) {
      const sync::WaitStatus status = wait_busy(pages, busy.busy_page, limit);
      if (status != sync::WaitStatus::kReady) return give_up(sync::to_error(status));
      continue;
    }
    // The rest, if any, is in flushes that others began before. If one of them failed its pages are on
    // the list again, with the numbers they had: try them ourselves; an error is then ours.
    const sync::WaitStatus status = list.wait_flushes(limit);
    if (status != sync::WaitStatus::kReady) return give_up(sync::to_error(status));
    const std::uint64_t failures_now = list.failures();
    if (failures_now == failures) return result;
    failures = failures_now;
  }
}

}  // namespace quire::cache
