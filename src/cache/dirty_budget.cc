#include "cache/dirty_budget.h"

#include <algorithm>

#include "quire/limits.h"
#include "sync/check.h"
#include "sync/clock.h"
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
  return waiting_.load() == 0 && claim(pages);
}

std::error_code DirtyBudget::take(std::uint64_t pages, const sync::WaitLimit& limit) {
  QUIRE_CHECK(pages <= max_pages_);
  sync::lock_rank::assert_may_wait_for_memory();
  if (try_take(pages)) return {};

  Waiter waiter;
  join(waiter);
  const WaitCount::Timer timer(waits_);
  std::uint64_t progress = progress_.load();
  sync::WaitLimit slice = stall_limit(limit);
  for (;;) {
    if (is_first(waiter) && claim(pages)) {
      leave(waiter);
      return {};
    }
    on_full_();
    const sync::WaitStatus status = waiter.parker.park_until(slice);
    if (status == sync::WaitStatus::kReady) continue;
    const bool caller_gave_up =
        status == sync::WaitStatus::kInterrupted || slice.deadline == limit.deadline;
    if (!caller_gave_up) {
      // A stall's worth of time went by. Give up only if nothing became clean and the store fails.
      const std::uint64_t now_at = progress_.load();
      const std::error_code error = store_error();
      if (now_at != progress || !error) {
        progress = now_at;
        slice = stall_limit(limit);
        continue;
      }
      leave(waiter);
      return error;
    }
    leave(waiter);
    return sync::to_error(status);
  }
}

sync::WaitLimit DirtyBudget::stall_limit(const sync::WaitLimit& limit) const noexcept {
  return {std::min(limit.deadline, sync::deadline_after(limits::kDirtyStallMax)), limit.stop};
}

void DirtyBudget::give(std::uint64_t pages) noexcept {
  if (pages == 0) return;
  const std::uint64_t before = taken_.fetch_sub(pages);
  QUIRE_CHECK(before >= pages);
  if (waiting_.load() != 0) wake_first();
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

void DirtyBudget::join(Waiter& waiter) noexcept {
  sync::MutexLock lock(mutex_);
  (last_ != nullptr ? last_->next : first_) = &waiter;
  last_ = &waiter;
  waiting_.fetch_add(1);
}

void DirtyBudget::leave(Waiter& waiter) noexcept {
  {
    sync::MutexLock lock(mutex_);
    Waiter* before = nullptr;
    for (Waiter* w = first_; w != &waiter; w = w->next) before = w;
    (before != nullptr ? before->next : first_) = waiter.next;
    if (last_ == &waiter) last_ = before;
    waiting_.fetch_sub(1);
  }
  wake_first();  // whoever is first now may find enough
}

bool DirtyBudget::is_first(const Waiter& waiter) noexcept {
  sync::MutexLock lock(mutex_);
  return first_ == &waiter;
}

void DirtyBudget::wake_first() noexcept {
  sync::MutexLock lock(mutex_);
  if (first_ != nullptr) first_->parker.unpark();
}

}  // namespace quire::cache
