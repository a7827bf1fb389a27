// Counters of one cache. Those of the hit path are one to a thread's hazard slot, so that a hit writes
// to no memory that another thread writes to; the rest are shared and counted where IO happens anyway.
#ifndef QUIRE_CACHE_COUNTERS_H_
#define QUIRE_CACHE_COUNTERS_H_

#include <cstdint>
#include <memory>

#include "cache/wait_count.h"
#include "quire/limits.h"
#include "sync/atomic.h"

namespace quire::cache {

class Counters {
 public:
  Counters() : hits_(new Padded[limits::kHazardSlots]) {}

  // REQUIRES: `slot` is the calling thread's hazard slot, so that nobody else counts there.
  void count_hits(std::uint32_t slot, std::uint64_t pages) noexcept {
    auto& counter = hits_[slot].value;
    // A plain load and store: the only writer is this thread.
    counter.store(counter.load(std::memory_order_relaxed) + pages, std::memory_order_relaxed);
  }
  std::uint64_t hits() const noexcept {
    std::uint64_t sum = slow_hits.load();
    for (std::size_t i = 0; i < limits::kHazardSlots; ++i) sum += hits_[i].value.load();
    return sum;
  }
  static constexpr std::size_t bytes() { return limits::kHazardSlots * sizeof(Padded); }

  sync::Atomic<std::uint64_t> slow_hits{0};  // of threads without a slot
  sync::Atomic<std::uint64_t> misses{0};
  sync::Atomic<std::uint64_t> readahead_pages{0};
  sync::Atomic<std::uint64_t> written_pages{0};
  sync::Atomic<std::uint64_t> write_requests{0};
  sync::Atomic<std::uint64_t> read_requests{0};
  sync::Atomic<std::uint64_t> writeback_errors{0};
  sync::Atomic<std::uint64_t> cached_pages{0};
  sync::Atomic<std::uint64_t> writeback_pages{0};  // now: taken for writing, and not written yet
  sync::Atomic<std::uint64_t> direct_read_bytes{0};
  sync::Atomic<std::uint64_t> direct_write_bytes{0};
  sync::Atomic<std::uint64_t> direct_fallbacks{0};  // direct writes that went through the cache
  sync::Atomic<std::uint64_t> reserved_pages{
      0};                                       // now: with space, and never written (space_book.h)
  sync::Atomic<std::uint64_t> space_chunks{0};  // now: of which it is known what has space
  WaitCount range_waits;                        // for write ranges

 private:
  struct alignas(64) Padded {
    sync::Atomic<std::uint64_t> value{0};
  };
  std::unique_ptr<Padded[]> hits_;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_COUNTERS_H_
