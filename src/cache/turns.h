// Turns: so many at a time of those who hold frames of the cache while they wait for more. Without a bound
// they could hold all of it together, and wait for ever.
//
// From anywhere, holding nothing. Whoever finds no turn free queues for one of the four, drawn in rotation, and is
// served in the order of that queue: should another come free first, it goes to whoever asks next.
#ifndef QUIRE_CACHE_TURNS_H_
#define QUIRE_CACHE_TURNS_H_

#include <cstdint>

#include "sync/atomic.h"
#include "sync/range_lock.h"
#include "sync/wait.h"

namespace quire::cache {

class Turns {
 public:
  static constexpr std::uint64_t kCount = 4;

  class Turn {
   public:
    explicit Turn(Turns& turns) noexcept : turns_(turns) {}
    ~Turn() {
      if (held_) turns_.lock_.unlock(hold_);
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    // REQUIRES: not held. What is held is no lock: whoever holds it may wait for anything.
    sync::WaitStatus take(const sync::WaitLimit& limit) {
      const std::uint64_t first = turns_.next_.fetch_add(1);
      for (std::uint64_t i = 0; i < kCount && !held_; ++i) {
        const std::uint64_t slot = (first + i) % kCount;
        held_ = turns_.lock_.try_lock(hold_, slot, slot, sync::RangeMode::kExclusive);
      }
      sync::WaitStatus status = sync::WaitStatus::kReady;
      if (!held_) {
        const std::uint64_t slot = first % kCount;
        status = turns_.lock_.lock(hold_, slot, slot, sync::RangeMode::kExclusive, limit);
        held_ = status == sync::WaitStatus::kReady;
      }
      if (held_) turns_.lock_.hand_over();
      return status;
    }

   private:
    Turns& turns_;
    sync::RangeLock::Hold hold_;
    bool held_ = false;
  };

  std::size_t held_count() const noexcept { return lock_.holders_count(); }
  std::size_t waiting_count() const noexcept { return lock_.waiting_count(); }

 private:
  sync::RangeLock lock_;  // the turns are the numbers below kCount
  sync::Atomic<std::uint64_t> next_{0};
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_TURNS_H_
