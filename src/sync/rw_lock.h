// RwLock: shared by readers or held by one writer, fairly. The lock of the strategies `invalidate` and
// `inode` of cache/cache_lock.h, which stand for how kernels do it.
//
// From anywhere but a signal handler. lock() may sleep; the other calls never wait for a holder.
// unlock() may be called by another thread than the one that locked. Locking again while holding is a
// deadlock and not allowed.
//
// Fairness: who waits longest?
//   Once a writer waits, readers who come queue. When a writer leaves, all readers who wait by then are
//   admitted together; when the last of them leaves, the writer who has waited longest.
// THE BOUND: a reader waits for the holders it met and at most one writer more; a writer for the holders
// it met and, for each writer before it in the queue and for itself, at most one batch of readers.
//
// The word. One 64-bit word decides the uncontended case with one read-modify-write:
//
//    bit 63   bit 62   bits 30..0
//   +--------+--------+------------+
//   | queued | writer | readers in |
//   +--------+--------+------------+
//
//  1. No reader is in while a writer is.
//  2. queued is set exactly while somebody is in the queue. Only under mutex_ does it change.
//  3. While queued is set, holders are added under mutex_ only; they may leave at any time.
//  4. Who brings the holders to zero while queued is set takes mutex_ and admits who is next.
//
// A grant reaches its waiter in two steps: under mutex_ the waiter is taken from the queue and counted
// into the word; after mutex_ was released it is woken. Who gives up between the two has the lock.
#ifndef QUIRE_SYNC_RW_LOCK_H_
#define QUIRE_SYNC_RW_LOCK_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "fault/planted.h"
#include "sync/atomic.h"
#include "sync/check.h"
#include "sync/lock_rank.h"
#include "sync/mutex.h"
#include "sync/wait.h"
#include "sync/waker.h"

namespace quire::sync {

enum class RwMode : std::uint8_t { kRead = 0, kWrite = 1 };

class RwLock {
 public:
  class Waiter;

  // `rank`: its place in the lock order.
  explicit RwLock(Rank rank) noexcept : rank_(rank) {}
  RwLock(const RwLock&) = delete;
  RwLock& operator=(const RwLock&) = delete;
  // REQUIRES: nobody holds it, waits for it or is inside a call.
  ~RwLock() { QUIRE_CHECK(word_.load() == 0); }

  // Locks at once or not at all. Overtakes nobody who waits.
  bool try_lock(RwMode mode) noexcept;
  // Locks, waiting in turn within `limit`. kReady: locked. A free lock wins over a passed deadline, and
  // a grant over a give-up at the same moment.
  WaitStatus lock(RwMode mode, const WaitLimit& limit = {});
  // Gives back one lock(). From any thread.
  void unlock(RwMode mode) noexcept;

  // Locks at once (true: nobody is woken), or puts `waiter` into the queue (false). What is granted so
  // belongs to no thread.
  bool enqueue(RwMode mode, Waiter& waiter) noexcept;
  // Takes `waiter` out of the queue (true), unless it was granted: see waker.h.
  bool cancel(Waiter& waiter) noexcept;

  // This thread's hold belongs to an operation from now on, which some thread will unlock. Must be said
  // before that; checked builds hold the thread to the lock order until then.
  void hand_over() noexcept { lock_rank::handed_over(rank_, this); }

  // For tests and statistics; exact only while nobody else uses the lock.
  std::size_t waiting_count(RwMode mode) const noexcept;

 private:
  // The waiters of one mode, in the order they came.
  struct Queue {
    Waiter* first = nullptr;
    Waiter* last = nullptr;
    std::size_t count = 0;

    void push(Waiter& waiter) noexcept;
    void remove(Waiter& waiter) noexcept;
  };

  static constexpr std::uint64_t kQueued = std::uint64_t{1} << 63;
  static constexpr std::uint64_t kWriter = std::uint64_t{1} << 62;
  static constexpr std::uint64_t kReaders = (std::uint64_t{1} << 31) - 1;

  static constexpr std::uint64_t one(RwMode mode) noexcept {
    return mode == RwMode::kRead ? 1 : kWriter;
  }
  // The bits that keep a newcomer out.
  static constexpr std::uint64_t barred(RwMode mode) noexcept {
    return kQueued | kWriter | (mode == RwMode::kRead ? 0 : kReaders);
  }
  Queue& queue(RwMode mode) noexcept REQUIRES(mutex_) {
    return queues_[static_cast<std::size_t>(mode)];
  }

  bool take(RwMode mode) noexcept;
  WaitStatus wait(RwMode mode, const WaitLimit& limit);
  void pass_on() noexcept;
  // Takes from the queue who may have the lock now, and counts them into the word. Returns them linked;
  // the caller tells them after it released mutex_.
  Waiter* admit() noexcept REQUIRES(mutex_);
  static void tell(Waiter* granted) noexcept;

  const Rank rank_;
  Atomic<std::uint64_t> word_{0};
  mutable Mutex mutex_;
  std::array<Queue, 2> queues_ GUARDED_BY(mutex_);
  // While somebody is in the queue: whether those who hold, or held last, are of the mode kWrite.
  bool writer_was_last_ GUARDED_BY(mutex_) = false;
};

// A place in the queue. Owned by the caller, and alive from enqueue() until its waker was woken or
// cancel() returned true. May be enqueued again after that.
class RwLock::Waiter {
 public:
  // `waker` is woken, under no lock of the RwLock, when it is locked: unlock() it when done.
  explicit Waiter(Waker& waker) noexcept : waker_(waker) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  ~Waiter() { QUIRE_DCHECK(!waiting_); }

 private:
  friend class RwLock;

  // Guarded by the lock's mutex while waiting_; next_ belongs to who granted, from then on until the
  // waker is woken.
  Waker& waker_;
  Waiter* next_ = nullptr;
  Waiter* previous_ = nullptr;
  RwMode mode_ = RwMode::kRead;
  bool waiting_ = false;
};

inline bool RwLock::take(RwMode mode) noexcept {
  std::uint64_t bars = barred(mode);
  if (fault::planted(fault::Planted::kAddersOvertake)) bars &= ~kQueued;
  std::uint64_t word = word_.load();
  while ((word & bars) == 0) {
    QUIRE_DCHECK((word & kReaders) < kReaders);
    if (word_.compare_exchange_weak(word, word + one(mode))) return true;
  }
  return false;
}

inline bool RwLock::try_lock(RwMode mode) noexcept {
  if (!take(mode)) return false;
  lock_rank::acquired(rank_, this);
  return true;
}

inline WaitStatus RwLock::lock(RwMode mode, const WaitLimit& limit) {
  lock_rank::acquired(rank_, this);
  if (take(mode)) [[likely]]
    return WaitStatus::kReady;
  return wait(mode, limit);
}

inline void RwLock::unlock(RwMode mode) noexcept {
  lock_rank::released(rank_, this);
  const std::uint64_t before = word_.fetch_sub(one(mode));
  QUIRE_CHECK((before & (mode == RwMode::kRead ? kReaders : kWriter)) != 0);
  if (before == (kQueued | one(mode))) [[unlikely]]
    pass_on();
}

}  // namespace quire::sync

#endif  // QUIRE_SYNC_RW_LOCK_H_
