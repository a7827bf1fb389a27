// ClockPolicy: CLOCK, or second chance, one bit a frame (Corbato 1968), to measure against. Not
// part of the library.
#ifndef QUIRE_CACHE_CLOCK_POLICY_H_
#define QUIRE_CACHE_CLOCK_POLICY_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "cache/frame_queue.h"

namespace quire::cache {

// S3Fifo's interface. The hand is the queue's oldest end: what it passes goes to the newest.
class ClockPolicy {
 public:
  explicit ClockPolicy(std::uint32_t frames)
      : queues_(frames), used_(std::make_unique<bool[]>(frames)) {}

  void insert(std::uint32_t frame, std::uint64_t /*key_hash*/) {
    used_[frame] = false;
    queues_.push(0, frame);
  }
  void remove(std::uint32_t frame) { queues_.remove(frame); }
  void touch(std::uint32_t frame) { used_[frame] = true; }

  template <class F>
  std::size_t evict(std::size_t want, std::size_t scan_max, F&& try_evict) {
    std::size_t evicted = 0;
    const std::size_t looks = std::min(scan_max, 2 * size());
    for (std::size_t scanned = 0; evicted < want && scanned < looks; ++scanned) {
      const std::uint32_t frame = queues_.oldest(0);
      if (used_[frame]) {
        used_[frame] = false;
        queues_.move(0, frame);
        continue;
      }
      switch (try_evict(frame)) {
        case Eviction::kEvicted:
          queues_.remove(frame);
          ++evicted;
          break;
        case Eviction::kBusy:
          queues_.move(0, frame);
          break;
        case Eviction::kStop:
          return evicted;
      }
    }
    return evicted;
  }

  bool contains(std::uint32_t frame) const { return queues_.queue_of(frame) == 0; }
  std::size_t size() const { return queues_.size(0); }

 private:
  FrameQueues<1> queues_;
  const std::unique_ptr<bool[]> used_;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_CLOCK_POLICY_H_
