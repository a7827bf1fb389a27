#include "sync/gate.h"

namespace quire::sync {

void Gate::Queue::push(GateWaiter& waiter) noexcept {
  waiter.next_ = nullptr;
  waiter.previous_ = last;
  (last != nullptr ? last->next_ : first) = &waiter;
  last = &waiter;
  ++count;
}

void Gate::Queue::remove(GateWaiter& waiter) noexcept {
  (waiter.previous_ != nullptr ? waiter.previous_->next_ : first) = waiter.next_;
  (waiter.next_ != nullptr ? waiter.next_->previous_ : last) = waiter.previous_;
  --count;
}

bool Gate::enqueue(GateSide side, GateWaiter& waiter) noexcept {
  if (take(side)) return true;
  MutexLock lock(mutex_);
  QUIRE_DCHECK(!waiter.waiting_);
  std::uint64_t word = word_.load();
  // Ends with kQueued set, by us or before us. Setting it in the same step that finds a holder of
  // the other side is what makes that holder see it when it leaves.
  while ((word & kQueued) == 0) {
    if ((word & barred(side)) == 0) {
      if (word_.compare_exchange_weak(word, word + one(side))) return true;
    } else if (word_.compare_exchange_weak(word, word | kQueued)) {
      turn_ = side;
      break;
    }
  }
  waiter.side_ = side;
  waiter.waiting_ = true;
  waiter.batches_at_start_ = batches(other_side(side));
  queue(side).push(waiter);
  QUIRE_DCHECK(queue(turn_).count != 0);
  return false;
}

bool Gate::cancel(GateWaiter& waiter) noexcept {
  GateWaiter* granted = nullptr;
  {
    MutexLock lock(mutex_);
    if (!waiter.waiting_) return false;
    waiter.waiting_ = false;
    queue(waiter.side_).remove(waiter);
    granted = admit();
  }
  tell(granted);
  return true;
}

// The last holder left while somebody waits.
void Gate::pass_turn() noexcept {
  GateWaiter* granted = nullptr;
  {
    MutexLock lock(mutex_);
    granted = admit();
  }
  tell(granted);
}

// Takes from the queue whoever may enter now and counts them into the word. Returns them linked by
// next_; the caller tells them after it released mutex_. Called after anything that may make room:
// the last leave, or a give-up. A second call without such a change finds nothing to do.
GateWaiter* Gate::admit() noexcept {
  const std::uint64_t word = word_.load();
  if ((word & kQueued) == 0) return nullptr;  // somebody else admitted already
  if (queue(turn_).count == 0) {
    // Those whose turn it was gave up. Who queued behind them is of the holders' state and joins
    // them.
    turn_ = other_side(turn_);
    if (queue(turn_).count == 0) {
      word_.fetch_sub(kQueued);
      return nullptr;
    }
    QUIRE_DCHECK(holders(word, other_side(turn_)) == 0);
  } else if ((word & ~kQueued) != 0) {
    return nullptr;
  }

  const GateSide side = turn_;
  Queue& batch = queue(side);
  GateWaiter* const granted = batch.first;
  for (GateWaiter* waiter = granted; waiter != nullptr; waiter = waiter->next_) {
    waiter->waiting_ = false;
    waiter->owed_ = true;
    waiter->batches_waited_ = batches(other_side(side)) - waiter->batches_at_start_;
    QUIRE_DCHECK(waiter->batches_waited_ <= 1);
  }
  ++batches(side);
  turn_ = other_side(side);
  const bool last_batch = queue(turn_).count == 0;
  word_.fetch_add(batch.count * one(side) - (last_batch ? kQueued : 0));
  batch = Queue{};
  return granted;
}

void Gate::tell(GateWaiter* granted) noexcept {
  while (granted != nullptr) {
    GateWaiter* const next = granted->next_;  // the waiter may be gone once it is told
    granted->owed_ = false;
    granted->waker_.wake();
    granted = next;
  }
}

WaitStatus Gate::wait(GateSide side, const WaitLimit& limit) {
  SleepingWaker self;
  GateWaiter waiter(self);
  if (enqueue(side, waiter)) return WaitStatus::kReady;
  const WaitStatus status = self.park(limit, [&] { return cancel(waiter); });
  if (status != WaitStatus::kReady) lock_rank::released(rank_, this);
  return status;
}

std::uint64_t Gate::phases() const noexcept {
  MutexLock lock(mutex_);
  return batches_[0] + batches_[1];
}

std::size_t Gate::waiting_count(GateSide side) const noexcept {
  MutexLock lock(mutex_);
  return queues_[static_cast<std::size_t>(side)].count;
}

std::size_t Gate::holders_count(GateSide side) const noexcept {
  return holders(word_.load(), side);
}

}  // namespace quire::sync
