// sync::Atomic<T>: std::atomic<T> itself in normal builds, a yield point of the simulation's
// scheduler in `sim` builds. Everything that threads share without a lock is one of these.
//
// Memory order: state words, stripes and parking use sequentially consistent read-modify-writes, so
// that exploring interleavings one at a time is sound for them. A weaker order needs a benchmark
// that shows the gain and a written argument beside it.
#ifndef QUIRE_SYNC_ATOMIC_H_
#define QUIRE_SYNC_ATOMIC_H_

#include <atomic>

#ifdef QUIRE_SIM
#include "sync/sim/sim_atomic.h"
#endif

namespace quire::sync {

#ifdef QUIRE_SIM
template <class T>
using Atomic = sim::SimAtomic<T>;
#else
template <class T>
using Atomic = std::atomic<T>;
#endif

// Tells the processor that this is a spin loop. In the simulation: lets somebody else run.
inline void spin_pause() noexcept {
#if defined(QUIRE_SIM)
  sim::spin();
#elif defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace quire::sync

#endif  // QUIRE_SYNC_ATOMIC_H_
