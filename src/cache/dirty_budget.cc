#include "cache/dirty_budget.h"

#include <algorithm>

#include "quire/limits.h"
#include "sync/check.h"
#include "sync/lock_rank.h"

namespace quire::cache {

bool DirtyBudget::claim(std::uint64_t pages) noexcept {
  std::uint64_t taken = taken_.load();
  while (taken + pages <= max_pages_) {
    if (taken_.compare_exchange_weak(taken, taken + pages)) return true;
  }
  return false;
}

bool DirtyBudget::try_take(std::uint64_t pages) noexcept {
  return line_.empty() && claim(pages);
}

std::error_code DirtyBudget::take(std::uint64_t pages, const sync::WaitLimit& limit) {
  QUIRE_CHECK(pages <= max_pages_);
  sync::lock_rank::assert_may_wait_for_memory();
  if (try_take(pages)) return {};

  sync::SleepingWaker self;
  Waiter waiter(self);
  begin(waiter, pages, ClockOf::kWaiter);
  bool stalled = false;
  std::error_code error;
  while (look(waiter, stalled) == Found::kTooFew) {
    line_.rest(waiter.place_);
    const sync::Clock::time_point deadline = std::min(limit.deadline, waiter.stalled_at_);
    const sync::WaitStatus status = self.park({deadline, limit.stop});
    stalled = status == sync::WaitStatus::kTimedOut && deadline != limit.deadline;
    if (status != sync::WaitStatus::kReady && !stalled) {
      error = sync::to_error(status);
      break;
    }
  }
  if (!error) error = waiter.error_;
  (void)end(waiter);
  return error;
}

bool DirtyBudget::take_async(std::uint64_t pages, Waiter& waiter) noexcept {
  QUIRE_CHECK(pages <= max_pages_);
  sync::lock_rank::assert_may_wait_for_memory();
  waiter.error_ = {};
  if (try_take(pages)) return true;
  begin(waiter, pages, ClockOf::kFlusher);
  return resume(waiter);
}

bool DirtyBudget::resume(Waiter& waiter) noexcept {
  if (look(waiter, sync::Clock::now() >= waiter.stalled_at_) == Found::kTooFew) {
    line_.rest(waiter.place_);
    return false;
  }
  (void)end(waiter);
  return true;
}

bool DirtyBudget::cancel(Waiter& waiter) noexcept {
  return end(waiter);
}

void DirtyBudget::begin(Waiter& waiter, std::uint64_t pages, ClockOf clock) noexcept {
  waiter.pages_ = pages;
  waiter.clock_ = clock;
  waiter.error_ = {};
  line_.join(waiter.place_);
  waiter.timer_.emplace(waits_);
  begin_stall(waiter, progress_.load());
}

// `stalled`: a stall's worth of time went by. Who waits gives up only if nothing became clean since it began
// and the store fails.
DirtyBudget::Found DirtyBudget::look(Waiter& waiter, bool stalled) noexcept {
  if (line_.look(waiter.place_) && claim(waiter.pages_)) return Found::kEnough;
  if (stalled) {
    const std::uint64_t progress = progress_.load();
    const std::error_code error = store_error();
    if (progress == waiter.progress_ && error) {
      waiter.error_ = error;
      return Found::kError;
    }
    begin_stall(waiter, progress);
  }
  on_full_();
  return Found::kTooFew;
}

void DirtyBudget::begin_stall(Waiter& waiter, std::uint64_t progress) noexcept {
  waiter.progress_ = progress;
  waiter.stalled_at_ = sync::deadline_after(limits::kDirtyStallMax);
  if (waiter.clock_ == ClockOf::kFlusher) line_.set_due(waiter.place_, waiter.stalled_at_);
}

bool DirtyBudget::end(Waiter& waiter) noexcept {
  waiter.timer_.reset();
  return line_.leave(waiter.place_);
}

void DirtyBudget::give(std::uint64_t pages) noexcept {
  if (pages == 0) return;
  const std::uint64_t before = taken_.fetch_sub(pages);
  QUIRE_CHECK(before >= pages);
  line_.notify();
}

void DirtyBudget::note_written(std::error_code error) noexcept {
  if (!error) progress_.fetch_add(1);
  sync::MutexLock lock(mutex_);
  error_ = error;
}

std::error_code DirtyBudget::store_error() const noexcept {
  sync::MutexLock lock(mutex_);
  return error_;
}

}  // namespace quire::cache
