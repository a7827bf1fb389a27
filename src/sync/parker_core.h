// ParkerCore: how a Parker works, over any atomic word and any futex. The normal build gives it
// std::atomic and the kernel's futex (parker.cc); its test in the simulation gives it a simulated
// one of each and runs every interleaving of the same code.
//
// The word is a set of three bits, changed only by atomic read-modify-writes:
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
//   unpark, stop           unpark(); interrupt(), called by the std::stop_callback of park_until()
//   sleep, take, give up   wait()
//
// Futex: static bool wait(Word& word, std::uint32_t expected, Clock::time_point deadline), which
// sleeps while the word is `expected` and returns false when the deadline has passed (true says
// nothing), and static void wake(Word* word), which wakes one sleeper and does not look at the
// word.
#ifndef QUIRE_SYNC_PARKER_CORE_H_
#define QUIRE_SYNC_PARKER_CORE_H_

#include <cstdint>
#include <stop_token>

#include "sync/clock.h"
#include "sync/wait.h"

namespace quire::sync {

template <class Word, class Futex>
class ParkerCore {
 public:
  enum State : std::uint32_t { kPermit = 1, kSleeping = 2, kInterrupt = 4 };

  ParkerCore() = default;
  ParkerCore(const ParkerCore&) = delete;
  ParkerCore& operator=(const ParkerCore&) = delete;

  WaitStatus park_until(const WaitLimit& limit) noexcept {
    if (!limit.stop.stop_possible()) return wait(limit.deadline);
    WaitStatus status;
    {
      // Runs interrupt() here and now if the stop was requested already; once destroyed, it is not
      // running and will not run.
      std::stop_callback on_stop(limit.stop, [this]() noexcept { interrupt(); });
      status = wait(limit.deadline);
    }
    end_interrupt();
    return status;
  }

  void unpark() noexcept {
    Word* const word = &state;
    // From here on the owner may take the permit and destroy the Parker.
    const std::uint32_t before = state.fetch_or(kPermit);
    if ((before & kSleeping) && !(before & kPermit)) Futex::wake(word);
  }

  // The steps of park_until().

  // Leaves with kPermit clear if and only if it returns kReady and cleared it itself; kInterrupt
  // stays.
  WaitStatus wait(Clock::time_point deadline) noexcept {
    bool in_time = true;
    for (;;) {
      std::uint32_t now = state.load();
      if (now & kPermit) {
        state.fetch_and(~std::uint32_t{kPermit | kSleeping});
        return WaitStatus::kReady;
      }
      if ((now & kInterrupt) || !in_time) {
        // Giving up succeeds only from a state without a permit: one that comes first is taken.
        const WaitStatus status =
            (now & kInterrupt) ? WaitStatus::kInterrupted : WaitStatus::kTimedOut;
        if (state.compare_exchange_strong(now, now & ~std::uint32_t{kSleeping})) return status;
        continue;
      }
      if (!(now & kSleeping) && !state.compare_exchange_strong(now, now | kSleeping)) continue;
      in_time = Futex::wait(state, kSleeping, deadline);
    }
  }

  // REQUIRES: the Parker outlives the call, as the stop callback's destructor sees to.
  void interrupt() noexcept {
    if (state.fetch_or(kInterrupt) & kSleeping) Futex::wake(&state);
  }

  // REQUIRES: no interrupt() can be running, or come later.
  void end_interrupt() noexcept { state.fetch_and(~std::uint32_t{kInterrupt}); }

  Word state{0};
};

}  // namespace quire::sync

#endif  // QUIRE_SYNC_PARKER_CORE_H_
