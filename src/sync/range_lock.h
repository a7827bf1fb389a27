// RangeLock: locks ranges of 64-bit numbers, shared or exclusive. A file has one; every operation
// that changes its bytes or size holds the range it changes, direct reads share theirs.
//
// From anywhere but a signal handler. lock() may sleep; the other calls never wait for a holder.
// Nothing is allocated: who locks brings a Hold, usually on the stack or inside an operation, and
// keeps it alive and in place until it is unlocked. unlock() may be called by another thread than
// the one that locked. Locking a second range while holding one is not allowed.
//
// Two requests *conflict* if their ranges share a number and not both are shared.
//
// Fairness: who waits for whom?
//   A request waits for those it conflicts with among the requests that came before it and are not
//   done, holders and waiters alike, and for nobody else. (FIRST COME, FIRST SERVED.)
// THE BOUND: what comes later never delays a request, so it waits for at most the requests that it
// met, each once. It does not wait for all of them: requests that do not conflict run side by side,
// and an unlock grants all who were waiting for nothing else, together. So the wait is as many
// holds long as the longest chain met in which each conflicts with the next, not as the queue is.
// A chain is as long as it must be: letting a newcomer through because the waiter it conflicts with
// cannot run yet would let a stream of small writes hold off a truncate for ever.
//
// How. All requests stand in one list in the order they came. `ahead_` of a request is the number
// of conflicting requests before it in the list.
//  1. A request is granted exactly when ahead_ == 0.
//  2. A request enters at the end of the list with ahead_ counted over all of it. One that leaves,
//     by unlock() or cancel(), takes itself out of ahead_ of those behind it. ahead_ never grows.
//  3. So no two granted requests conflict: the later one of them would have the earlier one ahead.
// Each call goes through the list once under one mutex: a pair alone costs two mutex pairs and a
// few nanoseconds, each other request in the list one or two more (range_pair in gate_bench). That
// suits the tens of operations that one file has under way; at 512 a pair takes a microsecond.
//
// States of a Hold                             -> function
//   idle -> held                               try_lock(), lock(), enqueue()
//   idle -> waiting                            lock(), enqueue()
//   waiting -> held                            unlock() or cancel() of another Hold
//   waiting -> idle                            cancel()
//   held -> idle                               unlock()
#ifndef QUIRE_SYNC_RANGE_LOCK_H_
#define QUIRE_SYNC_RANGE_LOCK_H_

#include <cstddef>
#include <cstdint>

#include "sync/check.h"
#include "sync/lock_rank.h"
#include "sync/mutex.h"
#include "sync/wait.h"
#include "sync/waker.h"

namespace quire::sync {

enum class RangeMode : std::uint8_t { kShared, kExclusive };

class RangeLock {
 public:
  class Hold;

  // `rank`: its place in the lock order.
  explicit RangeLock(Rank rank = Rank::kWriteRange) noexcept : rank_(rank) {}
  RangeLock(const RangeLock&) = delete;
  RangeLock& operator=(const RangeLock&) = delete;
  // REQUIRES: nobody holds a range, waits for one or is inside a call.
  ~RangeLock();

  // All ranges are [first, last], both inclusive, so that [x, UINT64_MAX] is "x and all beyond".
  // REQUIRES: first <= last, and an idle hold.

  // Locks at once or not at all. Overtakes nobody it conflicts with.
  bool try_lock(Hold& hold, std::uint64_t first, std::uint64_t last, RangeMode mode) noexcept;
  // Locks, waiting in turn within `limit`. kReady: locked. A grant wins over a give-up at the same
  // moment.
  WaitStatus lock(Hold& hold, std::uint64_t first, std::uint64_t last, RangeMode mode,
                  const WaitLimit& limit = {});
  // Locks at once (true: nobody is woken), or puts the hold into the queue (false): `waker` is woken,
  // under no lock of the range lock, when the range is locked. What is granted so belongs to no thread.
  bool enqueue(Hold& hold, std::uint64_t first, std::uint64_t last, RangeMode mode,
               Waker& waker) noexcept;
  // Takes a waiting hold out of the queue (true), unless it was granted: see waker.h.
  bool cancel(Hold& hold) noexcept;
  // REQUIRES: `hold` is held. It is idle afterwards.
  void unlock(Hold& hold) noexcept;

  // This thread's hold belongs to an operation from now on, which some thread will unlock. Must be
  // said before that; checked builds hold the thread to the lock order until then.
  void hand_over() noexcept { lock_rank::handed_over(rank_, this); }

  // For tests and statistics: requests that hold, and that wait.
  std::size_t holders_count() const noexcept;
  std::size_t waiting_count() const noexcept;

 private:
  std::size_t count_conflicts(const Hold& hold) const noexcept REQUIRES(mutex_);
  void append(Hold& hold) noexcept REQUIRES(mutex_);
  Hold* remove(Hold& hold) noexcept REQUIRES(mutex_);
  static void tell(Hold* granted) noexcept;

  const Rank rank_;
  mutable Mutex mutex_;
  Hold* first_ GUARDED_BY(mutex_) = nullptr;  // in the order they came
  Hold* last_ GUARDED_BY(mutex_) = nullptr;
};

// One request of a RangeLock, from lock() to unlock(). Owned by the caller.
class RangeLock::Hold {
 public:
  Hold() = default;
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  ~Hold() { QUIRE_CHECK(state_ == State::kIdle); }

  // What was asked for. Valid while not idle.
  std::uint64_t first() const noexcept { return first_; }
  std::uint64_t last() const noexcept { return last_; }
  RangeMode mode() const noexcept { return mode_; }

 private:
  friend class RangeLock;

  enum class State : std::uint8_t { kIdle, kWaiting, kHeld };

  bool conflicts_with(const Hold& other) const noexcept {
    return first_ <= other.last_ && other.first_ <= last_ &&
           (mode_ == RangeMode::kExclusive || other.mode_ == RangeMode::kExclusive);
  }

  // All guarded by the lock's mutex while the hold is in its list; next_granted_ and owed_ belong
  // to the granting thread.
  Hold* next_ = nullptr;
  Hold* previous_ = nullptr;
  std::uint64_t first_ = 0;
  std::uint64_t last_ = 0;
  std::size_t ahead_ = 0;
  Waker* waker_ = nullptr;
  Hold* next_granted_ = nullptr;
  RangeMode mode_ = RangeMode::kShared;
  State state_ = State::kIdle;
  bool owed_ = false;  // granted, and its waker not woken yet
};

// Unlocks at the end of a scope what was locked into `hold`.
class RangeGuard {
 public:
  RangeGuard(RangeLock& lock, RangeLock::Hold& hold) noexcept : lock_(lock), hold_(hold) {}
  RangeGuard(const RangeGuard&) = delete;
  RangeGuard& operator=(const RangeGuard&) = delete;
  ~RangeGuard() { lock_.unlock(hold_); }

 private:
  RangeLock& lock_;
  RangeLock::Hold& hold_;
};

}  // namespace quire::sync

#endif  // QUIRE_SYNC_RANGE_LOCK_H_
