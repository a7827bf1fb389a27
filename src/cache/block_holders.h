// BlockHolders: which threads are at work under a Block (cache_lock.h) at this moment: they cut, or write past the
// cache; or have the store fill pages, write them back, or take space for them. A page fault of such a thread might
// wait for its own thread; whoever answers faults fails it instead. That is a bug of whoever faults: a store of a
// program's own, say, that touches a mapping while it is called.
//
// Who calls: cuts, direct writes and whoever else calls the store with a Block, for the time in which their thread has
// it, handed over or not; fills, writeback and reservations of files that are mapped, while they call the store; who
// answers faults asks. The child of a fork knows its own threads alone.
#ifndef QUIRE_CACHE_BLOCK_HOLDERS_H_
#define QUIRE_CACHE_BLOCK_HOLDERS_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "sync/mutex.h"

namespace quire::cache {

class BlockHolders {
 public:
  // The calling thread is one, for a scope.
  class Scope {
   public:
    Scope() noexcept { enter(); }
    ~Scope() { leave(); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
  };
  // By a thread's kernel id.
  static bool holds(pid_t thread) noexcept;

  enum class Access : std::uint8_t { kNotAtWork, kFirst, kAgain };
  // The kernel tells of an access of the thread to the page. kFirst: the access may be over, and the thread has gone to
  // work since: it is to be repeated, if it is not. kAgain: it is told of once more while the thread is at work as it
  // was then, so it waits for that.
  static Access note_access(pid_t thread, const std::byte* page) noexcept;

 private:
  friend struct BlockHoldersPeer;  // lets the tests hold the mutex

  static void enter() noexcept;
  static void leave() noexcept;
  static sync::Mutex& mutex() noexcept;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_BLOCK_HOLDERS_H_
