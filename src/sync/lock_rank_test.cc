#include "sync/lock_rank.h"

#include <array>

#include "gtest/gtest.h"
#include "sync/gate.h"
#include "sync/range_lock.h"
#include "sync/thread.h"

namespace quire::sync {
namespace {

#ifdef QUIRE_CHECKS

using lock_rank::acquired;
using lock_rank::handed_over;
using lock_rank::held_count;
using lock_rank::released;

constexpr std::array<Rank, 10> kOrder = {
    Rank::kNames, Rank::kKernelPages, Rank::kFileStructure,  Rank::kWriteRange, Rank::kGate,
    Rank::kTree,  Rank::kPage,        Rank::kStoreInternals, Rank::kFileViews,  Rank::kView};

TEST(LockRankTest, TheWholeOrderMayBeHeld) {
  int what = 0;
  for (const Rank rank : kOrder) acquired(rank, &what);
  EXPECT_EQ(held_count(), kOrder.size());
  // Given back in any order.
  for (const Rank rank : kOrder) released(rank, &what);
  EXPECT_EQ(held_count(), 0u);
}

TEST(LockRankDeathTest, EveryStepBackAborts) {
  int what = 0;
  for (std::size_t outer = 0; outer < kOrder.size(); ++outer) {
    for (std::size_t inner = outer + 1; inner < kOrder.size(); ++inner) {
      EXPECT_DEATH(
          {
            acquired(kOrder[inner], &what);
            acquired(kOrder[outer], &what);
          },
          "lock order: taking .* while holding");
    }
  }
}

// What a handler takes is not what the thread that it interrupted takes. Fails if acquired() looks, or released()
// leaves the interrupted thread without what it holds.
TEST(LockRankTest, AHandlerHasNothingToDoWithIt) {
  int what = 0;
  acquired(Rank::kView, &what);
  {
    const lock_rank::Interrupting interrupting;
    acquired(Rank::kGate, &what);
    lock_rank::assert_none_held();
    released(Rank::kView, &what);
  }
  EXPECT_EQ(held_count(), 1u);
  released(Rank::kView, &what);
  EXPECT_EQ(held_count(), 0u);
}

TEST(LockRankDeathTest, SecondOfARankAbortsExceptPagesAndTheStore) {
  int one = 0;
  int two = 0;
  for (const Rank rank : {Rank::kNames, Rank::kKernelPages, Rank::kFileStructure, Rank::kWriteRange,
                          Rank::kGate, Rank::kTree, Rank::kFileViews, Rank::kView}) {
    EXPECT_DEATH(
        {
          acquired(rank, &one);
          acquired(rank, &two);
        },
        "lock order: taking");
  }
  for (const Rank rank : {Rank::kPage, Rank::kStoreInternals}) {
    acquired(rank, &one);
    acquired(rank, &two);
    released(rank, &one);
    released(rank, &two);
  }
}

TEST(LockRankDeathTest, NoWaitForMemoryUnderAGateOrBeyond) {
  int what = 0;
  lock_rank::assert_may_wait_for_memory();
  for (const Rank rank : kOrder) {
    if (rank < Rank::kGate) {
      acquired(rank, &what);
      lock_rank::assert_may_wait_for_memory();
      released(rank, &what);
    } else {
      EXPECT_DEATH(
          {
            acquired(rank, &what);
            lock_rank::assert_may_wait_for_memory();
          },
          "waiting for memory");
    }
  }
}

TEST(LockRankDeathTest, NothingIsHeldWhereTheLibraryIsLeft) {
  int what = 0;
  lock_rank::assert_none_held();
  EXPECT_DEATH(
      {
        acquired(Rank::kFileStructure, &what);
        lock_rank::assert_none_held();
      },
      "leaving the library while holding file structure");
}

TEST(LockRankTest, HandedOverHoldsBindNoThread) {
  int what = 0;
  acquired(Rank::kPage, &what);
  handed_over(Rank::kPage, &what);
  acquired(Rank::kFileStructure, &what);
  released(Rank::kPage, &what);  // the operation's end, here or in any thread
  EXPECT_EQ(held_count(), 1u);
  released(Rank::kFileStructure, &what);
}

TEST(LockRankTest, EachThreadHasItsOwn) {
  int what = 0;
  acquired(Rank::kStoreInternals, &what);
  Thread other = std::move(Thread::start("rank_test", [&] {
                   EXPECT_EQ(held_count(), 0u);
                   acquired(Rank::kFileStructure, &what);
                   released(Rank::kFileStructure, &what);
                 })).value();
  other.join();
  released(Rank::kStoreInternals, &what);
}

// Gate and range lock report to the checker by themselves.
TEST(LockRankTest, LocksReportTheirHolds) {
  Gate gate;
  RangeLock range;
  RangeLock::Hold hold;
  ASSERT_EQ(range.lock(hold, 0, 1, RangeMode::kExclusive), WaitStatus::kReady);
  ASSERT_EQ(gate.enter(GateSide::kAdd), WaitStatus::kReady);
  EXPECT_EQ(held_count(), 2u);
  gate.leave(GateSide::kAdd);
  range.unlock(hold);
  EXPECT_EQ(held_count(), 0u);
  ASSERT_TRUE(range.try_lock(hold, 0, 1, RangeMode::kShared));
  ASSERT_TRUE(gate.try_enter(GateSide::kBlock));
  EXPECT_EQ(held_count(), 2u);
  gate.leave(GateSide::kBlock);
  range.unlock(hold);
  EXPECT_EQ(held_count(), 0u);
}

TEST(LockRankTest, GivingUpIsNotHolding) {
  Gate gate;
  RangeLock range;
  ASSERT_TRUE(gate.try_enter(GateSide::kBlock));
  gate.hand_over();
  RangeLock::Hold held;
  RangeLock::Hold hold;
  ASSERT_TRUE(range.try_lock(held, 0, 1, RangeMode::kExclusive));
  range.hand_over();
  const WaitLimit passed = {.deadline = Clock::time_point::min(), .stop = {}};
  EXPECT_EQ(gate.enter(GateSide::kAdd, passed), WaitStatus::kTimedOut);
  EXPECT_FALSE(gate.try_enter(GateSide::kAdd));
  EXPECT_EQ(range.lock(hold, 0, 1, RangeMode::kExclusive, passed), WaitStatus::kTimedOut);
  EXPECT_FALSE(range.try_lock(hold, 0, 1, RangeMode::kExclusive));
  EXPECT_EQ(held_count(), 0u);
  gate.leave(GateSide::kBlock);
  range.unlock(held);
}

TEST(LockRankDeathTest, GateBeforeTheWriteRangeAborts) {
  EXPECT_DEATH(
      {
        Gate gate;
        RangeLock range;
        RangeLock::Hold hold;
        static_cast<void>(gate.enter(GateSide::kAdd));
        static_cast<void>(range.lock(hold, 0, 1, RangeMode::kExclusive));
      },
      "taking write range .* while holding gate");
}

#else

TEST(LockRankTest, CostsNothingWithoutChecks) {
  int what = 0;
  lock_rank::acquired(Rank::kStoreInternals, &what);
  lock_rank::acquired(Rank::kFileStructure, &what);
  lock_rank::assert_may_wait_for_memory();
  lock_rank::assert_none_held();
  EXPECT_EQ(lock_rank::held_count(), 0u);
}

#endif

}  // namespace
}  // namespace quire::sync
