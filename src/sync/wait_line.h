// WaitLine: those who wait in line for something that comes back piece by piece, such as frames or dirty
// credits. Only the first in line takes of it; whenever something came back it looks again, until it has
// enough and leaves, and the next one is the first.
//
// Who calls: whoever waits, with a Place of its own, one call at a time (join, look, rest, again, leave);
// from any thread whoever gives something back (notify), and a clock (call_due).
//
//          join()        rest()           called             look()
//   out -----------> up ---------> resting ------> called -----------> up
//                    |  ^            | look()
//             called |  | look()     +-------> up
//                    v  |      rest()
//                   missed ----------------------> called
//
//   any state -- leave() --> out        up, missed -- again() --> called
//
// "Called": the waker is woken; by notify() if it is the first, by call_due(), or because the one before it
// left.
//
// Invariants:
//  1. First come, first served: who is not the first looks for nothing.
//  2. No lost wake-up: a call that comes after a look() began and before the rest() that follows it wakes
//     at that rest().
//  3. One wake() follows each rest() and again(), and no other comes, unless look() or leave() is first
//     (waker.h). It is made under the line's mutex.
#ifndef QUIRE_SYNC_WAIT_LINE_H_
#define QUIRE_SYNC_WAIT_LINE_H_

#include <cstdint>

#include "sync/atomic.h"
#include "sync/check.h"
#include "sync/clock.h"
#include "sync/mutex.h"
#include "sync/waker.h"

namespace quire::sync {

class WaitLine {
 public:
  class Place;

  WaitLine() = default;
  WaitLine(const WaitLine&) = delete;
  WaitLine& operator=(const WaitLine&) = delete;
  ~WaitLine() { QUIRE_CHECK(length_.load() == 0); }

  // Nobody is in line: whoever comes may take without joining. One load.
  bool empty() const noexcept { return length_.load() == 0; }

  void join(Place& place) noexcept;
  // Before each look at what is waited for. True: it is the first, and may take. A wake() that was owed
  // does not come any more; one that came already is of no further meaning.
  bool look(Place& place) noexcept;
  // There was too little: waits to be called. Nothing of the place is touched after the wake().
  void rest(Place& place) noexcept;
  // The same for who should look again, and will not be called: it is, here and now.
  void again(Place& place) noexcept;
  // True: it rested, or looked, and no wake() comes any more. False: it had been called and has not looked
  // since.
  bool leave(Place& place) noexcept;

  // Something came back. Costs one load where nobody is in line.
  void notify() noexcept {
    if (!empty()) [[unlikely]]
      call_first();
  }

  // `place`, first or not, is to be called at `when`. REQUIRES: somebody calls call_due().
  void set_due(Place& place, Clock::time_point when) noexcept;
  // Calls, once, those whose time has come. When to ask next; kNever if for nobody.
  Clock::time_point call_due() noexcept;

 private:
  void call_first() noexcept;
  void call(Place& place) noexcept REQUIRES(mutex_);

  Atomic<std::uint32_t> length_{0};
  Mutex mutex_;
  Place* first_ GUARDED_BY(mutex_) = nullptr;
  Place* last_ GUARDED_BY(mutex_) = nullptr;
};

// Owned by the caller; in place from join() to leave(), and if that says false until the waker was woken.
class WaitLine::Place {
 public:
  explicit Place(Waker& waker) noexcept : waker_(waker) {}
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() { QUIRE_DCHECK(state_ == State::kOut); }

 private:
  friend class WaitLine;

  enum class State : std::uint8_t { kOut, kUp, kMissed, kResting, kCalled };

  // Guarded by the line's mutex.
  Waker& waker_;
  Place* next_ = nullptr;
  Place* previous_ = nullptr;
  Clock::time_point due_ = Clock::kNever;
  State state_ = State::kOut;
};

}  // namespace quire::sync

#endif  // QUIRE_SYNC_WAIT_LINE_H_
