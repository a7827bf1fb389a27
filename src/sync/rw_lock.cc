#include "sync/rw_lock.h"

#include "sync/parker.h"

namespace quire::sync {

struct RwLock::Waiter {
  explicit Waiter(RwMode m) : mode(m) {}

  const RwMode mode;
  Waiter* next = nullptr;
  Waiter* previous = nullptr;
  bool waiting = false;  // guarded by the lock's mutex
  Parker parker;
};

void RwLock::Queue::push(Waiter& waiter) noexcept {
  waiter.previous = last;
  (last != nullptr ? last->next : first) = &waiter;
  last = &waiter;
  ++count;
}

void RwLock::Queue::remove(Waiter& waiter) noexcept {
  (waiter.previous != nullptr ? waiter.previous->next : first) = waiter.next;
  (waiter.next != nullptr ? waiter.next->previous : last) = waiter.previous;
  waiter.next = waiter.previous = nullptr;
  --count;
}

bool RwLock::enqueue(Waiter& waiter) noexcept {
  MutexLock lock(mutex_);
  std::uint64_t word = word_.load();
  // Ends with kQueued set, by us or before us. Setting it in the same step that finds a holder is what
  // makes that holder see it when it leaves.
  while ((word & kQueued) == 0) {
    if ((word & barred(waiter.mode)) == 0) {
      if (word_.compare_exchange_weak(word, word + one(waiter.mode))) return true;
    } else if (word_.compare_exchange_weak(word, word | kQueued)) {
      writer_was_last_ = (word & kWriter) != 0;
      break;
    }
  }
  waiter.waiting = true;
  queue(waiter.mode).push(waiter);
  return false;
}

WaitStatus RwLock::wait(RwMode mode, const WaitLimit& limit) {
  Waiter waiter(mode);
  if (enqueue(waiter)) return WaitStatus::kReady;
  const WaitStatus status = waiter.parker.park_until(limit);
  if (status == WaitStatus::kReady) return status;
  Waiter* granted = nullptr;
  {
    MutexLock lock(mutex_);
    if (waiter.waiting) {
      waiter.waiting = false;
      queue(mode).remove(waiter);
      granted = admit();
    } else {
      lock.unlock();
      waiter.parker.park();  // granted at the same moment; the granter is about to say so
      return WaitStatus::kReady;
    }
  }
  wake(granted);
  lock_rank::released(rank_, this);
  return status;
}

void RwLock::pass_on() noexcept {
  Waiter* granted = nullptr;
  {
    MutexLock lock(mutex_);
    granted = admit();
  }
  wake(granted);
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
    for (Waiter* waiter = granted; waiter != nullptr; waiter = waiter->next) {
      waiter->waiting = false;
    }
    added = readers.count;
    readers = Queue{};
    writer_was_last_ = false;
  } else {
    granted = writers.first;
    writers.remove(*granted);
    granted->waiting = false;
    added = kWriter;
    writer_was_last_ = true;
  }
  const bool nobody_left = readers.count == 0 && writers.count == 0;
  word_.fetch_add(added - (nobody_left ? kQueued : 0));
  return granted;
}

void RwLock::wake(Waiter* granted) noexcept {
  while (granted != nullptr) {
    Waiter* const next = granted->next;  // the waiter may be gone once it is woken
    granted->parker.unpark();
    granted = next;
  }
}

std::size_t RwLock::waiting_count(RwMode mode) const noexcept {
  MutexLock lock(mutex_);
  return queues_[static_cast<std::size_t>(mode)].count;
}

}  // namespace quire::sync
