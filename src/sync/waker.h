// Waker: how somebody who waits is told. A thread sleeps until then (SleepingWaker). What is no thread,
// such as a page fault that was parked, has itself put where its thread will come to it; it waits in the
// same queues, in the same turn, and holds up no thread.
//
// The contract of everything that is waited for with a Waker; `begin` stands for the call that asks, by
// whatever name, and `cancel` for the one that takes it back.
//  1. begin() either grants at once, and no wake() follows; or it queues, and one wake() follows, unless
//     cancel() returns true. What wake() means is said there: "it is yours", or "look again".
//  2. wake() comes on any thread, also on the one that is inside begin(), and may come before begin() has
//     returned. Who began touches nothing after "queued" that the woken would touch.
//  3. wake() may be called under locks of what is waited for, and inside another's leave(), unlock() or
//     hit: it must be short, take no lock under which the engine is called, and never go on with the work
//     itself. It posts.
//  4. cancel() returns true: it was taken back, and no wake() comes any more. Or false: wake() was called,
//     is being called or will be at once; until it has been, the waiter and its Waker stay where they are,
//     and what was granted must be given back. Exactly one of the two happens, whoever is first.
#ifndef QUIRE_SYNC_WAKER_H_
#define QUIRE_SYNC_WAKER_H_

#include "sync/parker.h"
#include "sync/wait.h"

namespace quire::sync {

class Waker {
 public:
  virtual void wake() noexcept = 0;

 protected:
  Waker() = default;
  Waker(const Waker&) = default;
  Waker& operator=(const Waker&) = default;
  ~Waker() = default;
};

// Of a thread that sleeps until it is woken. On its stack.
class SleepingWaker final : public Waker {
 public:
  SleepingWaker() = default;
  SleepingWaker(const SleepingWaker&) = delete;
  SleepingWaker& operator=(const SleepingWaker&) = delete;

  void wake() noexcept override { parker_.unpark(); }

  // Sleeps until woken, within `limit`; `cancel()` is the one of the contract. Not kReady: it was taken
  // back.
  template <class Cancel>
  [[nodiscard]] WaitStatus park(const WaitLimit& limit, Cancel&& cancel) noexcept {
    const WaitStatus status = parker_.park_until(limit);
    if (status == WaitStatus::kReady || cancel()) return status;
    parker_.park();  // woken at the same moment; the waker is about to say so
    return WaitStatus::kReady;
  }
  // The same for whoever takes it back himself, or does not when he has slept long enough.
  [[nodiscard]] WaitStatus park(const WaitLimit& limit) noexcept {
    return parker_.park_until(limit);
  }

 private:
  Parker parker_;
};

}  // namespace quire::sync

#endif  // QUIRE_SYNC_WAKER_H_
