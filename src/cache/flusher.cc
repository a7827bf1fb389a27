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
constexpr std::size_t kTurnPages = 1024;

}  // namespace

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
    const sync::Clock::time_point next = round(pressed_.exchange(false));
    if (stopping_.load()) return;
    (void)parker_.park_until({next, {}});
  }
}

sync::Clock::time_point Flusher::round(bool pressed) {
  const Budget& budget = cache_->budget();
  for (;;) {
    const sync::Clock::time_point now = sync::Clock::now();
    const bool over = cache_->dirty().taken() > budget.dirty_background_pages;
    bool wrote = false;
    sync::Clock::time_point next = sync::Clock::kNever;
    for (const auto& file : cache_->dirty_files().take_stock()) {
      if (stopping_.load()) return now;
      if (file->retry_at_ > now) {
        next = std::min(next, file->retry_at_);
        if (pressed) pressed_.store(true);  // whoever presses still waits for this file
        continue;
      }
      wrote |= flush_file(*file, over || pressed, now);
      const sync::Clock::time_point oldest = file->dirty().oldest();
      if (oldest == sync::Clock::kNever) continue;
      const bool failed = file->retry_at_ > now;
      if (!failed && oldest + dirty_age_ <= now) {
        // Due, but somebody writes or cuts it just now, perhaps until the store answers him.
        next = std::min(next, now + limits::kWritebackRetryMin);
        continue;
      }
      next = std::min(next, failed && (over || pressed)
                                ? file->retry_at_
                                : std::max(oldest + dirty_age_, file->retry_at_));
    }
    // One more look while there is more to write than a turn each.
    if (!wrote || (!over && !pressed)) return next;
    pressed = pressed_.exchange(false);
  }
}

bool Flusher::flush_file(FilePages& pages, bool all_ages, sync::Clock::time_point now) {
  // The time stamps are pushed after the last request has ended: until then the handles stay.
  const FilePages::InUse in_use(pages);
  DirtyList::Wanted wanted;
  if (!all_ages) wanted.dirtied_until = now - dirty_age_;
  const FlushResult result =
      flush_some(pages, wanted, kTurnPages, {sync::Clock::kNever, stop_.get_token()});
  if (result.pages > 0) pages.after_flush();
  if (!result.error) {
    if (result.pages > 0) pages.retry_after_ = {};
    return result.pages > 0;
  }
  if (stopping_.load()) return false;
  if (all_ages) pressed_.store(true);  // the next try, too, is for whoever waits
  pages.retry_after_ = std::clamp<sync::Clock::duration>(
      pages.retry_after_ * 2, limits::kWritebackRetryMin, limits::kWritebackRetryMax);
  pages.retry_at_ = sync::Clock::now() + pages.retry_after_;
  cache_->log(
      LogLevel::kWarning,
      fmt::format(
          "writing dirty pages failed: {}; they stay dirty and are tried again in {} ms",
          result.error.message(),
          std::chrono::duration_cast<std::chrono::milliseconds>(pages.retry_after_).count()));
  return false;
}

}  // namespace quire::cache
