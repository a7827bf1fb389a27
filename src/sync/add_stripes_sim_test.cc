// A gate with stripes under the simulation's schedules: exclusion, no lost wake-up (one shows as a
// deadlock), closers that give up, and that newcomers do not starve a closer. Each test names the change
// to the code that makes it fail.
#include "sync/add_stripes.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <utility>
#include <vector>

#include "sync/gate.h"
#include "sync/random.h"
#include "sync/sim/sim_test.h"
#include "sync/test_threads.h"
#include "sync/thread.h"

namespace quire::sync {
namespace {

// As CacheLock puts the two together. Plain numbers: fibers change over at yield points only.
class StripedGate {
 public:
  void heat() {
    for (std::uint32_t i = 0; i < AddStripes::kHotAfter; ++i) stripes.note_company();
  }
  void heat_and_open() {
    heat();
    visit_to_add();
    EXPECT_TRUE(stripes.is_open());
  }

  void visit_to_add() {
    AddStripes::Stripe stripe = 0;
    const bool closed = !stripes.is_open();
    const int openings_before = openings_ended;
    const bool striped = stripes.try_enter(&stripe);
    // Not until somebody has opened them again.
    EXPECT_FALSE(striped && closed && openings_begun == openings_before);
    if (!striped) {
      EXPECT_EQ(gate.enter(GateSide::kAdd), WaitStatus::kReady);
      if (stripes.is_hot()) {
        ++openings_begun;
        stripes.open();
        ++openings_ended;
      }
    }
    EXPECT_EQ(blockers, 0);
    ++adders;
    yield_thread();
    EXPECT_EQ(blockers, 0);
    --adders;
    ++visits;
    if (striped) {
      stripes.leave(stripe);
    } else {
      gate.leave(GateSide::kAdd);
    }
  }
  WaitStatus visit_to_block(const WaitLimit& limit = {}) {
    WaitStatus status = gate.enter(GateSide::kBlock, limit);
    if (status != WaitStatus::kReady) return status;
    status = stripes.close(limit);
    if (status == WaitStatus::kReady) block();
    gate.leave(GateSide::kBlock);
    return status;
  }
  void try_to_block() {
    if (!gate.try_enter(GateSide::kBlock)) return;
    if (stripes.try_close()) block();
    gate.leave(GateSide::kBlock);
  }
  void block() {
    EXPECT_FALSE(stripes.is_open());
    EXPECT_EQ(adders, 0);
    ++blockers;
    yield_thread();
    EXPECT_EQ(adders, 0);
    --blockers;
  }

  Gate gate;
  AddStripes stripes;
  int adders = 0;
  int blockers = 0;
  int visits = 0;
  int openings_begun = 0;
  int openings_ended = 0;
};

// Fails (both are in) if try_enter() does not look again once it has counted itself, and (a deadlock) if
// leave() looks for a closer before it counts itself out.
SIM_EXPLORE(AddStripesSim, AnAdderMeetsACloser, 3) {
  StripedGate gate;
  gate.heat_and_open();
  Thread adder = start_thread("adder", [&] { gate.visit_to_add(); });
  EXPECT_EQ(gate.visit_to_block(), WaitStatus::kReady);
  adder.join();
  EXPECT_EQ(gate.stripes.holders_count(), 0u);
}

// Fails if a second closer takes `draining` for `off`, and (a deadlock) if settle() wakes one closer only.
SIM_EXPLORE(AddStripesSim, TwoClosersMeetTwoAdders, 1) {
  StripedGate gate;
  gate.heat_and_open();
  Thread one = start_thread("adder 1", [&] { gate.visit_to_add(); });
  Thread two = start_thread("adder 2", [&] { gate.visit_to_add(); });
  Thread closer = start_thread("closer", [&] { (void)gate.visit_to_block(); });
  EXPECT_EQ(gate.visit_to_block(), WaitStatus::kReady);
  one.join();
  two.join();
  closer.join();
}

// Fails (both are in) if whoever finds the stripes hot opens them before it is in the gate.
SIM_EXPLORE(AddStripesSim, OneOpensWhileAnotherCloses, 2) {
  StripedGate gate;
  gate.heat();
  Thread opener = start_thread("opener", [&] { gate.visit_to_add(); });
  Thread adder = start_thread("adder", [&] { gate.visit_to_add(); });
  EXPECT_EQ(gate.visit_to_block(), WaitStatus::kReady);
  opener.join();
  adder.join();
}

// A closer that gives up takes itself out of the list, if it is there still. Fails (a use of what is gone) if
// it stays there.
SIM_EXPLORE(AddStripesSim, GiveUpsMeetTheLastAdder, 2) {
  sim::allow_early_deadlines();
  StripedGate gate;
  gate.heat_and_open();
  Thread adder = start_thread("adder", [&] { gate.visit_to_add(); });
  (void)gate.visit_to_block(within_a_second());
  // Closed or half closed: the next one gets in all the same.
  EXPECT_EQ(gate.visit_to_block(), WaitStatus::kReady);
  adder.join();
}

// Fails if try_close() succeeds while somebody is in.
SIM_EXPLORE(AddStripesSim, WhoOnlyTriesToBlock, 2) {
  StripedGate gate;
  gate.heat_and_open();
  Thread adder = start_thread("adder", [&] { gate.visit_to_add(); });
  gate.try_to_block();
  gate.try_to_block();
  adder.join();
}

// Everything at once; the stripes are opened again and again.
SIM_TEST(AddStripesSim, ManyOfBothSides) {
  sim::allow_early_deadlines();
  StripedGate gate;
  std::vector<Thread> threads;
  for (int number = 0; number < 6; ++number) {
    threads.push_back(start_thread(number < 4 ? "adder" : "blocker", [&, number] {
      for (int round = 0; round < 6; ++round) {
        if (number < 4) {
          if (random_u64() % 3 == 0) gate.heat();
          gate.visit_to_add();
        } else if (random_u64() % 3 == 0) {
          gate.try_to_block();
        } else {
          (void)gate.visit_to_block(random_u64() % 2 == 0 ? within_a_second() : WaitLimit{});
        }
      }
    }));
  }
  for (Thread& thread : threads) thread.join();
  EXPECT_EQ(gate.stripes.holders_count(), 0u);
}

// add-starves-block: four who never pause add by the stripes, one blocks, again and again. Whoever comes
// once it has closed them waits at the gate (visit_to_add() sees to that), so it waits for those who were in.
// Never ends if close() does not close.
SIM_TEST(AddStripesSim, AddersWhoNeverPauseDoNotStarveACloser) {
  StripedGate gate;
  gate.heat_and_open();
  bool over = false;
  std::vector<Thread> adders;
  for (int i = 0; i < 4; ++i) {
    adders.push_back(start_thread("adder", [&] {
      while (!over) gate.visit_to_add();
    }));
  }
  for (int round = 0; round < 5; ++round) {
    EXPECT_EQ(gate.visit_to_block(), WaitStatus::kReady);
    gate.heat();
    const int before = gate.visits;
    while (gate.visits == before) yield_thread();
  }
  over = true;
  for (Thread& adder : adders) adder.join();
}

}  // namespace
}  // namespace quire::sync
