#include "sync/range_lock.h"

namespace quire::sync {

RangeLock::~RangeLock() {
  MutexLock lock(mutex_);
  QUIRE_CHECK(first_ == nullptr);
}

std::size_t RangeLock::count_conflicts(const Hold& hold) const noexcept {
  std::size_t count = 0;
  for (const Hold* other = first_; other != nullptr; other = other->next_) {
    if (hold.conflicts_with(*other)) ++count;
  }
  return count;
}

void RangeLock::append(Hold& hold) noexcept {
  hold.next_ = nullptr;
  hold.previous_ = last_;
  (last_ != nullptr ? last_->next_ : first_) = &hold;
  last_ = &hold;
}

// Takes `hold` out of the list. Returns the requests that had nothing else ahead, linked by
// next_granted_; the caller tells them after it released mutex_.
RangeLock::Hold* RangeLock::remove(Hold& hold) noexcept {
  Hold* granted = nullptr;
  Hold** tail = &granted;
  for (Hold* later = hold.next_; later != nullptr; later = later->next_) {
    if (!hold.conflicts_with(*later)) continue;
    QUIRE_DCHECK(later->state_ == Hold::State::kWaiting && later->ahead_ > 0);
    if (--later->ahead_ != 0) continue;
    later->state_ = Hold::State::kHeld;
    later->owed_ = true;
    later->next_granted_ = nullptr;
    *tail = later;
    tail = &later->next_granted_;
  }
  (hold.previous_ != nullptr ? hold.previous_->next_ : first_) = hold.next_;
  (hold.next_ != nullptr ? hold.next_->previous_ : last_) = hold.previous_;
  hold.state_ = Hold::State::kIdle;
  return granted;
}

void RangeLock::tell(Hold* granted) noexcept {
  while (granted != nullptr) {
    Hold* const next = granted->next_granted_;  // the hold may be gone once its waker is woken
    granted->owed_ = false;
    granted->waker_->wake();
    granted = next;
  }
}

bool RangeLock::try_lock(Hold& hold, std::uint64_t first, std::uint64_t last,
                         RangeMode mode) noexcept {
  QUIRE_CHECK(first <= last && hold.state_ == Hold::State::kIdle);
  hold.first_ = first;
  hold.last_ = last;
  hold.mode_ = mode;
  hold.waker_ = nullptr;
  hold.ahead_ = 0;
  {
    MutexLock lock(mutex_);
    if (count_conflicts(hold) != 0) return false;
    hold.state_ = Hold::State::kHeld;
    append(hold);
  }
  lock_rank::acquired(rank_, this);
  return true;
}

bool RangeLock::enqueue(Hold& hold, std::uint64_t first, std::uint64_t last, RangeMode mode,
                        Waker& waker) noexcept {
  QUIRE_CHECK(first <= last && hold.state_ == Hold::State::kIdle);
  hold.first_ = first;
  hold.last_ = last;
  hold.mode_ = mode;
  hold.waker_ = &waker;
  MutexLock lock(mutex_);
  hold.ahead_ = count_conflicts(hold);
  hold.state_ = hold.ahead_ == 0 ? Hold::State::kHeld : Hold::State::kWaiting;
  append(hold);
  return hold.state_ == Hold::State::kHeld;
}

WaitStatus RangeLock::lock(Hold& hold, std::uint64_t first, std::uint64_t last, RangeMode mode,
                           const WaitLimit& limit) {
  lock_rank::acquired(rank_, this);
  SleepingWaker self;
  if (enqueue(hold, first, last, mode, self)) return WaitStatus::kReady;
  const WaitStatus status = self.park(limit, [&] { return cancel(hold); });
  if (status != WaitStatus::kReady) lock_rank::released(rank_, this);
  return status;
}

bool RangeLock::cancel(Hold& hold) noexcept {
  Hold* granted = nullptr;
  {
    MutexLock lock(mutex_);
    if (hold.state_ != Hold::State::kWaiting) return false;
    granted = remove(hold);
  }
  tell(granted);
  return true;
}

void RangeLock::unlock(Hold& hold) noexcept {
  lock_rank::released(rank_, this);
  QUIRE_DCHECK(!hold.owed_);
  Hold* granted = nullptr;
  {
    MutexLock lock(mutex_);
    QUIRE_CHECK(hold.state_ == Hold::State::kHeld);
    granted = remove(hold);
  }
  tell(granted);
}

std::size_t RangeLock::holders_count() const noexcept {
  MutexLock lock(mutex_);
  std::size_t count = 0;
  for (const Hold* hold = first_; hold != nullptr; hold = hold->next_) {
    if (hold->state_ == Hold::State::kHeld) ++count;
  }
  return count;
}

std::size_t RangeLock::waiting_count() const noexcept {
  MutexLock lock(mutex_);
  std::size_t count = 0;
  for (const Hold* hold = first_; hold != nullptr; hold = hold->next_) {
    if (hold->state_ == Hold::State::kWaiting) ++count;
  }
  return count;
}

}  // namespace quire::sync
