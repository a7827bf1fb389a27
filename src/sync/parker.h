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
// The state word (normal builds) is a set of three bits, changed only by atomic read-modify-writes:
//
//                 unpark                          kPermit    set by unpark(); cleared by the owner
//        {} ----------------> {permit}                       who takes it. Never held back by the
//        | ^ \                   |                           other bits.
//  sleep | |  \ stop             | take           kSleeping  set by the owner before it sleeps on
//        v |   v                 v                           the futex, cleared when it gives up
//  {sleeping}  {interrupt}       {}                          or takes the permit; tells wakers that
//                                                            a system call is needed.
//                                                 kInterrupt set by the stop callback; cleared by
//                                                            the owner once the callback is gone.
//
//   unpark           Parker::unpark            take, sleep   Parker::wait
//   stop             Parker::interrupt, called by the std::stop_callback of Parker::park_until
#ifndef QUIRE_SYNC_PARKER_H_
#define QUIRE_SYNC_PARKER_H_

#include <atomic>
#include <cstdint>

#include "sync/clock.h"
#include "sync/wait.h"

#ifdef QUIRE_SIM
#include "sync/sim/hooks.h"
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
  enum State : std::uint32_t { kPermit = 1, kSleeping = 2, kInterrupt = 4 };

  friend struct ParkerPeer;  // lets the tests hold a thread at a chosen place

  WaitStatus wait(Clock::time_point deadline) noexcept;
  void interrupt() noexcept;

  std::atomic<std::uint32_t> state_{0};
#endif
};

}  // namespace quire::sync

#endif  // QUIRE_SYNC_PARKER_H_
