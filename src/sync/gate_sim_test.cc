// The gate under the simulation's schedules: exclusion, no lost wake-up (one shows as a deadlock),
// the fairness bound, and give-ups that meet grants. Small cases under every schedule within a
// number of preemptions, larger ones by seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <utility>
#include <vector>

#include "sync/atomic.h"
#include "sync/gate.h"
#include "sync/parker.h"
#include "sync/random.h"
#include "sync/sim/sim_test.h"
#include "sync/test_threads.h"
#include "sync/thread.h"

namespace quire::sync {
namespace {

constexpr GateSide kAdd = GateSide::kAdd;
constexpr GateSide kBlock = GateSide::kBlock;

// Who is in, as the holders themselves say. Plain numbers: fibers change over at yield points only.
class Room {
 public:
  void visit(GateSide side) {
    ++in(side);
    EXPECT_EQ(in(other_side(side)), 0);
    yield_thread();
    EXPECT_EQ(in(other_side(side)), 0);
    --in(side);
  }

 private:
  int& in(GateSide side) { return in_[static_cast<std::size_t>(side)]; }

  std::array<int, 2> in_ = {0, 0};
};

class Waiter final : public Waker, public GateWaiter {
 public:
  Waiter() : GateWaiter(static_cast<Waker&>(*this)) {}

  void wake() noexcept override {
    yield_thread();  // others of the batch are granted and not told yet
    ++grants;
    told.unpark();
  }

