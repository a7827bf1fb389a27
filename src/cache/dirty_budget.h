// DirtyBudget: how many pages may be dirty at once. A writer takes a credit for each page before it
// dirties it; the page carries the credit until it is clean or dropped. So the hard limit is never
// exceeded, by any number of writers.
//
// Who calls: writers, before they hold anything that writeback needs (take); writeback and drops
// (give), from any thread.
//
// When nothing can be written because the store keeps failing, writers do not wait for ever: after
// limits::kDirtyStallMax without any page becoming clean they get the store's error. A store that does
// not answer at all counts as failing, with ETIMEDOUT, from limits::kStoreSilenceMax on.
//
// Invariants:
//  1. taken() <= max_pages().
//  2. Waiters are served in the order they came. No lost wake-up: a waiter is in the queue before
//     it looks again, and give() looks at the queue after it gave.
#ifndef QUIRE_CACHE_DIRTY_BUDGET_H_
#define QUIRE_CACHE_DIRTY_BUDGET_H_

#include <cstdint>
#include <functional>
#include <system_error>

#include "cache/wait_count.h"
#include "sync/atomic.h"
#include "sync/mutex.h"
#include "sync/parker.h"
#include "sync/wait.h"

namespace quire::cache {

class DirtyBudget {
 public:
  // `on_full` is called, under no lock, by a writer that is about to wait: it should start
  // writeback.
  DirtyBudget(std::uint64_t max_pages, std::function<void()> on_full)
      : max_pages_(max_pages), on_full_(std::move(on_full)) {}
  DirtyBudget(const DirtyBudget&) = delete;
  DirtyBudget& operator=(const DirtyBudget&) = delete;

  // Takes `pages` credits, waiting for writeback where needed. REQUIRES: pages <= max_pages().
  // Errors: Errc::kTimedOut, Errc::kInterrupted, or the store's when nothing can be written.
  std::error_code take(std::uint64_t pages, const sync::WaitLimit& limit);
  bool try_take(std::uint64_t pages) noexcept;
  void give(std::uint64_t pages) noexcept;

  // Writeback tells how its requests end, and the flusher that they do not. An error stays until the
  // next success.
  void note_written(std::error_code error) noexcept;

  std::uint64_t taken() const noexcept { return taken_.load(); }
  std::uint64_t max_pages() const noexcept { return max_pages_; }
  // Of writers.
  const WaitCount& waits() const noexcept { return waits_; }

 private:
  struct Waiter {
    sync::Parker parker;
    Waiter* next = nullptr;
  };
  void join(Waiter& waiter) noexcept;
  void leave(Waiter& waiter) noexcept;
  bool is_first(const Waiter& waiter) noexcept;
  void wake_first() noexcept;
  bool claim(std::uint64_t pages) noexcept;
  std::error_code store_error() const noexcept;
  sync::WaitLimit stall_limit(const sync::WaitLimit& limit) const noexcept;

  const std::uint64_t max_pages_;
  const std::function<void()> on_full_;
  sync::Atomic<std::uint64_t> taken_{0};
  sync::Atomic<std::uint64_t> progress_{0};  // successful requests of writeback, ever
  WaitCount waits_;
  sync::Atomic<std::uint32_t> waiting_{0};

  mutable sync::Mutex mutex_;
  Waiter* first_ GUARDED_BY(mutex_) = nullptr;
  Waiter* last_ GUARDED_BY(mutex_) = nullptr;
  std::error_code error_ GUARDED_BY(mutex_);
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_DIRTY_BUDGET_H_
