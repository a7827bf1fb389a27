// Hazard slots under the simulation's schedules: whoever makes a page unreadable and waits never sees
// a reader inside afterwards, and no wake-up is lost.
#include <gtest/gtest.h>

#include <vector>

#include "cache/hazard.h"
#include "cache/test_pages.h"
#include "sync/random.h"
#include "sync/sim/sim_test.h"
#include "sync/test_handler.h"
#include "sync/thread.h"

namespace quire::cache {

struct HazardPeer {
  // As if somebody were about to wait for the slot, or had done so.
  static void count_in(std::uint32_t slot) { Hazards::slots_[slot].wanted.fetch_add(1); }
  static void count_out(std::uint32_t slot) { Hazards::slots_[slot].wanted.fetch_sub(1); }
  static std::uint32_t wanted(std::uint32_t slot) { return Hazards::slots_[slot].wanted.load(); }
};

namespace {

constexpr PageKey kBarredKey = PageKey::of(1, 3);

// What readers and the one who bars them share: a page that may be read or not, and who is inside.
struct BarredPage {
  sync::Atomic<bool> readable{true};
  int inside = 0;

  void read() {
    const Hazards::Guard guard(Hazards::slot_of_thread(), kBarredKey);
    if (!readable.load()) return;
    ++inside;
    sync::yield_thread();
    --inside;
  }
  void bar() {
    readable.store(false);
    EXPECT_EQ(Hazards::wait_clear(kBarredKey, {}), sync::WaitStatus::kReady);
    EXPECT_EQ(inside, 0);
    sync::yield_thread();
    EXPECT_EQ(inside, 0);
    readable.store(true);
  }
};

// A lost wake-up is a deadlock, which ends the run. Fails if a guard is published or cleared too late.
SIM_TEST(HazardsSim, NobodyIsInsideAfterTheWait) {
  Hazards::forget_earlier_runs();
  BarredPage page;
  std::vector<sync::Thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.push_back(start_thread("reader", [&] {
      for (int round = 0; round < 3; ++round) page.read();
    }));
  }
  for (int round = 0; round < 2; ++round) page.bar();
  for (sync::Thread& reader : readers) reader.join();
}

// Two who wait for one slot, for different keys in turn.
SIM_TEST(HazardsSim, WaitersForOneSlotAreAllWoken) {
  Hazards::forget_earlier_runs();
  std::vector<sync::Thread> waiters;
  for (const std::uint64_t index : {1u, 2u}) {
    waiters.push_back(start_thread("waiter", [index] {
      EXPECT_EQ(Hazards::wait_clear(PageKey::of(1, index), {}), sync::WaitStatus::kReady);
    }));
  }
  for (const std::uint64_t index : {2u, 1u, 2u, 1u}) {
    const Hazards::Guard guard(Hazards::slot_of_thread(), PageKey::of(1, index));
    // Long enough for a waiter to give up spinning.
    for (int i = 0; i < 250; ++i) sync::yield_thread();
  }
  for (sync::Thread& waiter : waiters) waiter.join();
}

// The end of a guard on the same page in another slot, where somebody else waits, wakes too; whoever waits for this
// one waits on. Fails if who was woken takes that for the end of its slot's guard.
SIM_TEST(HazardsSim, AnotherSlotsWakeIsNotTheEnd) {
  Hazards::forget_earlier_runs();
  const std::uint32_t slot = Hazards::slot_of_thread();
  bool inside = true;
  bool other_is_in = false;
  bool other_may_end = false;
  sync::Thread other = start_thread("other", [&] {
    const std::uint32_t others = Hazards::slot_of_thread();
    EXPECT_LT(slot, others) << "the waiter comes to ours first";
    HazardPeer::count_in(others);
    {
      const Hazards::Guard guard(others, kBarredKey);
      other_is_in = true;
      while (!other_may_end) sync::yield_thread();
    }
    HazardPeer::count_out(others);
  });
  sync::CountingWaker waker;
  Hazards::Waiter parked(waker);
  sync::Thread waiter;
  {
    const Hazards::Guard guard(slot, kBarredKey);
    while (!other_is_in) sync::yield_thread();
    waiter = start_thread("waiter", [&] {
      EXPECT_EQ(Hazards::wait_clear(kBarredKey, {}), sync::WaitStatus::kReady);
      EXPECT_FALSE(inside);
    });
    EXPECT_FALSE(Hazards::begin_clear(kBarredKey, parked));
    for (int i = 0; i < 250; ++i) sync::yield_thread();
    other_may_end = true;
    other.join();
    waker.expect_woken();
    EXPECT_FALSE(Hazards::resume(parked));
    for (int i = 0; i < 50; ++i) sync::yield_thread();
    inside = false;
  }
  waiter.join();
  EXPECT_EQ(waker.wakes, 2);
  EXPECT_TRUE(Hazards::resume(parked));
}

// Fails if cancel() says true of who was woken, or does not count it out of the slot: from then on each end of a guard
// there would wake.
SIM_TEST(HazardsSim, CancelMeetsTheEndOfAGuard) {
  Hazards::forget_earlier_runs();
  sync::CountingWaker waker;
  Hazards::Waiter waiter(waker);
  bool named = false;
  bool may_end = false;
  std::uint32_t slot = 0;
  sync::Thread reader = start_thread("reader", [&] {
    slot = Hazards::slot_of_thread();
    const Hazards::Guard guard(slot, kBarredKey);
    named = true;
    while (!may_end) sync::yield_thread();
  });
  while (!named) sync::yield_thread();
  EXPECT_FALSE(Hazards::begin_clear(kBarredKey, waiter));
  may_end = true;
  for (std::uint64_t i = sync::random_u64() % 4; i > 0; --i) sync::yield_thread();
  const bool taken_back = Hazards::cancel(waiter);
  EXPECT_EQ(waker.wakes, taken_back ? 0 : 1);
  reader.join();
  EXPECT_EQ(waker.wakes, taken_back ? 0 : 1);
  EXPECT_EQ(HazardPeer::wanted(slot), 0u);
}

}  // namespace
}  // namespace quire::cache
