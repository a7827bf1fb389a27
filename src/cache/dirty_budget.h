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
// Who looks at the clock? A thread that waits does so itself. For what is no thread (take_async) the
// flusher does: it is pressed by whoever waits, calls wake_stalled() before each file's turn, and sleeps no
// longer than that says. So a parked first store gets the error one turn later at most.
//
// Invariants:
//  1. taken() <= max_pages().
//  2. Waiters, threads or not, are served in the order they came. No lost wake-up: a waiter is in the
//     queue before it looks again, and give() looks at the queue after it gave.
#ifndef QUIRE_CACHE_DIRTY_BUDGET_H_
#define QUIRE_CACHE_DIRTY_BUDGET_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <system_error>

#include "cache/wait_count.h"
#include "sync/atomic.h"
#include "sync/clock.h"
#include "sync/mutex.h"
#include "sync/wait.h"
#include "sync/wait_line.h"
#include "sync/waker.h"

namespace quire::cache {

class DirtyBudget {
 public:
  class Waiter;

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
  // The same for what is no thread. Takes at once (true), or queues (false): woken, call resume(), and
  // again as long as it says false. Then it has ended: waiter.error() is the store's, or zero and the
  // credits are taken.
  bool take_async(std::uint64_t pages, Waiter& waiter) noexcept;
  bool resume(Waiter& waiter) noexcept;
  // Whoever queued waits no more; see waker.h. It has no credits. No resume() after it.
  bool cancel(Waiter& waiter) noexcept;
  // Wakes those who are no threads and have waited for so long that the store's error may be theirs. When
  // to ask next; kNever if for nobody. By the flusher.
  sync::Clock::time_point wake_stalled() noexcept { return line_.call_due(); }
  void give(std::uint64_t pages) noexcept;

  // Writeback tells how its requests end, and the flusher that they do not. An error stays until the
  // next success.
  void note_written(std::error_code error) noexcept;

  std::uint64_t taken() const noexcept { return taken_.load(); }
  std::uint64_t max_pages() const noexcept { return max_pages_; }
  // Of writers.
  const WaitCount& waits() const noexcept { return waits_; }

 private:
  // Whose clock says that a stall's worth of time went by.
  enum class ClockOf : std::uint8_t { kWaiter, kFlusher };
  enum class Found : std::uint8_t { kEnough, kTooFew, kError };

  void begin(Waiter& waiter, std::uint64_t pages, ClockOf clock) noexcept;
  Found look(Waiter& waiter, bool stalled) noexcept;
  bool end(Waiter& waiter) noexcept;
  void begin_stall(Waiter& waiter, std::uint64_t progress) noexcept;
  bool claim(std::uint64_t pages) noexcept;
  std::error_code store_error() const noexcept;

  const std::uint64_t max_pages_;
  const std::function<void()> on_full_;
  sync::Atomic<std::uint64_t> taken_{0};
  sync::Atomic<std::uint64_t> progress_{0};  // successful requests of writeback, ever
  WaitCount waits_;
  sync::WaitLine line_;

  mutable sync::Mutex mutex_;
  std::error_code error_ GUARDED_BY(mutex_);
};

// Somebody in the queue for credits. Owned by the caller, and alive from take_async() until resume() said
// true, or cancel() did, or its waker was woken. May be used again after that.
class DirtyBudget::Waiter {
 public:
  explicit Waiter(sync::Waker& waker) noexcept : place_(waker) {}

  // Once resume() said true.
  std::error_code error() const noexcept { return error_; }

 private:
  friend class DirtyBudget;

  sync::WaitLine::Place place_;
  std::uint64_t pages_ = 0;
  ClockOf clock_ = ClockOf::kWaiter;
  std::uint64_t progress_ = 0;            // when the stall began
  sync::Clock::time_point stalled_at_{};  // unless there is progress
  std::error_code error_;
  std::optional<WaitCount::Timer> timer_;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_DIRTY_BUDGET_H_
