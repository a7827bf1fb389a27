// The range lock under the simulation's schedules: exclusion, no lost wake-up (one shows as a
// deadlock), first come first served, and give-ups that meet grants.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "sync/atomic.h"
#include "sync/parker.h"
#include "sync/random.h"
#include "sync/range_lock.h"
#include "sync/sim/sim_test.h"
#include "sync/test_threads.h"
#include "sync/thread.h"

namespace quire::sync {
namespace {

constexpr RangeMode kShared = RangeMode::kShared;
constexpr RangeMode kExclusive = RangeMode::kExclusive;

// Cells with their holders, as the holders themselves say. Plain numbers: fibers change over at
// yield points only.
class Cells {
 public:
  void visit(std::uint64_t first, std::uint64_t last, RangeMode mode) {
    add(first, last, mode, 1);
    yield_thread();
    check(first, last, mode);
    add(first, last, mode, -1);
  }

 private:
  struct Cell {
    int readers = 0;
    int writers = 0;
  };

  void add(std::uint64_t first, std::uint64_t last, RangeMode mode, int step) {
    for (std::uint64_t i = first; i <= last; ++i) {
      (mode == kShared ? cells_[i].readers : cells_[i].writers) += step;
    }
    if (step > 0) check(first, last, mode);
  }
  void check(std::uint64_t first, std::uint64_t last, RangeMode mode) {
    for (std::uint64_t i = first; i <= last; ++i) {
      EXPECT_EQ(cells_[i].writers, mode == kShared ? 0 : 1);
      EXPECT_TRUE(mode == kShared || cells_[i].readers == 0);
    }
  }

  std::array<Cell, 8> cells_{};
};

class RangeWaiter final : public Waker {
 public:
  void wake() noexcept override {
    yield_thread();  // others of the batch are granted and not told yet
    ++grants;
    told.unpark();
  }

