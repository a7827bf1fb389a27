// fork_guard: tells the child of a fork that it is one. The cache's threads and locks stay with the
// parent, so every call in the child fails at once with Errc::kForked and touches nothing.
#ifndef QUIRE_FILE_FORK_GUARD_H_
#define QUIRE_FILE_FORK_GUARD_H_

#include "sync/atomic.h"

namespace quire::file {

// Which process this is, counted in forks since the guard was first used: a cache remembers the value
// it was made under and compares.
inline sync::Atomic<unsigned> fork_count{0};
inline unsigned fork_generation() noexcept {
  return fork_count.load(std::memory_order_relaxed);
}
// Starts counting. Thread-safe; called by every Cache::create.
void install_fork_guard() noexcept;

}  // namespace quire::file

#endif  // QUIRE_FILE_FORK_GUARD_H_
