// The range gate, step by step: who enters, who waits, and who is granted by which step. One test thread
// plays all adders and blockers. Each test names the change to the code that makes it fail.
#include "sync/range_gate.h"

#include <gtest/gtest.h>

#include <list>
#include <vector>

#include "sync/thread.h"

namespace quire::sync {
namespace {

constexpr std::uint64_t kEnd = ~std::uint64_t{0};

class Waiter final : public Waker {
 public:
  void wake() noexcept override { ++grants; }
  int grants = 0;
};

struct Adder {
  RangeGate::Adder request;
  Waiter waiter;
};
struct Blocker {
  RangeGate::Blocker request;
  Waiter waiter;
};

class RangeGateTest : public testing::Test {
 protected:
  // In at once, or in the queue.
  bool add(Adder& a, std::uint64_t first, std::uint64_t last) {
    return gate_.enqueue(a.request, first, last, a.waiter);
  }
  bool block(Blocker& b, std::uint64_t first, std::uint64_t last) {
    return gate_.enqueue(b.request, first, last, b.waiter);
  }
  void leave(Adder& a) { gate_.leave(a.request.phase()); }
  bool can_add(std::uint64_t first, std::uint64_t last) {
    RangeGate::Phase phase = 0;
    if (!gate_.try_add(first, last, &phase)) return false;
    gate_.leave(phase);
    return true;
  }