  int grants = 0;
  Parker told;
};

// Nobody in, nobody waiting, and both sides can still enter.
void expect_free(Gate& gate) {
  for (const GateSide side : {kAdd, kBlock}) {
    EXPECT_EQ(gate.holders_count(side), 0u);
    EXPECT_EQ(gate.waiting_count(side), 0u);
    EXPECT_TRUE(gate.try_enter(side));
    gate.leave(side);
  }
}

void enter_visit_leave(Gate& gate, Room& room, GateSide side) {
  EXPECT_EQ(gate.enter(side), WaitStatus::kReady);
  room.visit(side);
  gate.leave(side);
}

SIM_EXPLORE(GateSim, AdderMeetsBlocker, 3) {
  Gate gate;
  Room room;
  Thread adder = start_thread("adder", [&] { enter_visit_leave(gate, room, kAdd); });
  enter_visit_leave(gate, room, kBlock);
  adder.join();
  expect_free(gate);
}

SIM_EXPLORE(GateSim, TwoAddersMeetABlocker, 2) {
  Gate gate;
  Room room;
  Thread one = start_thread("adder 1", [&] { enter_visit_leave(gate, room, kAdd); });
  Thread two = start_thread("adder 2", [&] { enter_visit_leave(gate, room, kAdd); });
  enter_visit_leave(gate, room, kBlock);
  one.join();
  two.join();
  expect_free(gate);
}

// A waiter that is withdrawn while the last holder leaves: withdrawn and never told, or told once.
SIM_EXPLORE(GateSim, CancelMeetsGrant, 3) {
  Gate gate;
  ASSERT_TRUE(gate.try_enter(kAdd));
  gate.hand_over();
  Waiter waiter;
  ASSERT_FALSE(gate.enqueue(kBlock, waiter));
  Thread leaver = start_thread("leaver", [&] { gate.leave(kAdd); });
  if (gate.cancel(waiter)) {
    leaver.join();
    EXPECT_EQ(waiter.grants, 0);
  } else {
    waiter.told.park();
    EXPECT_EQ(waiter.grants, 1);
    gate.leave(kBlock);
    leaver.join();
  }
  expect_free(gate);
}

// The last waiter of the turn times out while an adder queues behind it and the holder leaves.
// Nobody is forgotten, whoever is first.
SIM_EXPLORE(GateSim, TimeOutMeetsGrantAndNewcomer, 2) {
  sim::allow_early_deadlines();
  Gate gate;
  Room room;
  ASSERT_TRUE(gate.try_enter(kAdd));
  gate.hand_over();
  Thread blocker = start_thread("blocker", [&] {
    if (gate.enter(kBlock, within_a_second()) != WaitStatus::kReady) return;
    room.visit(kBlock);
    gate.leave(kBlock);
  });
  Thread adder = start_thread("adder", [&] { enter_visit_leave(gate, room, kAdd); });
  gate.leave(kAdd);
  adder.join();
  blocker.join();
  expect_free(gate);
}

// A time-out between the two steps of a grant: the thread is in already, and stays to be told.
SIM_EXPLORE(GateSim, TimeOutMeetsTheTellingOfItsBatch, 3) {
  sim::allow_early_deadlines();
  Gate gate;
  Room room;
  ASSERT_TRUE(gate.try_enter(kAdd));
  gate.hand_over();
  Waiter first;  // told before the thread is
  ASSERT_FALSE(gate.enqueue(kBlock, first));
  Thread second = start_thread("second", [&] {
    if (gate.enter(kBlock, within_a_second()) != WaitStatus::kReady) return;
    room.visit(kBlock);
    gate.leave(kBlock);
  });
  gate.leave(kAdd);
  gate.leave(kBlock);
  second.join();
  EXPECT_EQ(first.grants, 1);
  expect_free(gate);
}

SIM_EXPLORE(GateSim, StopMeetsGrant, 2) {
  Gate gate;
  Room room;
  std::stop_source stop;
  ASSERT_TRUE(gate.try_enter(kAdd));
  gate.hand_over();
  Thread stopper = start_thread("stopper", [&] {
    yield_thread();
    stop.request_stop();
  });
  Thread leaver = start_thread("leaver", [&] { gate.leave(kAdd); });
  const WaitStatus status =
      gate.enter(kBlock, {.deadline = Clock::kNever, .stop = stop.get_token()});
  EXPECT_NE(status, WaitStatus::kTimedOut);
  if (status == WaitStatus::kReady) {
    room.visit(kBlock);
    gate.leave(kBlock);
  }
  leaver.join();
  stopper.join();
  expect_free(gate);
}

// Whoever waits is not overtaken: nobody of the other side who came later is in before it.
SIM_TEST(GateSim, NobodyOvertakesAWaiter) {
  Gate gate;
  const GateSide ours = random_u64() % 2 == 0 ? kAdd : kBlock;
  const GateSide theirs = other_side(ours);
  Waiter waiter;
  bool queued = false;
  std::vector<Thread> others;
  for (int i = 0; i < 3; ++i) {
    others.push_back(start_thread("other", [&] {
      for (int round = 0; round < 6; ++round) {
        const bool came_later = queued;
        const bool tried = random_u64() % 2 == 0;
        if (tried ? !gate.try_enter(theirs) : gate.enter(theirs) != WaitStatus::kReady) continue;
        EXPECT_FALSE(came_later && waiter.grants == 0);
        yield_thread();
        gate.leave(theirs);
      }
    }));
  }
  if (!gate.enqueue(ours, waiter)) {
    queued = true;
    waiter.told.park();
    EXPECT_LE(waiter.batches_waited(), 1u);
  }
  waiter.grants = 1;
  yield_thread();
  gate.leave(ours);
  for (Thread& other : others) other.join();
  expect_free(gate);
}

// The same program with a signed counter in the gate's place. The waiter can only try again, and
// there are schedules under which all the others overtake it in every round.
TEST(GateSim, EveryoneOvertakesAtASignedCounter) {
  constexpr int kOthers = 3;
  constexpr int kRounds = 6;
  int overtaken_max = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    int overtaken = 0;
    const sim::Outcome outcome = sim::run(sim::options_of_seed(seed), [&] {
      Atomic<int> count{0};  // above zero: adders; below: blockers
      const auto try_enter = [&count](int step) {
        int now = count.load();
        while (now * step >= 0) {
          if (count.compare_exchange_strong(now, now + step)) return true;
        }
        return false;
      };
      bool waits = false;
      std::vector<Thread> others;
      for (int i = 0; i < kOthers; ++i) {
        others.push_back(start_thread("other", [&] {
          for (int round = 0; round < kRounds; ++round) {
            const bool came_later = waits;
            while (!try_enter(1)) spin_pause();
            if (came_later && waits) ++overtaken;
            yield_thread();
            count.fetch_sub(1);
          }
        }));
      }
      while (!try_enter(-1)) {
        waits = true;
        yield_thread();
      }
      waits = false;
      count.fetch_add(1);
      for (Thread& other : others) other.join();
    });
    ASSERT_TRUE(outcome.ok()) << outcome.failure;
    overtaken_max = std::max(overtaken_max, overtaken);
  }
  EXPECT_GE(overtaken_max, kOthers * (kRounds - 1));
}

// Everything at once: every way in, give-ups of all kinds, and releases by whoever comes.
SIM_TEST(GateSim, AllWaysInAndOut) {
  sim::allow_early_deadlines();
  Gate gate;
  Room room;
  std::vector<Thread> threads;
  for (int number = 0; number < 5; ++number) {
    const GateSide side = number % 2 == 0 ? kAdd : kBlock;
    threads.push_back(start_thread(side == kAdd ? "adder" : "blocker", [&, side] {
      for (int round = 0; round < 4; ++round) {
        Waiter waiter;
        switch (random_u64() % 5) {
          case 0:
            if (!gate.try_enter(side)) continue;
            break;
          case 1:
            if (gate.enter(side, within_a_second()) != WaitStatus::kReady) continue;
            break;
          case 2:
            if (!gate.enqueue(side, waiter)) waiter.told.park();
            EXPECT_LE(waiter.batches_waited(), 1u);
            break;
          case 3:
            if (gate.enqueue(side, waiter)) break;
            yield_thread();
            if (gate.cancel(waiter)) {
              EXPECT_EQ(waiter.grants, 0);
              continue;
            }
            waiter.told.park();
            break;
          default:
            EXPECT_EQ(gate.enter(side), WaitStatus::kReady);
            break;
        }
        room.visit(side);
        gate.leave(side);
      }
    }));
  }
  for (Thread& thread : threads) thread.join();
  expect_free(gate);
}

}  // namespace
}  // namespace quire::sync