  int grants = 0;
  Parker told;
};

void lock_visit_unlock(RangeLock& lock, Cells& cells, std::uint64_t first, std::uint64_t last,
                       RangeMode mode) {
  RangeLock::Hold hold;
  EXPECT_EQ(lock.lock(hold, first, last, mode), WaitStatus::kReady);
  cells.visit(first, last, mode);
  lock.unlock(hold);
}

void expect_free(const RangeLock& lock) {
  EXPECT_EQ(lock.holders_count(), 0u);
  EXPECT_EQ(lock.waiting_count(), 0u);
}

SIM_EXPLORE(RangeLockSim, TwoWritersOverlap, 3) {
  RangeLock lock;
  Cells cells;
  Thread other = start_thread("other", [&] { lock_visit_unlock(lock, cells, 0, 2, kExclusive); });
  lock_visit_unlock(lock, cells, 2, 4, kExclusive);
  other.join();
  expect_free(lock);
}

// A chain: the middle one conflicts with both ends, which do not conflict with each other.
SIM_EXPLORE(RangeLockSim, ChainOfThree, 2) {
  RangeLock lock;
  Cells cells;
  Thread left = start_thread("left", [&] { lock_visit_unlock(lock, cells, 0, 2, kShared); });
  Thread right = start_thread("right", [&] { lock_visit_unlock(lock, cells, 4, 6, kExclusive); });
  lock_visit_unlock(lock, cells, 2, 4, kExclusive);
  left.join();
  right.join();
  expect_free(lock);
}

SIM_EXPLORE(RangeLockSim, CancelMeetsGrant, 3) {
  RangeLock lock;
  RangeLock::Hold held;
  RangeLock::Hold hold;
  RangeWaiter waiter;
  ASSERT_TRUE(lock.try_lock(held, 0, 4, kExclusive));
  lock.hand_over();
  ASSERT_FALSE(lock.enqueue(hold, 2, 6, kExclusive, waiter));
  Thread unlocker = start_thread("unlocker", [&] { lock.unlock(held); });
  if (lock.cancel(hold)) {
    unlocker.join();
    EXPECT_EQ(waiter.grants, 0);
  } else {
    waiter.told.park();
    EXPECT_EQ(waiter.grants, 1);
    lock.unlock(hold);
    unlocker.join();
  }
  expect_free(lock);
}

// The middle of a chain times out while its end queues behind it and its head unlocks.
SIM_EXPLORE(RangeLockSim, TimeOutMeetsGrantAndNewcomer, 2) {
  sim::allow_early_deadlines();
  RangeLock lock;
  Cells cells;
  RangeLock::Hold held;
  ASSERT_TRUE(lock.try_lock(held, 0, 2, kExclusive));
  lock.hand_over();
  Thread middle = start_thread("middle", [&] {
    RangeLock::Hold hold;
    if (lock.lock(hold, 2, 4, kExclusive, within_a_second()) != WaitStatus::kReady) return;
    cells.visit(2, 4, kExclusive);
    lock.unlock(hold);
  });
  Thread end = start_thread("end", [&] { lock_visit_unlock(lock, cells, 4, 6, kShared); });
  lock.unlock(held);
  end.join();
  middle.join();
  expect_free(lock);
}

// A time-out between the two steps of a grant: the thread has its range already, and stays to be
// told.
SIM_EXPLORE(RangeLockSim, TimeOutMeetsTheTellingOfItsBatch, 3) {
  sim::allow_early_deadlines();
  RangeLock lock;
  Cells cells;
  RangeLock::Hold held;
  RangeLock::Hold hold;
  RangeWaiter first;  // told before the thread is
  ASSERT_TRUE(lock.try_lock(held, 0, 7, kExclusive));
  lock.hand_over();
  ASSERT_FALSE(lock.enqueue(hold, 0, 3, kExclusive, first));
  Thread second = start_thread("second", [&] {
    RangeLock::Hold mine;
    if (lock.lock(mine, 4, 7, kExclusive, within_a_second()) != WaitStatus::kReady) return;
    cells.visit(4, 7, kExclusive);
    lock.unlock(mine);
  });
  lock.unlock(held);
  lock.unlock(hold);
  second.join();
  EXPECT_EQ(first.grants, 1);
  expect_free(lock);
}

// Whoever waits is not overtaken: nobody it conflicts with who came later is in before it.
SIM_TEST(RangeLockSim, NobodyOvertakesAWaiter) {
  RangeLock lock;
  RangeLock::Hold whole;
  RangeWaiter waiter;
  bool queued = false;
  std::vector<Thread> writers;
  for (std::uint64_t number = 0; number < 3; ++number) {
    writers.push_back(start_thread("writer", [&, number] {
      for (int round = 0; round < 5; ++round) {
        const bool came_later = queued;
        RangeLock::Hold hold;
        if (random_u64() % 2 == 0) {
          if (!lock.try_lock(hold, number, number, kExclusive)) continue;
        } else {
          EXPECT_EQ(lock.lock(hold, number, number, kExclusive), WaitStatus::kReady);
        }
        EXPECT_FALSE(came_later && waiter.grants == 0);
        yield_thread();
        lock.unlock(hold);
      }
    }));
  }
  if (!lock.enqueue(whole, 0, UINT64_MAX, kExclusive, waiter)) {
    queued = true;
    waiter.told.park();
  }
  waiter.grants = 1;
  yield_thread();
  lock.unlock(whole);
  for (Thread& writer : writers) writer.join();
  expect_free(lock);
}

// Everything at once: every way in, and give-ups of all kinds.
SIM_TEST(RangeLockSim, AllWaysInAndOut) {
  sim::allow_early_deadlines();
  RangeLock lock;
  Cells cells;
  std::vector<Thread> threads;
  for (int number = 0; number < 4; ++number) {
    threads.push_back(start_thread("thread", [&] {
      for (int round = 0; round < 4; ++round) {
        std::uint64_t first = random_u64() % 8;
        std::uint64_t last = random_u64() % 8;
        if (first > last) std::swap(first, last);
        const RangeMode mode = random_u64() % 2 == 0 ? kShared : kExclusive;
        RangeLock::Hold hold;
        RangeWaiter waiter;
        switch (random_u64() % 5) {
          case 0:
            if (!lock.try_lock(hold, first, last, mode)) continue;
            break;
          case 1:
            if (lock.lock(hold, first, last, mode, within_a_second()) != WaitStatus::kReady) {
              continue;
            }
            break;
          case 2:
            if (!lock.enqueue(hold, first, last, mode, waiter)) waiter.told.park();
            break;
          case 3:
            if (lock.enqueue(hold, first, last, mode, waiter)) break;
            yield_thread();
            if (lock.cancel(hold)) {
              EXPECT_EQ(waiter.grants, 0);
              continue;
            }
            waiter.told.park();
            break;
          default:
            EXPECT_EQ(lock.lock(hold, first, last, mode), WaitStatus::kReady);
            break;
        }
        cells.visit(first, last, mode);
        lock.unlock(hold);
      }
    }));
  }
  for (Thread& thread : threads) thread.join();
  expect_free(lock);
}

}  // namespace
}  // namespace quire::sync
