#include "sync/rw_lock.h"

namespace quire::sync {

void RwLock::Queue::push(Waiter& waiter) noexcept {
  waiter.next_ = nullptr;
  waiter.previous_ = last;
  (last != nullptr ? last->next_ : first) = &waiter;
  last = &waiter;
  ++count;
}

void RwLock::Queue::remove(Waiter& waiter) noexcept {
  (waiter.previous_ != nullptr ? waiter.previous_->next_ : first) = waiter.next_;
  (waiter.next_ != nullptr ? waiter.next_->previous_ : last) = waiter.previous_;
  waiter.next_ = waiter.previous_ = nullptr;
  --count;
}

bool RwLock::enqueue(RwMode mode, Waiter& waiter) noexcept {
  MutexLock lock(mutex_);
  QUIRE_DCHECK(!waiter.waiting_);
  std::uint64_t word = word_.load();
  // Ends with kQueued set, by us or before us. Setting it in the same step that finds a holder is what
  // makes that holder see it when it leaves.
  while ((word & kQueued) == 0) {
    if ((word & barred(mode)) == 0) {
      if (word_.compare_exchange_weak(word, word + one(mode))) return true;
    } else if (word_.compare_exchange_weak(word, word | kQueued)) {
      writer_was_last_ = (word & kWriter) != 0;
      break;
    }
  }
  waiter.mode_ = mode;
  waiter.waiting_ = true;
  queue(mode).push(waiter);
  return false;
}

bool RwLock::cancel(Waiter& waiter) noexcept {
  Waiter* granted = nullptr;
  {
    MutexLock lock(mutex_);
    if (!waiter.waiting_) return false;
    waiter.waiting_ = false;
    queue(waiter.mode_).remove(waiter);
    granted = admit();
  }
  tell(granted);
  return true;
}

WaitStatus RwLock::wait(RwMode mode, const WaitLimit& limit) {
  SleepingWaker self;
  Waiter waiter(self);
  if (enqueue(mode, waiter)) return WaitStatus::kReady;
  const WaitStatus status = self.park(limit, [&] { return cancel(waiter); });
  if (status != WaitStatus::kReady) lock_rank::released(rank_, this);
  return status;
}

void RwLock::pass_on() noexcept {
  Waiter* granted = nullptr;
  {
    MutexLock lock(mutex_);
    granted = admit();
  }
  tell(granted);
}

RwLock::Waiter* RwLock::admit() noexcept {
  const std::uint64_t word = word_.load();
  if ((word & kQueued) == 0 || (word & kWriter) != 0) return nullptr;
  Queue& readers = queue(RwMode::kRead);
  Queue& writers = queue(RwMode::kWrite);
  if (readers.count == 0 && writers.count == 0) {  // the last who waited gave up
    word_.fetch_sub(kQueued);
    return nullptr;
  }
  const bool readers_in = (word & kReaders) != 0;
  if (readers_in && writers.count != 0) return nullptr;

  Waiter* granted = nullptr;
  std::uint64_t added = 0;
  const bool alternates = !fault::planted(fault::Planted::kBlockersOvertake);
  if (writers.count == 0 || (alternates && writer_was_last_ && readers.count != 0)) {
    granted = readers.first;
    for (Waiter* waiter = granted; waiter != nullptr; waiter = waiter->next_) {
      waiter->waiting_ = false;
    }
    added = readers.count;
    readers = Queue{};
    writer_was_last_ = false;
  } else {
    granted = writers.first;
    writers.remove(*granted);
    granted->waiting_ = false;
    added = kWriter;
    writer_was_last_ = true;
  }
  const bool nobody_left = readers.count == 0 && writers.count == 0;
  word_.fetch_add(added - (nobody_left ? kQueued : 0));
  return granted;
}

void RwLock::tell(Waiter* granted) noexcept {
  while (granted != nullptr) {
    Waiter* const next = granted->next_;  // the waiter may be gone once it is woken
    granted->waker_.wake();
    granted = next;
  }
}

std::size_t RwLock::waiting_count(RwMode mode) const noexcept {
  MutexLock lock(mutex_);
  return queues_[static_cast<std::size_t>(mode)].count;
}

}  // namespace quire::sync
