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

sync::WaitStatus Hazards::wait_slot(Slot& slot, PageKey key, const sync::WaitLimit& limit) {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (slot.key.load() != key.bits) return sync::WaitStatus::kReady;
    sync::spin_pause();
  }
  // The owner is off the processor or its copy takes a page fault: sleep. One wake is enough even if
  // the owner names the page again: that guard began after the page was made unreadable and copies
  // nothing.
  slot.wanted.fetch_add(1);
  sync::WaitStatus status = sync::WaitStatus::kReady;
  for (;;) {
    sync::WaitLimit nap = limit;
    if (!sync::heavy_fence_works()) {
      // A wake-up may be lost: look again from time to time.
      nap.deadline = std::min(limit.deadline, sync::deadline_after(kNap));
    }
    const auto still_named = [&] {
      sync::heavy_fence();
      return slot.key.load() == key.bits;
    };
    status = lot().wait_where(key, still_named, nap);
    if (status != sync::WaitStatus::kTimedOut || nap.deadline == limit.deadline) break;
  }
  slot.wanted.fetch_sub(1);
  return status;
}

}  // namespace quire::cache
