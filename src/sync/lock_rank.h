// lock_rank: the lock order of Quire, checked while it runs. Each thread keeps a list of what it
// holds; taking something out of order aborts with the names of both, on the first run through the
// path and not only when two threads meet. Checked builds only (QUIRE_CHECKS); elsewhere every
// function here is empty. Gate and RangeLock call it themselves; whoever has other things to lock
// in this order (the file's structure, pages, a store) calls acquired() and released() beside it.
//
// Rules, in the order of Rank, outermost first:
//  1. A thread that holds a rank takes nothing of a lower rank.
//  2. Nor a second one of the same rank; under fairness even the same state of the same gate is a
//     deadlock. Pages and a store's internals are the exception: each has an order of its own
//     there.
//  3. Nobody waits for memory, budget or a reservation, nor touches caller memory that may fault,
//     while it holds a gate or anything right of it: assert_may_wait_for_memory().
//
// A hold belongs to the thread that took it until released() or handed_over(). Handed over it
// belongs to an operation: no thread is held to it, and any thread may release it. What was
// enqueued for and granted later belongs to an operation from the start.
#ifndef QUIRE_SYNC_LOCK_RANK_H_
#define QUIRE_SYNC_LOCK_RANK_H_

#include <cstddef>
#include <cstdint>

namespace quire::sync {

enum class Rank : std::uint8_t {
  kNames,        // of the mount: which names lead to which node
  kKernelPages,  // of the mount: what the kernel's cache holds of a file
  kFileStructure,
  kWriteRange,
  kGate,
  kTree,  // which nodes a file's page tree has
  kPage,
  kStoreInternals,
  kFileViews,  // which mappings a file has, held over what is done to all of them
  kView,       // of a mapping: what of it is mapped, held over one call of the kernel
};

namespace lock_rank {

#ifdef QUIRE_CHECKS

// This thread takes, or is about to wait for, `what`. Aborts if the order forbids it.
void acquired(Rank rank, const void* what) noexcept;
// This thread gives `what` back. Nothing happens if an operation held it.
void released(Rank rank, const void* what) noexcept;
// This thread's hold of `what` belongs to an operation from now on. Nothing happens if it did
// before.
void handed_over(Rank rank, const void* what) noexcept;
// Aborts if this thread holds a gate, a page or a store's internals.
void assert_may_wait_for_memory() noexcept;
// Aborts if this thread holds anything: before user code is called, for one.
void assert_none_held() noexcept;
// How many holds this thread has. For tests.
std::size_t held_count() noexcept;
// For a scope: a handler of a signal, which takes and gives back what it needs as another thread would. Nothing of it
// is looked at, and no memory is taken.
class Interrupting {
 public:
  Interrupting() noexcept;
  ~Interrupting();
  Interrupting(const Interrupting&) = delete;
  Interrupting& operator=(const Interrupting&) = delete;
};

#else

inline void acquired(Rank, const void*) noexcept {}
inline void released(Rank, const void*) noexcept {}
inline void handed_over(Rank, const void*) noexcept {}
inline void assert_may_wait_for_memory() noexcept {}
inline void assert_none_held() noexcept {}
inline std::size_t held_count() noexcept {
  return 0;
}
class Interrupting {
 public:
  Interrupting() noexcept {}
  ~Interrupting() {}
  Interrupting(const Interrupting&) = delete;
  Interrupting& operator=(const Interrupting&) = delete;
};

#endif

}  // namespace lock_rank
}  // namespace quire::sync

#endif  // QUIRE_SYNC_LOCK_RANK_H_
