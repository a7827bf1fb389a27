#include "cache/block_holders.h"

#include <pthread.h>
#include <unistd.h>

#include <new>

#include "sync/atomic.h"
#include "sync/check.h"
#include "sync/mutex.h"
#include "sync/thread_local.h"

namespace quire::cache {
namespace {

struct Holder;

// Threads that have held a block, for as long as they live.
struct HolderList {
  sync::Mutex mutex;
  Holder* first GUARDED_BY(mutex) = nullptr;
};
HolderList holder_list;
sync::Atomic<unsigned> holder_forks{0};

// A fork may leave the mutex locked, and its list has threads that are not in the child, where one is left.
void forget_parents_holders() {
  new (&holder_list) HolderList;
  holder_forks.fetch_add(1);
}
[[maybe_unused]] const int kHoldersKnowOfForks =
    ::pthread_atfork(nullptr, nullptr, forget_parents_holders);

struct Holder {
  Holder() noexcept { join(); }
  ~Holder() {
    if (forks != holder_forks.load()) return;
    sync::MutexLock lock(holder_list.mutex);
    Holder** place = &holder_list.first;
    while (*place != this) place = &(*place)->next;
    *place = next;
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  void join() noexcept {
    forks = holder_forks.load();
    thread = ::gettid();
    sync::MutexLock lock(holder_list.mutex);
    next = holder_list.first;
    holder_list.first = this;
  }

  // Of this thread; those who find it in the list read `thread` too.
  unsigned forks = 0;  // in whose list it is
  pid_t thread = 0;
  sync::Atomic<int> blocks{0};
  sync::Atomic<std::uint64_t> times{0};
  Holder* next = nullptr;  // guarded by the list's mutex
};

struct Tag {};

}  // namespace

void BlockHolders::enter() noexcept {
  Holder* const holder = sync::ThreadLocal<Holder, Tag>::get_or_null();
  if (holder == nullptr) return;
  // The thread that forked has another number in the child.
  if (holder->forks != holder_forks.load()) holder->join();
  if (holder->blocks.load() == 0) holder->times.fetch_add(1);
  holder->blocks.fetch_add(1);
}

void BlockHolders::leave() noexcept {
  Holder* const holder = sync::ThreadLocal<Holder, Tag>::get_or_null();
  if (holder != nullptr) QUIRE_CHECK(holder->blocks.fetch_sub(1) > 0);
}

std::uint64_t BlockHolders::time_of(pid_t thread) noexcept {
  sync::MutexLock lock(holder_list.mutex);
  for (const Holder* holder = holder_list.first; holder != nullptr; holder = holder->next) {
    if (holder->thread == thread && holder->blocks.load() > 0) return holder->times.load();
  }
  return 0;
}

sync::Mutex& BlockHolders::mutex() noexcept {
  return holder_list.mutex;
}

}  // namespace quire::cache
