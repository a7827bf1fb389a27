// Hazard slots under the simulation's schedules: whoever makes a page unreadable and waits never sees
// a reader inside afterwards, and no wake-up is lost.
#include <gtest/gtest.h>

#include <vector>

#include "cache/hazard.h"
#include "cache/test_pages.h"
#include "sync/sim/sim_test.h"
#include "sync/thread.h"

namespace quire::cache {
namespace {

constexpr PageKey kKey = PageKey::of(1, 3);

// What readers and the one who bars them share: a page that may be read or not, and who is inside.
struct Page {
  sync::Atomic<bool> readable{true};
  int inside = 0;

  void read() {
    const Hazards::Guard guard(Hazards::slot_of_thread(), kKey);
    if (!readable.load()) return;
    ++inside;
    sync::yield_thread();
    --inside;
  }
  void bar() {
    readable.store(false);
    EXPECT_EQ(Hazards::wait_clear(kKey, {}), sync::WaitStatus::kReady);
    EXPECT_EQ(inside, 0);
    sync::yield_thread();
    EXPECT_EQ(inside, 0);
    readable.store(true);
  }
};

// A lost wake-up is a deadlock, which ends the run. Fails if a guard is published or cleared too late.
SIM_TEST(HazardsSim, NobodyIsInsideAfterTheWait) {
  Hazards::forget_earlier_runs();
  Page page;
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

}  // namespace
}  // namespace quire::cache
