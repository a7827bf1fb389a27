// WaitCount: how often callers waited for one kind of thing, and for how long. Counted where a caller
// is about to sleep anyway, so that whoever does not wait pays nothing.
//
// Thread-safety: all calls from any thread. The three numbers need not agree with each other: a wait
// counts from its beginning, its time when it has ended.
#ifndef QUIRE_CACHE_WAIT_COUNT_H_
#define QUIRE_CACHE_WAIT_COUNT_H_

#include <chrono>
#include <cstdint>

#include "sync/atomic.h"
#include "sync/clock.h"

namespace quire::cache {

class WaitCount {
 public:
  std::uint64_t count() const noexcept { return count_.load(); }
  std::uint64_t total_ns() const noexcept { return total_ns_.load(); }
  std::uint64_t worst_ns() const noexcept { return worst_ns_.load(); }

  // One wait, for as long as it exists.
  class Timer {
   public:
    explicit Timer(WaitCount& waits) noexcept : waits_(waits), begun_(sync::Clock::now()) {
      waits_.count_.fetch_add(1);
    }
    ~Timer() { waits_.add(sync::Clock::now() - begun_); }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

   private:
    WaitCount& waits_;
    const sync::Clock::time_point begun_;
  };

 private:
  void add(sync::Clock::duration waited) noexcept {
    const auto ns = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(waited).count());
    total_ns_.fetch_add(ns);
    std::uint64_t worst = worst_ns_.load();
    while (ns > worst && !worst_ns_.compare_exchange_weak(worst, ns)) {
    }
  }

  sync::Atomic<std::uint64_t> count_{0};
  sync::Atomic<std::uint64_t> total_ns_{0};
  sync::Atomic<std::uint64_t> worst_ns_{0};
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_WAIT_COUNT_H_
