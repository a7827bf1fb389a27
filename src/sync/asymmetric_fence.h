// An asymmetric pair of fences, for a handshake in which one side runs all the time and the other
// hardly ever. The frequent side pays nothing: it only keeps the compiler from moving its load over
// its store. The rare side makes every processor that runs a thread of this process pass a full
// barrier (membarrier(2), private expedited; Linux 4.14).
//
//   often:  mine.store(1, release);  light_fence();  if (theirs.load()) ...
//   rarely: theirs.store(1);         heavy_fence();  if (mine.load()) ...
//
// After both, at least one side has seen the other's store: the guarantee of two sequentially
// consistent fences. In the simulation every access is sequentially consistent, and both are
// nothing.
//
// Thread-safety: from any thread.
#ifndef QUIRE_SYNC_ASYMMETRIC_FENCE_H_
#define QUIRE_SYNC_ASYMMETRIC_FENCE_H_

#include <atomic>

namespace quire::sync {

inline void light_fence() noexcept {
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

void heavy_fence() noexcept;

// False where the kernel refuses: then heavy_fence() promises nothing, and its callers must look
// again by themselves from time to time.
bool heavy_fence_works() noexcept;

}  // namespace quire::sync

#endif  // QUIRE_SYNC_ASYMMETRIC_FENCE_H_
