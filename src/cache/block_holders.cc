#include "cache/block_holders.h"

#include <unistd.h>

#include "sync/atomic.h"
#include "sync/check.h"
#include "sync/mutex.h"
#include "sync/thread_local.h"

namespace quire::cache {
namespace {

struct Holder;

// Threads that have held a block, for as long as they live.
sync::Mutex list_mutex;
Holder* first_holder GUARDED_BY(list_mutex) = nullptr;

struct Holder {
  Holder() noexcept : thread(::gettid()) {
    sync::MutexLock lock(list_mutex);
    next = first_holder;
    first_holder = this;
  }
  ~Holder() {
    sync::MutexLock lock(list_mutex);
    Holder** place = &first_holder;
    while (*place != this) place = &(*place)->next;
    *place = next;
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  const pid_t thread;
  sync::Atomic<int> blocks{0};
  Holder* next = nullptr;  // guarded by list_mutex
};

struct Tag {};

}  // namespace

void BlockHolders::enter() noexcept {
  Holder* const holder = sync::ThreadLocal<Holder, Tag>::get_or_null();
  if (holder != nullptr) holder->blocks.fetch_add(1);
}

void BlockHolders::leave() noexcept {
  Holder* const holder = sync::ThreadLocal<Holder, Tag>::get_or_null();
  if (holder != nullptr) QUIRE_CHECK(holder->blocks.fetch_sub(1) > 0);
}

bool BlockHolders::holds(pid_t thread) noexcept {
  sync::MutexLock lock(list_mutex);
  for (const Holder* holder = first_holder; holder != nullptr; holder = holder->next) {
    if (holder->thread == thread && holder->blocks.load() > 0) return true;
  }
  return false;
}

}  // namespace quire::cache
