#include "cache/flusher.h"

#include <fmt/format.h>

#include <algorithm>

#include "cache/file_pages.h"
#include "cache/page_cache.h"
#include "cache/writeback.h"
#include "sync/check.h"

namespace quire::cache {
namespace {

// Pages of one file written before the next file has its turn.
constexpr std::size_t kTurnPages = FlushBatch::kPagesMax;
// How long the others wait for them.
constexpr std::chrono::milliseconds kTurnWaitMax{1000};

}  // namespace

struct Flusher::Turn {
  Turn(std::shared_ptr<FilePages> the_file, bool all, const DirtyList::Wanted& wanted,
       const sync::WaitLimit& limit)
      : file(std::move(the_file)),
        all_ages(all),
        batch(*file, wanted, kTurnPages, all ? Sight::kEnds : Sight::kStays, limit) {}

  const std::shared_ptr<FilePages> file;
  // The time stamps are pushed after the last request has ended: until then the handles stay.
  const FilePages::InUse in_use{*file};
  const bool all_ages;
  bool pressed = false;  // somebody wanted the file's next turn meanwhile
  FlushBatch batch;
};

Flusher::Flusher() = default;

Flusher::~Flusher() {
  QUIRE_CHECK(!thread_.joinable());
}

Status Flusher::start(PageCache& cache, std::chrono::milliseconds dirty_age) {
  cache_ = &cache;
  dirty_age_ = dirty_age;
  return start_thread();
}

Status Flusher::restart() {
  QUIRE_CHECK(cache_ != nullptr && !thread_.joinable());
  stopping_.store(false);
  stop_ = {};
  return start_thread();
}

Status Flusher::start_thread() {
  auto thread = sync::Thread::start("quire-flush", [this] { run(); });
  if (!thread.ok()) return std::move(thread).error();
  thread_ = std::move(*thread);
  return {};
}

void Flusher::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true);
  stop_.request_stop();
  parker_.unpark();
  thread_.join();
  turns_.clear();
}

void Flusher::wake() noexcept {
  parker_.unpark();
}

void Flusher::press() noexcept {
  pressed_.store(true);
  parker_.unpark();
}

void Flusher::run() {
  while (!stopping_.load()) {
    cache_->say();
    const sync::Clock::time_point next = round();
    if (stopping_.load()) return;
    (void)parker_.park_until({next, {}});
  }
}

sync::Clock::time_point Flusher::round() {
  const Budget& budget = cache_->budget();
  for (;;) {
    end_turns();
    const bool pressed = pressed_.exchange(false);
    if (pressed) note_silence();
    const bool over = cache_->dirty().taken() > budget.dirty_background_pages;
    bool again = false;
    sync::Clock::time_point next = sync::Clock::kNever;
    for (const auto& file : cache_->dirty_files().take_stock()) {
      const sync::Clock::time_point now = sync::Clock::now();
      if (stopping_.load()) return now;
      (void)cache_->dirty().wake_stalled();
      if (in_turn(*file, pressed)) continue;
      if (file->retry_at_ > now) {
        next = std::min(next, file->retry_at_);
        if (pressed) pressed_.store(true);  // whoever presses still waits for this file
        continue;
      }
      again |= take_turn(file, over || pressed, now);
      const sync::Clock::time_point oldest = file->dirty().oldest();
      if (oldest == sync::Clock::kNever) continue;
      const bool later = file->retry_at_ > now;
      if (!later && oldest + dirty_age_ <= now) {
        // Due, but somebody writes or cuts it just now, perhaps until the store answers him.
        next = std::min(next, now + limits::kWritebackRetryMin);
        continue;
      }
      next = std::min(next, later && (over || pressed)
                                ? file->retry_at_
                                : std::max(oldest + dirty_age_, file->retry_at_));
    }
    if (!turns_.empty()) next = std::min(next, sync::Clock::now() + limits::kWritebackRetryMin);
    next = std::min(next, cache_->dirty().wake_stalled());
    if (!again) return next;
  }
}

bool Flusher::take_turn(const std::shared_ptr<FilePages>& file, bool all_ages,
                        sync::Clock::time_point now) {
  if (file->pass_tried_ == 0) file->pass_newest_ = file->dirty().newest_sequence();
  DirtyList::Wanted wanted;
  wanted.after_sequence = file->pass_tried_;
  wanted.newest_sequence = file->pass_newest_;
  if (!all_ages) wanted.dirtied_until = now - dirty_age_;
  const sync::WaitLimit limit{now + kTurnWaitMax, stop_.get_token()};
  auto turn = std::make_unique<Turn>(file, all_ages, wanted, limit);
  if (turn->batch.wait(limit) == sync::WaitStatus::kReady) return end_turn(*turn);
  turns_.push_back(std::move(turn));
  return false;
}

bool Flusher::end_turn(const Turn& turn) {
  FilePages& pages = *turn.file;
  const FlushBatch& batch = turn.batch;
  if (batch.pages_sent() > 0) pages.after_flush();
  if (stopping_.load()) return false;
  const std::error_code error = batch.store_error();
  if (error && !pages.pass_error_) pages.pass_error_ = error;
  // The next try, too, is for whoever waits.
  if (turn.pressed || (turn.all_ages && (error || batch.left_out()))) pressed_.store(true);
  if (batch.left_out() && !error) {
    // Those pages have not been tried: from where the pass was, but not in a hurry.
    if (batch.pages_sent() == 0) pages.retry_at_ = sync::Clock::now() + limits::kWritebackRetryMin;
    return batch.pages_sent() > 0;
  }
  if (batch.taken().pages == kTurnPages) {
    pages.pass_tried_ = batch.taken().newest_sequence;
    return true;
  }

  // The end of the pass.
  const bool wrote = pages.pass_tried_ > 0 || batch.pages_sent() > 0;
  pages.pass_tried_ = 0;
  if (!pages.pass_error_) {
    if (wrote) pages.retry_after_ = {};
    return wrote && turn.all_ages;
  }
  pages.retry_after_ = std::clamp<sync::Clock::duration>(
      pages.retry_after_ * 2, limits::kWritebackRetryMin, limits::kWritebackRetryMax);
  pages.retry_at_ = sync::Clock::now() + pages.retry_after_;
  cache_->log(
      LogLevel::kWarning,
      fmt::format(
          "writing dirty pages failed: {}; they stay dirty and are tried again in {} ms",
          pages.pass_error_.message(),
          std::chrono::duration_cast<std::chrono::milliseconds>(pages.retry_after_).count()));
  pages.pass_error_ = {};
  return false;
}

void Flusher::end_turns() {
  for (std::size_t i = 0; i < turns_.size();) {
    if (turns_[i]->batch.wait({sync::Clock::time_point{}, {}}) != sync::WaitStatus::kReady) {
      ++i;
      continue;
    }
    (void)end_turn(*turns_[i]);
    turns_.erase(turns_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

bool Flusher::in_turn(const FilePages& pages, bool pressed) noexcept {
  const auto turn = std::find_if(turns_.begin(), turns_.end(),
                                 [&](const auto& t) { return t->file.get() == &pages; });
  if (turn == turns_.end()) return false;
  (*turn)->pressed |= pressed;
  return true;
}

void Flusher::note_silence() {
  const sync::Clock::time_point since = cache_->snapshots().out_since();
  if (sync::Clock::now() - since >= limits::kStoreSilenceMax) {
    cache_->dirty().note_written(std::make_error_code(std::errc::timed_out));
  }
}

}  // namespace quire::cache
