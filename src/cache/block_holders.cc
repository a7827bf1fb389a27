#include "cache/block_holders.h"

#include <pthread.h>
#include <unistd.h>

#include <new>
#include <utility>

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
  sync::Atomic<std::uint64_t> times{0};  // that it has gone to work
  // Guarded by the list's mutex.
  std::pair<const std::byte*, std::uint64_t> told;  // of which access, and in which of `times`
  Holder* next = nullptr;
};

Holder* find_at_work(pid_t thread) noexcept REQUIRES(holder_list.mutex) {
  Holder* holder = holder_list.first;
  while (holder != nullptr && !(holder->thread == thread && holder->blocks.load() > 0)) {
    holder = holder->next;
  }
  return holder;
}

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

bool BlockHolders::holds(pid_t thread) noexcept {
  sync::MutexLock lock(holder_list.mutex);
  return find_at_work(thread) != nullptr;
}

BlockHolders::Access BlockHolders::note_access(pid_t thread, const std::byte* page) noexcept {
  sync::MutexLock lock(holder_list.mutex);
  Holder* const holder = find_at_work(thread);
  if (holder == nullptr) return Access::kNotAtWork;
  const std::pair told(page, holder->times.load());
  return std::exchange(holder->told, told) == told ? Access::kAgain : Access::kFirst;
}

sync::Mutex& BlockHolders::mutex() noexcept {
  return holder_list.mutex;
}

}  // namespace quire::cache
