// PageWaitLot: where threads sleep until a page changes. A fixed table of buckets, each a mutex and
// a list of waiters; pages themselves spend one bit on it (PageValue::kWaiters), so that a
// transition nobody waits for pays nothing.
//
// A waiter announces itself and sleeps in one of two ways:
//   wait()         for a page word to change from the value the caller saw
//   wait_where()   for anything else, with a test made under the bucket's lock
// A waker first changes what is waited for, then calls wake().
//
// Invariants:
//  1. No lost wake-up: the announcement (the waiters bit, or the test of wait_where) and joining
//     the list happen under the bucket's lock; wake() takes it after the change.
//  2. A wait returns kReady for every wake of its key, and only then. It says nothing about the
//     page: the caller looks again. Keys may collide (page_key.h), so it may look for nothing.
//  3. The word is not touched after a waiter slept: its tree node may be gone by then.
#ifndef QUIRE_CACHE_PAGE_WAIT_H_
#define QUIRE_CACHE_PAGE_WAIT_H_

#include <array>
#include <cstddef>

#include "cache/page_key.h"
#include "cache/page_word.h"
#include "cache/wait_count.h"
#include "fault/planted.h"
#include "sync/mutex.h"
#include "sync/parker.h"
#include "sync/wait.h"

namespace quire::cache {

class PageWaitLot {
 public:
  PageWaitLot() = default;
  PageWaitLot(const PageWaitLot&) = delete;
  PageWaitLot& operator=(const PageWaitLot&) = delete;

  // Sleeps until the page is woken, unless `word` no longer has the value `seen`. `before_sleep`
  // runs once, when the word will not be touched any more: the caller gives up what kept it alive
  // there (its hazard slot). It runs in every case.
  template <class BeforeSleep>
  sync::WaitStatus wait(PageKey key, PageWord& word, PageValue seen, BeforeSleep&& before_sleep,
                        const sync::WaitLimit& limit) {
    Waiter waiter(key);
    Bucket& bucket = bucket_of(key);
    {
      sync::MutexLock lock(bucket.mutex);
      const bool changed =
          !word.announce_waiter(seen) && !fault::planted(fault::Planted::kWaiterLooksOnce);
      if (!changed) join(bucket, waiter);
      lock.unlock();
      before_sleep();
      if (changed) return sync::WaitStatus::kReady;
    }
    const WaitCount::Timer timer(waits_);
    return sleep(bucket, waiter, limit);
  }

  // Sleeps until `key` is woken, unless still_waiting() is false. It is called once, under a lock
  // of the lot: it must publish that somebody waits and look at what is waited for.
  template <class StillWaiting>
  sync::WaitStatus wait_where(PageKey key, StillWaiting&& still_waiting,
                              const sync::WaitLimit& limit) {
    Waiter waiter(key);
    Bucket& bucket = bucket_of(key);
    {
      sync::MutexLock lock(bucket.mutex);
      if (!still_waiting()) return sync::WaitStatus::kReady;
      join(bucket, waiter);
    }
    return sleep(bucket, waiter, limit);
  }

  // Waits for pages: the sleeps of wait(), and of those who read a page themselves.
  WaitCount& waits() noexcept { return waits_; }

  // Wakes everybody who waits for `key`.
  void wake(PageKey key) noexcept;

 private:
  struct Waiter {
    explicit Waiter(PageKey k) : key(k) {}
    PageKey key;
    Waiter* next = nullptr;
    Waiter* previous = nullptr;
    bool linked = false;
    sync::Parker parker;
  };
  struct alignas(64) Bucket {
    sync::Mutex mutex;
    Waiter* first GUARDED_BY(mutex) = nullptr;
  };
  static constexpr std::size_t kBuckets = 256;

  Bucket& bucket_of(PageKey key) noexcept {
    return buckets_[(key.bits * 0x9e3779b97f4a7c15u) >> 56];
  }
  static void join(Bucket& bucket, Waiter& waiter) REQUIRES(bucket.mutex);
  static void leave(Bucket& bucket, Waiter& waiter) REQUIRES(bucket.mutex);
  static sync::WaitStatus sleep(Bucket& bucket, Waiter& waiter, const sync::WaitLimit& limit);

  WaitCount waits_;
  std::array<Bucket, kBuckets> buckets_;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_PAGE_WAIT_H_
