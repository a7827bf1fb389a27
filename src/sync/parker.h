// Parker: the one primitive by which a thread of Quire sleeps until another wakes it. Everything
// that waits (gate, range lock, pages, frames, queues, completions) is built on it.
//
// A Parker is a one-slot permit, like a binary semaphore: unpark() makes the permit available and
// is remembered, park() takes it or sleeps until it comes. The owner parks; anybody unparks.
//
// The pattern that loses no wake-up: publish the waiter (put the Parker where the waker will find
// it), look again at what is waited for, then park.
//
// Invariants:
//  1. An unpark() that precedes a park() lets that park() return at once; n unparks before it count
//     as one.
//  2. park() returns kReady only by consuming a permit. There are no spurious returns.
//  3. When park_until() returns kTimedOut or kInterrupted no permit was consumed: one may be there,
//     or come later; whoever gives up must withdraw what it published before the Parker dies.
//  4. What the waker did before unpark() is visible to the owner after park() returned kReady.
//  5. unpark() touches the Parker only up to the point where the owner can see the permit, so the
//     owner may destroy it as soon as park() returns kReady.
//
// parker_core.h tells how it works.
#ifndef QUIRE_SYNC_PARKER_H_
#define QUIRE_SYNC_PARKER_H_

#include <atomic>
#include <cstdint>

#include "sync/clock.h"
#include "sync/wait.h"

#ifdef QUIRE_SIM
#include "sync/sim/hooks.h"
#else
#include "sync/parker_core.h"
#endif

namespace quire::sync {

class Parker {
 public:
  Parker() = default;
  Parker(const Parker&) = delete;
  Parker& operator=(const Parker&) = delete;

  // Waits for a permit for as long as it takes. Only for waits that library code bounds elsewhere.
  void park() noexcept;
  // Waits for a permit within `limit`. A permit that is there wins over a stop or a passed
  // deadline.
  [[nodiscard]] WaitStatus park_until(const WaitLimit& limit) noexcept;
  // Makes the permit available. From any thread; never blocks. Not a yield point in the simulation,
  // so that it may be called from a std::stop_callback.
  void unpark() noexcept;

 private:
#ifdef QUIRE_SIM
  bool permit_ = false;
  sim::ObjectTag tag_;
#else
  friend struct ParkerPeer;  // lets the tests hold a thread at a chosen place

  // The kernel's futex.
  struct Futex {
    using Word = std::atomic<std::uint32_t>;
    static bool wait(Word& word, std::uint32_t expected, Clock::time_point deadline) noexcept;
    static void wake(Word* word) noexcept;
  };

  ParkerCore<Futex::Word, Futex> core_;
#endif
};

}  // namespace quire::sync

#endif  // QUIRE_SYNC_PARKER_H_
