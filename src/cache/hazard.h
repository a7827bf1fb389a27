// Hazard slots: how a hit reads a page without a lock, a shared counter or a store to the page.
// Each thread owns one slot. It publishes the key of the page it is about to look at, looks the
// page up, copies if the page is readable, and clears the slot. Whoever wants the page for itself
// first makes it unreadable (writing, sealed), then waits until no slot names it. Either the reader
// sees the page unreadable, or the other sees the reader's slot: both sides are sequentially
// consistent. Clearing is a plain store; who sleeps until it happens pays for the order
// (asymmetric_fence.h). (Maged Michael, "Hazard Pointers", IEEE TPDS 2004, is the root of the idea; here the
// slot also covers the look-up, so that tree nodes can be freed under it.)
//
// Measured beside a pin counted in the page word: docs/decisions/002-hazard-slots.md.
//
// Slots belong to the process, not to a cache, since a thread has one. A thread that comes when all
// limits::kHazardSlots are taken gets none and uses counted pins.
//
// Invariants:
//  1. A slot names at most one page. Guards do not nest: under one, nothing waits, and nothing is
//     called that makes another.
//  2. After wait_clear(key) has returned kReady, or begin_clear() or resume() true, every guard on `key`
//     that saw the page readable has ended, and the reads it made happened before.
//  3. Whoever waits for a slot is counted in its `wanted`, and has seen the key after that and a
//     heavy fence; so the owner, clearing the key, sees the count and wakes him. The owner only
//     reads the count: were it to reset it, it could wipe out that of a waiter for its next key.
//     It may so wake who waits for the same key in another's slot: whoever is woken looks again.
#ifndef QUIRE_CACHE_HAZARD_H_
#define QUIRE_CACHE_HAZARD_H_

#include <cstddef>
#include <cstdint>

#include "cache/page_key.h"
#include "cache/page_wait.h"
#include "quire/limits.h"
#include "sync/asymmetric_fence.h"
#include "sync/atomic.h"
#include "sync/thread_local.h"
#include "sync/wait.h"
#include "sync/waker.h"

namespace quire::cache {

class Hazards {
 public:
  class Waiter;

  struct alignas(64) Slot {
    sync::Atomic<std::uint64_t> key{0};
    sync::Atomic<std::uint32_t> wanted{0};  // how many may sleep until the key is cleared
    sync::Atomic<std::uint32_t> taken{0};
  };

  // The calling thread's slot number, or kNoSlot.
  static constexpr std::uint32_t kNoSlot = ~std::uint32_t{0};
  static std::uint32_t slot_of_thread() noexcept {
    const Lease* const lease = sync::ThreadLocal<Lease, Tag>::get_or_null();
    return lease != nullptr ? lease->index : kNoSlot;
  }

  // Publishes `key` in the thread's slot for a scope. REQUIRES: slot != kNoSlot.
  class Guard {
   public:
    Guard(std::uint32_t slot, PageKey key) noexcept : slot_(slots_[slot]), key_(key) {
      slot_.key.exchange(key.bits);
    }
    ~Guard() {
      if (!cleared_) clear();
    }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

    // Ends the guard early.
    void clear() noexcept {
      cleared_ = true;
      slot_.key.store(0, std::memory_order_release);
      sync::light_fence();
      if (slot_.wanted.load(std::memory_order_relaxed) != 0) [[unlikely]]
        wake(key_);
    }

   private:
    Slot& slot_;
    const PageKey key_;
    bool cleared_ = false;
  };

  // Some slot names `key`.
  static bool named(PageKey key) noexcept;
  // Some slot names a page of the file with index in [first, last]. May say yes for others.
  static bool named_in(std::uint64_t serial, std::uint64_t first, std::uint64_t last) noexcept;
  // Waits until the guards that named `key` when this was called have ended. REQUIRES: the page has
  // been made unreadable, so that new guards on it are short.
  static sync::WaitStatus wait_clear(PageKey key, const sync::WaitLimit& limit);
  // The same for what is no thread. True: they have ended. False: it waits; woken, call resume(), and again
  // as long as it says false. Spins as wait_clear() does: no longer than the copy of a page takes.
  static bool begin_clear(PageKey key, Waiter& waiter) noexcept;
  static bool resume(Waiter& waiter) noexcept;
  // Whoever was left waiting waits no more; see waker.h. No resume() after it.
  static bool cancel(Waiter& waiter) noexcept;

#ifdef QUIRE_SIM
  // Slots outlive a run; a run must not see which ones earlier runs took. REQUIRES: no slot is taken.
  static void forget_earlier_runs() noexcept {
    high_water_.store(0);
  }
#endif

 private:
  friend struct HazardPeer;  // for tests
  struct Tag {};
  struct Lease {
    Lease() noexcept;
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    std::uint32_t index = kNoSlot;
  };
  static void wake(PageKey key) noexcept;
  // Looks for about as long as the copy of a page takes.
  static bool spin_clear(const Slot& slot, PageKey key) noexcept;
  static bool look(Waiter& waiter) noexcept;
  static sync::WaitStatus wait_slot(Slot& slot, PageKey key, const sync::WaitLimit& limit);

  static Slot slots_[limits::kHazardSlots];
  // No slot at or past this one was ever taken: what a scan has to look at.
  static sync::Atomic<std::uint32_t> high_water_;
};

// Who waits for slots and is no thread. Owned by the caller, and alive from begin_clear() until resume() said
// true, or cancel() did, or its waker was woken. May be used again after that.
class Hazards::Waiter {
 public:
  explicit Waiter(sync::Waker& waker) noexcept : waker_(waker), place_(waker) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

 private:
  friend class Hazards;

  sync::Waker& waker_;
  PageWaitLot::Waiter place_;
  PageKey key_{};
  std::uint32_t at_ = 0;  // the slot it waits for, in whose `wanted` it is counted
  std::uint32_t end_ = 0;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_HAZARD_H_
