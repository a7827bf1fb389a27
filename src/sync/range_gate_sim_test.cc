// The range gate under the simulation's schedules: exclusion, no lost wake-up (one shows as a deadlock),
// give-ups that meet grants, and that nobody is starved by those who come later. Each test names the change
// to the code that makes it fail.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <functional>
#include <vector>

#include "sync/parker.h"
#include "sync/random.h"
#include "sync/range_gate.h"
#include "sync/sim/sim_test.h"
#include "sync/test_threads.h"
#include "sync/thread.h"

namespace quire::sync {
namespace {

// Who is in, place by place, as the holders themselves say. Plain numbers: fibers change over at yield
// points only.
class Floor {
 public:
  void visit(GateSide side, std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t i = first; i <= last; ++i) ++in_[i][side == GateSide::kAdd ? 0 : 1];
    look(first, last);
    yield_thread();
    look(first, last);
    for (std::uint64_t i = first; i <= last; ++i) --in_[i][side == GateSide::kAdd ? 0 : 1];
  }

 private:
  void look(std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t i = first; i <= last; ++i) {
      EXPECT_TRUE(in_[i][0] == 0 || in_[i][1] == 0) << "both sides are at " << i;
    }
  }

  std::array<std::array<int, 2>, 16> in_ = {};
};

void expect_free(RangeGate& gate) {
  for (const GateSide side : {GateSide::kAdd, GateSide::kBlock}) {
    EXPECT_EQ(gate.holders_count(side), 0u);
    EXPECT_EQ(gate.waiting_count(side), 0u);
  }
  RangeGate::Phase phase = 0;
  EXPECT_TRUE(gate.try_add(0, 15, &phase));
  gate.leave(phase);
}

void add_and_leave(RangeGate& gate, Floor& floor, std::uint64_t first, std::uint64_t last,
                   const WaitLimit& limit = {}) {
  RangeGate::Phase phase = 0;
  if (gate.add(first, last, &phase, limit) != WaitStatus::kReady) return;
  floor.visit(GateSide::kAdd, first, last);
  gate.leave(phase);
}

void block_and_leave(RangeGate& gate, Floor& floor, std::uint64_t first, std::uint64_t last,
                     const WaitLimit& limit = {}) {
  RangeGate::Blocker blocker;
  if (gate.block(blocker, first, last, limit) != WaitStatus::kReady) return;
  floor.visit(GateSide::kBlock, first, last);
  gate.unblock(blocker);
}

// Fails (a deadlock) if leave() looks whether somebody blocks before it counts itself out.
SIM_EXPLORE(RangeGateSim, AdderMeetsBlocker, 3) {
  RangeGate gate;
  Floor floor;
  Thread adder = start_thread("adder", [&] { add_and_leave(gate, floor, 1, 2); });
  block_and_leave(gate, floor, 2, 3);
  adder.join();
  expect_free(gate);
}

// Fails if a blocker that comes while a phase drains is granted with it.
SIM_EXPLORE(RangeGateSim, TwoAddersMeetTwoBlockers, 1) {
  RangeGate gate;
  Floor floor;
  Thread one = start_thread("adder 1", [&] { add_and_leave(gate, floor, 1, 1); });
  Thread two = start_thread("adder 2", [&] { add_and_leave(gate, floor, 2, 2); });
  Thread blocker = start_thread("blocker", [&] { block_and_leave(gate, floor, 1, 1); });
  block_and_leave(gate, floor, 2, 2);
  one.join();
  two.join();
  blocker.join();
  expect_free(gate);
}

// Fails if enqueue(Blocker) takes whoever drain() granted for itself.
SIM_EXPLORE(RangeGateSim, TimeOutsMeetGrants, 2) {
  sim::allow_early_deadlines();
  RangeGate gate;
  Floor floor;
  Thread adder =
      start_thread("adder", [&] { add_and_leave(gate, floor, 1, 1, within_a_second()); });
  Thread blocker =
      start_thread("blocker", [&] { block_and_leave(gate, floor, 1, 2, within_a_second()); });
  block_and_leave(gate, floor, 1, 1, within_a_second());
  adder.join();
  blocker.join();
  expect_free(gate);
}

// Everything at once, on overlapping and disjoint ranges, with give-ups.
SIM_TEST(RangeGateSim, ManyOfBothSides) {
  sim::allow_early_deadlines();
  RangeGate gate;
  Floor floor;
  std::vector<Thread> threads;
  for (int number = 0; number < 6; ++number) {
    threads.push_back(start_thread(number % 2 == 0 ? "adder" : "blocker", [&, number] {
      for (int round = 0; round < 5; ++round) {
        const std::uint64_t first = random_u64() % 16;
        const std::uint64_t last = first + random_u64() % (16 - first);
        const WaitLimit limit = random_u64() % 3 == 0 ? within_a_second() : WaitLimit{};
        if (number % 2 == 0) {
          add_and_leave(gate, floor, first, std::min(last, first + 1), limit);
        } else {
          block_and_leave(gate, floor, first, last, limit);
        }
      }
    }));
  }
  for (Thread& thread : threads) thread.join();
  expect_free(gate);
}

// add-starves-block and its mirror: four who never pause, in turn on either side, against one. Counted:
// how many visits began after the one began to wait and before it was in. An adder who is in already
// may finish its visit and make no other; a blocker likewise. Fails if a blocker does not bar its range
// while it drains, or does not go behind the adders who wait.
SIM_TEST(RangeGateSim, NobodyStarvesTheOther) {
  for (const bool one_blocks : {true, false}) {
    RangeGate gate;
    int waits = 0;  // the round in which the one waits
    bool done = false;
    int began = 0;
    std::vector<Thread> many;
    for (int i = 0; i < 4; ++i) {
      many.push_back(start_thread("many", [&] {
        while (!done) {
          const int later = waits;
          RangeGate::Phase phase = 0;
          RangeGate::Blocker blocker;
          if (one_blocks) {
            EXPECT_EQ(gate.add(3, 3, &phase), WaitStatus::kReady);
          } else {
            EXPECT_EQ(gate.block(blocker, 0, 5), WaitStatus::kReady);
          }
          if (later != 0 && later == waits) ++began;
          yield_thread();
          if (one_blocks) {
            gate.leave(phase);
          } else {
            gate.unblock(blocker);
          }
        }
      }));
    }
    for (int round = 1; round <= 3; ++round) {
      RangeGate::Blocker blocker;
      RangeGate::Adder adder;
      SleepingWaker self;
      began = 0;
      const bool at_once =
          one_blocks ? gate.enqueue(blocker, 0, 5, self) : gate.enqueue(adder, 3, 3, self);
      if (!at_once) {
        waits = round;
        EXPECT_EQ(self.park({}), WaitStatus::kReady);
      }
      waits = 0;
      EXPECT_EQ(began, 0);
      if (one_blocks) {
        gate.unblock(blocker);
      } else {
        gate.leave(adder.phase());
      }
    }
    done = true;
    for (Thread& thread : many) thread.join();
    expect_free(gate);
  }
}

}  // namespace
}  // namespace quire::sync