  RangeGate gate_;
};

// Fails if barred() or enqueue(Adder) does not compare the ranges.
TEST_F(RangeGateTest, ABlockerBarsItsRangeAndNoOther) {
  Blocker b;
  ASSERT_TRUE(block(b, 10, 20));
  EXPECT_TRUE(can_add(0, 9));
  EXPECT_TRUE(can_add(21, kEnd));
  for (const auto& [first, last] : {std::pair{0, 10}, {20, 30}, {15, 15}, {0, 100}}) {
    EXPECT_FALSE(can_add(static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(last)));
  }
  Adder beside;
  EXPECT_TRUE(add(beside, 0, 9));
  leave(beside);
  gate_.unblock(b.request);
  EXPECT_TRUE(can_add(0, kEnd));
}

// Wherever in the file, and in whichever phase. Fails if leave() looks at its own phase only.
TEST_F(RangeGateTest, WhoLeavesHearsWhetherOthersWereIn) {
  Adder one, two;
  ASSERT_TRUE(add(one, 1, 1));
  EXPECT_FALSE(gate_.is_listed());
  Blocker b;
  EXPECT_FALSE(block(b, 5, 5));  // flips the phases
  EXPECT_TRUE(gate_.is_listed());
  ASSERT_TRUE(add(two, 9, 9));
  ASSERT_NE(one.request.phase(), two.request.phase());
  EXPECT_TRUE(gate_.leave(one.request.phase()));
  EXPECT_FALSE(gate_.leave(two.request.phase()));
  gate_.unblock(b.request);
  EXPECT_FALSE(gate_.is_listed());
}

TEST_F(RangeGateTest, EachSideSharesWithItself) {
  Adder one;
  Adder two;
  EXPECT_TRUE(add(one, 0, 10));
  EXPECT_TRUE(add(two, 0, 10));
  leave(one);
  leave(two);
  Blocker b;
  Blocker c;
  EXPECT_TRUE(block(b, 0, 10));
  EXPECT_TRUE(block(c, 5, kEnd));
  EXPECT_EQ(gate_.holders_count(GateSide::kBlock), 2u);
  gate_.unblock(b.request);
  EXPECT_FALSE(can_add(7, 7));
  gate_.unblock(c.request);
}

// A blocker waits for adders wherever they are: it does not know where. It bars its range meanwhile,
// and no other. Fails if drain() grants without looking at the counts.
TEST_F(RangeGateTest, ABlockerWaitsForTheAddersItMet) {
  Adder far;
  ASSERT_TRUE(add(far, 1000, 1000));
  Blocker b;
  EXPECT_FALSE(block(b, 10, 20));
  EXPECT_FALSE(can_add(15, 15));
  // Those who come later are in the other phase: they do not delay it.
  Adder later;
  ASSERT_TRUE(add(later, 30, 30));
  EXPECT_NE(later.request.phase(), far.request.phase());
  leave(far);
  EXPECT_EQ(b.waiter.grants, 1);
  leave(later);
  gate_.unblock(b.request);
}

// One who comes while the other phase still drains waits for both, and is not forgotten. Fails if
// drain() does not go on after a flip, or grants who has not seen its flip.
TEST_F(RangeGateTest, ASecondBlockerWaitsForBothPhases) {
  Adder first;
  ASSERT_TRUE(add(first, 100, 100));
  Blocker b;
  ASSERT_FALSE(block(b, 10, 20));
  Adder second;
  ASSERT_TRUE(add(second, 101, 101));
  Blocker c;
  ASSERT_FALSE(block(c, 30, 40));
  leave(first);
  EXPECT_EQ(b.waiter.grants, 1);
  EXPECT_EQ(c.waiter.grants, 0);
  leave(second);
  EXPECT_EQ(c.waiter.grants, 1);
  gate_.unblock(b.request);
  gate_.unblock(c.request);
}

// The adders of a phase that is not the oldest leave first. Fails if all_adders_left() looks at one
// phase only.
TEST_F(RangeGateTest, TheNewerPhaseEmptiesFirst) {
  Adder first;
  ASSERT_TRUE(add(first, 100, 100));
  Blocker b;
  ASSERT_FALSE(block(b, 10, 20));
  Adder second;
  ASSERT_TRUE(add(second, 101, 101));
  Blocker c;
  ASSERT_FALSE(block(c, 30, 40));
  leave(second);
  EXPECT_EQ(b.waiter.grants + c.waiter.grants, 0);
  leave(first);
  EXPECT_EQ(b.waiter.grants, 1);
  EXPECT_EQ(c.waiter.grants, 1);
  gate_.unblock(b.request);
  gate_.unblock(c.request);
}

// block-starves-add: once an adder waits, blockers who overlap it queue behind it. Fails if a blocker
// does not count the adders ahead of it.
TEST_F(RangeGateTest, ABlockerGoesBehindAnAdderWhoWaits) {
  Blocker in;
  ASSERT_TRUE(block(in, 0, 10));
  Adder adder;
  ASSERT_FALSE(add(adder, 5, 5));
  Blocker overlaps;
  EXPECT_FALSE(block(overlaps, 5, 20));
  Blocker beside;
  EXPECT_TRUE(block(beside, 6, 20));
  gate_.unblock(in.request);
  EXPECT_EQ(adder.waiter.grants, 1);
  EXPECT_EQ(overlaps.waiter.grants, 0);
  leave(adder);
  EXPECT_EQ(overlaps.waiter.grants, 1);
  gate_.unblock(overlaps.request);
  gate_.unblock(beside.request);
}

// No convoy: adders who come while a blocker is behind join those who go before it, and blockers who
// come meanwhile go together after them: three phases for any number. Fails if an adder also waits for
// blockers that are behind.
TEST_F(RangeGateTest, OverlappingBlockersDoNotLineUp) {
  Blocker in;
  ASSERT_TRUE(block(in, 0, 10));
  std::list<Adder> adders;
  std::list<Blocker> blockers;
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(add(adders.emplace_back(), 5, 5));
    EXPECT_FALSE(block(blockers.emplace_back(), 0, 10));
  }
  gate_.unblock(in.request);
  for (Adder& a : adders) EXPECT_EQ(a.waiter.grants, 1);
  for (Blocker& b : blockers) EXPECT_EQ(b.waiter.grants, 0);
  for (Adder& a : adders) leave(a);
  for (Blocker& b : blockers) EXPECT_EQ(b.waiter.grants, 1);
  for (Blocker& b : blockers) gate_.unblock(b.request);
}

// A blocker that was behind starts while an adder who came after it waits for somebody else: from then on
// that one waits for it too. Fails if start_draining() does not count itself ahead of it.
TEST_F(RangeGateTest, ABlockerThatStartsBarsThoseWhoWaitForOthers) {
  Blocker left;
  Blocker right;
  ASSERT_TRUE(block(left, 0, 10));
  ASSERT_TRUE(block(right, 20, 30));
  Adder early;
  ASSERT_FALSE(add(early, 10, 10));
  Blocker behind;
  ASSERT_FALSE(block(behind, 10, 20));
  Adder late;
  ASSERT_FALSE(add(late, 20, 20));
  gate_.unblock(left.request);
  ASSERT_EQ(early.waiter.grants, 1);
  leave(early);
  ASSERT_EQ(behind.waiter.grants, 1);
  gate_.unblock(right.request);
  EXPECT_EQ(late.waiter.grants, 0);
  gate_.unblock(behind.request);
  EXPECT_EQ(late.waiter.grants, 1);
  leave(late);
}

// Giving up frees those behind, in each state. Fails without let_go() or unbar() in cancel().
TEST_F(RangeGateTest, GivingUpLetsOthersGoOn) {
  Adder adder_in;
  ASSERT_TRUE(add(adder_in, 0, 0));
  Blocker draining;
  ASSERT_FALSE(block(draining, 5, 5));
  Adder waiting;
  ASSERT_FALSE(add(waiting, 5, 5));
  Blocker behind;
  ASSERT_FALSE(block(behind, 5, 6));
  Adder last;
  ASSERT_FALSE(add(last, 5, 6));

  EXPECT_TRUE(gate_.cancel(draining.request));
  EXPECT_EQ(waiting.waiter.grants, 1);
  EXPECT_EQ(last.waiter.grants, 1);
  EXPECT_FALSE(gate_.cancel(waiting.request));
  leave(waiting);
  leave(last);
  EXPECT_EQ(behind.waiter.grants, 0);
  leave(adder_in);
  EXPECT_EQ(behind.waiter.grants, 1);

  Adder given_up;
  ASSERT_FALSE(add(given_up, 6, 6));
  Blocker after;
  ASSERT_FALSE(block(after, 6, 6));
  EXPECT_TRUE(gate_.cancel(given_up.request));
  EXPECT_EQ(after.waiter.grants, 1);
  EXPECT_FALSE(gate_.cancel(after.request));
  gate_.unblock(after.request);
  gate_.unblock(behind.request);
  EXPECT_TRUE(can_add(0, kEnd));
}

TEST_F(RangeGateTest, LimitsAreKept) {
  const WaitLimit passed = {.deadline = Clock::time_point::min(), .stop = {}};
  std::stop_source stop;
  stop.request_stop();
  const WaitLimit stopped = {.deadline = Clock::kNever, .stop = stop.get_token()};
  RangeGate::Phase phase = 0;
  Blocker in;
  ASSERT_TRUE(block(in, 0, 10));
  EXPECT_EQ(gate_.add(0, 0, &phase, passed), WaitStatus::kTimedOut);
  EXPECT_EQ(gate_.add(0, 0, &phase, stopped), WaitStatus::kInterrupted);
  gate_.unblock(in.request);
  Adder adder;
  ASSERT_TRUE(add(adder, 0, 0));
  RangeGate::Blocker b;
  EXPECT_EQ(gate_.block(b, 0, 0, passed), WaitStatus::kTimedOut);
  EXPECT_EQ(gate_.block(b, 0, 0, stopped), WaitStatus::kInterrupted);
  EXPECT_FALSE(gate_.try_block(b, 0, 0));
  leave(adder);
  // A free gate wins over a limit that has passed.
  EXPECT_EQ(gate_.block(b, 0, 0, passed), WaitStatus::kReady);
  gate_.unblock(b);
  EXPECT_EQ(gate_.add(0, 0, &phase, stopped), WaitStatus::kReady);
  gate_.leave(phase);
}

// Threads: what one of them blocks, another gives back.
TEST_F(RangeGateTest, SleepersAreWoken) {
  RangeGate::Blocker b;
  ASSERT_EQ(gate_.block(b, 0, 10), WaitStatus::kReady);
  gate_.hand_over();
  Thread adder = std::move(Thread::start("adder", [&] {
                             RangeGate::Phase phase = 0;
                             EXPECT_EQ(gate_.add(3, 3, &phase), WaitStatus::kReady);
                             gate_.leave(phase);
                           }).value());
  while (gate_.waiting_count(GateSide::kAdd) != 1) yield_thread();
  gate_.unblock(b);
  adder.join();
}

}  // namespace
}  // namespace quire::sync
