#include "cache/hazard.h"

#include <algorithm>
#include <chrono>

#include "sync/clock.h"

namespace quire::cache {
namespace {

// A guard lasts as long as a copy of one page; most end within this many looks.
constexpr int kSpins = 200;
// How long to sleep at most where wake-ups cannot be relied on.
constexpr std::chrono::milliseconds kNap{1};

PageWaitLot& lot() {
  static PageWaitLot* const instance = new PageWaitLot;  // outlives every thread
  return *instance;
}

}  // namespace

Hazards::Slot Hazards::slots_[limits::kHazardSlots];
sync::Atomic<std::uint32_t> Hazards::high_water_{0};

Hazards::Lease::Lease() noexcept {
  for (std::uint32_t i = 0; i < limits::kHazardSlots; ++i) {
    std::uint32_t free = 0;
    if (slots_[i].taken.load() == 0 && slots_[i].taken.compare_exchange_strong(free, 1)) {
      std::uint32_t high = high_water_.load();
      while (high < i + 1 && !high_water_.compare_exchange_weak(high, i + 1)) {
      }
      index = i;
      return;
    }
  }
}

Hazards::Lease::~Lease() {
  if (index != kNoSlot) slots_[index].taken.store(0);
}

void Hazards::wake(PageKey key) noexcept {
  lot().wake(key);
}

bool Hazards::named(PageKey key) noexcept {
  const std::uint32_t end = high_water_.load();
  for (std::uint32_t i = 0; i < end; ++i) {
    if (slots_[i].key.load() == key.bits) return true;
  }
  return false;
}

bool Hazards::named_in(std::uint64_t serial, std::uint64_t first, std::uint64_t last) noexcept {
  const bool wraps = last - first >= PageKey::kIndexMask;
  const PageKey low = PageKey::of(serial, first);
  const std::uint64_t span = last - first;
  const std::uint32_t end = high_water_.load();
  for (std::uint32_t i = 0; i < end; ++i) {
    const PageKey key{slots_[i].key.load()};
    if (key.bits == 0 || key.serial_part() != low.serial_part()) continue;
    if (wraps || ((key.index_part() - low.index_part()) & PageKey::kIndexMask) <= span) return true;
  }
  return false;
}

sync::WaitStatus Hazards::wait_clear(PageKey key, const sync::WaitLimit& limit) {
  const std::uint32_t end = high_water_.load();
  for (std::uint32_t i = 0; i < end; ++i) {
    if (slots_[i].key.load() != key.bits) continue;
    const sync::WaitStatus status = wait_slot(slots_[i], key, limit);
    if (status != sync::WaitStatus::kReady) return status;
  }
  return sync::WaitStatus::kReady;
}

bool Hazards::spin_clear(const Slot& slot, PageKey key) noexcept {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (slot.key.load() != key.bits) return true;
    sync::spin_pause();
  }
  return false;
}

sync::WaitStatus Hazards::wait_slot(Slot& slot, PageKey key, const sync::WaitLimit& limit) {
  if (spin_clear(slot, key)) return sync::WaitStatus::kReady;
  // The owner is off the processor or its copy takes a page fault: sleep.
  slot.wanted.fetch_add(1);
  sync::WaitStatus status = sync::WaitStatus::kReady;
  bool waits = true;
  while (waits) {
    sync::WaitLimit nap = limit;
    if (!sync::heavy_fence_works()) {
      // A wake-up may be lost: look again from time to time.
      nap.deadline = std::min(limit.deadline, sync::deadline_after(kNap));
    }
    waits = false;
    const auto still_named = [&] {
      sync::heavy_fence();
      waits = slot.key.load() == key.bits;
      return waits;
    };
    status = lot().wait_where(key, still_named, nap);
    const bool over_nap = status == sync::WaitStatus::kTimedOut && nap.deadline != limit.deadline;
    if (status != sync::WaitStatus::kReady && !over_nap) break;
  }
  slot.wanted.fetch_sub(1);
  return status;
}

bool Hazards::begin_clear(PageKey key, Waiter& waiter) noexcept {
  waiter.key_ = key;
  waiter.at_ = 0;
  waiter.end_ = high_water_.load();
  return look(waiter);
}

bool Hazards::resume(Waiter& waiter) noexcept {
  slots_[waiter.at_].wanted.fetch_sub(1);
  return look(waiter);
}

bool Hazards::cancel(Waiter& waiter) noexcept {
  slots_[waiter.at_].wanted.fetch_sub(1);
  return lot().cancel(waiter.place_);
}

bool Hazards::look(Waiter& waiter) noexcept {
  for (; waiter.at_ < waiter.end_; ++waiter.at_) {
    Slot& slot = slots_[waiter.at_];
    if (slot.key.load() != waiter.key_.bits || spin_clear(slot, waiter.key_)) continue;
    slot.wanted.fetch_add(1);
    if (!sync::heavy_fence_works()) {
      // A wake-up may be lost: look again as soon as the others have had their turn.
      waiter.waker_.wake();
      return false;
    }
    const auto still_named = [&] {
      sync::heavy_fence();
      return slot.key.load() == waiter.key_.bits;
    };
    if (lot().enqueue_where(waiter.place_, waiter.key_, still_named)) return false;
    slot.wanted.fetch_sub(1);
  }
  return true;
}

}  // namespace quire::cache
