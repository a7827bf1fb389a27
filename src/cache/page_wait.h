// PageWaitLot: where threads, and what is no thread, wait until a page changes. A fixed table of buckets,
// each a mutex and a list of waiters; pages themselves spend one bit on it (PageValue::kWaiters), so that
// a transition nobody waits for pays nothing.
//
// A waiter announces itself and waits in one of two ways:
//   wait(), enqueue()              for a page word to change from the value the caller saw
//   wait_where(), enqueue_where()  for anything else, with a test made under the bucket's lock
// wait() and wait_where() sleep; the others return, and the Waker is woken later (waker.h). Who changes what
// is waited for calls wake() afterwards.
//
// Invariants:
//  1. No lost wake-up: the announcement (the waiters bit, or the test of wait_where) and joining
//     the list happen under the bucket's lock; wake() takes it after the change.
//  2. A wait returns kReady for every wake of its key, and only then. It says nothing about the
//     page: the caller looks again. Keys may collide (page_key.h), so it may look for nothing.
//  3. The word is not touched after a waiter slept, or was queued: its tree node may be gone by then.
//  4. Wakers are woken under the bucket's lock. So a cancel() that returns false comes after the wake().
#ifndef QUIRE_CACHE_PAGE_WAIT_H_
#define QUIRE_CACHE_PAGE_WAIT_H_

#include <array>
#include <cstddef>
#include <optional>

#include "cache/page_key.h"
#include "cache/page_word.h"
#include "cache/wait_count.h"
#include "fault/planted.h"
#include "sync/mutex.h"
#include "sync/wait.h"
#include "sync/waker.h"

namespace quire::cache {

class PageWaitLot {
 public:
  class Waiter;

  PageWaitLot() = default;
  PageWaitLot(const PageWaitLot&) = delete;
  PageWaitLot& operator=(const PageWaitLot&) = delete;

  // Sleeps until the page is woken, unless `word` no longer has the value `seen`. `before_sleep`
  // runs once, when the word will not be touched any more: the caller gives up what kept it alive
  // there (its hazard slot). It runs in every case.
  template <class BeforeSleep>
  sync::WaitStatus wait(PageKey key, PageWord& word, PageValue seen, BeforeSleep&& before_sleep,
                        const sync::WaitLimit& limit);

  // Sleeps until `key` is woken, unless still_waiting() is false. It is called once, under a lock
  // of the lot: it must publish that somebody waits and look at what is waited for.
  template <class StillWaiting>
  sync::WaitStatus wait_where(PageKey key, StillWaiting&& still_waiting,
                              const sync::WaitLimit& limit);

  // The same without sleeping. True: `waiter` is queued, and will be woken to look again. False: there
  // was nothing to wait for any more.
  bool enqueue(Waiter& waiter, PageKey key, PageWord& word, PageValue seen) {
    return enqueue_where(
        waiter, key, [&] { return still(word, seen); }, &waits_);
  }
  template <class StillWaiting>
  bool enqueue_where(Waiter& waiter, PageKey key, StillWaiting&& still_waiting,
                     WaitCount* counted = nullptr);
  // Takes a waiter that was queued out again (true), unless it was woken: see waker.h.
  bool cancel(Waiter& waiter) noexcept;

  // Waits for pages: the sleeps of wait(), and of those who read a page themselves.
  WaitCount& waits() noexcept { return waits_; }

  // Wakes everybody who waits for `key`.
  void wake(PageKey key) noexcept;

 private:
  struct alignas(64) Bucket {
    sync::Mutex mutex;
    Waiter* first GUARDED_BY(mutex) = nullptr;
  };
  static constexpr std::size_t kBuckets = 256;

  Bucket& bucket_of(PageKey key) noexcept {
    return buckets_[(key.bits * 0x9e3779b97f4a7c15u) >> 56];
  }
  // Announces a waiter, unless the page has changed.
  static bool still(PageWord& word, PageValue seen) noexcept {
    return word.announce_waiter(seen) || fault::planted(fault::Planted::kWaiterLooksOnce);
  }
  static void join(Bucket& bucket, Waiter& waiter) REQUIRES(bucket.mutex);
  static void leave(Bucket& bucket, Waiter& waiter) REQUIRES(bucket.mutex);

  WaitCount waits_;
  std::array<Bucket, kBuckets> buckets_;
};

// A place in the lot. Owned by the caller, and alive from enqueue() until its waker was woken or cancel()
// returned true. May be queued again after that.
class PageWaitLot::Waiter {
 public:
  explicit Waiter(sync::Waker& waker) noexcept : waker_(waker) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  ~Waiter() { QUIRE_DCHECK(!linked_); }

 private:
  friend class PageWaitLot;

  // Guarded by the bucket's mutex while linked_.
  sync::Waker& waker_;
  PageKey key_{};
  Waiter* next_ = nullptr;
  Waiter* previous_ = nullptr;
  bool linked_ = false;
  std::optional<WaitCount::Timer> timer_;  // of one who does not sleep
};

template <class BeforeSleep>
sync::WaitStatus PageWaitLot::wait(PageKey key, PageWord& word, PageValue seen,
                                   BeforeSleep&& before_sleep, const sync::WaitLimit& limit) {
  sync::SleepingWaker self;
  Waiter waiter(self);
  const bool queued = enqueue_where(waiter, key, [&] { return still(word, seen); });
  before_sleep();
  if (!queued) return sync::WaitStatus::kReady;
  const WaitCount::Timer timer(waits_);
  return self.park(limit, [&] { return cancel(waiter); });
}

template <class StillWaiting>
sync::WaitStatus PageWaitLot::wait_where(PageKey key, StillWaiting&& still_waiting,
                                         const sync::WaitLimit& limit) {
  sync::SleepingWaker self;
  Waiter waiter(self);
  if (!enqueue_where(waiter, key, still_waiting)) return sync::WaitStatus::kReady;
  return self.park(limit, [&] { return cancel(waiter); });
}

template <class StillWaiting>
bool PageWaitLot::enqueue_where(Waiter& waiter, PageKey key, StillWaiting&& still_waiting,
                                WaitCount* counted) {
  QUIRE_DCHECK(!waiter.linked_);
  Bucket& bucket = bucket_of(key);
  sync::MutexLock lock(bucket.mutex);
  if (!still_waiting()) return false;
  waiter.key_ = key;
  if (counted != nullptr) waiter.timer_.emplace(*counted);
  join(bucket, waiter);
  return true;
}

}  // namespace quire::cache

#endif  // QUIRE_CACHE_PAGE_WAIT_H_
