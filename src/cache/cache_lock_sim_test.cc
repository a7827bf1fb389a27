// Every locking strategy under the simulation's schedules: adders and blockers exclude each other where
// they meet, everybody gets on, and giving up leaves nothing behind. Each test names the change to the
// code that makes it fail.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <functional>
#include <utility>
#include <vector>

#include "cache/cache_lock.h"
#include "cache/test_cut_file.h"
#include "sync/parker.h"
#include "sync/random.h"
#include "sync/sim/sim_test.h"
#include "sync/test_threads.h"
#include "sync/thread.h"

namespace quire::cache {
namespace {

void miss_meets_cut(Locking strategy) {
  CutFile file(strategy);
  sync::Thread reader = start_thread("reader", [&] { file.miss(2, 3); });
  file.cut(3, 5);
  reader.join();
  expect_free(file);
}
// Fails if Block::begin enters the adders' side, or takes another range than it is given, or the lock of
// a read; if an Add under `invalidate` ends with added(); and under `inode` if an Operation takes nothing.
SIM_EXPLORE(CacheLockSim, MissMeetsCutGate, 2) {
  miss_meets_cut(Locking::kGate);
}
SIM_EXPLORE(CacheLockSim, MissMeetsCutRange, 2) {
  miss_meets_cut(Locking::kRange);
}
SIM_EXPLORE(CacheLockSim, MissMeetsCutInvalidate, 2) {
  miss_meets_cut(Locking::kInvalidate);
}
SIM_EXPLORE(CacheLockSim, MissMeetsCutInode, 2) {
  miss_meets_cut(Locking::kInode);
}

// The same where adders come in by stripes. Fails if Block::begin does not close them.
void miss_meets_cut_hot(Locking strategy) {
  CutFile file(strategy);
  file.lock.heat();
  file.miss(6, 7);
  sync::Thread reader = start_thread("reader", [&] { file.miss(2, 3); });
  file.cut(3, 5);
  reader.join();
  expect_free(file);
}
SIM_EXPLORE(CacheLockSim, MissMeetsCutHotGate, 2) {
  miss_meets_cut_hot(Locking::kGate);
}
SIM_EXPLORE(CacheLockSim, MissMeetsCutHotRange, 2) {
  miss_meets_cut_hot(Locking::kRange);
}

void everybody_gets_on(Locking strategy, bool in_a_hurry) {
  if (in_a_hurry) sync::sim::allow_early_deadlines();
  CutFile file(strategy);
  std::vector<sync::Thread> threads;
  for (int number = 0; number < 5; ++number) {
    threads.push_back(start_thread(number < 3 ? "reader" : "cutter", [&, number] {
      for (int round = 0; round < 3; ++round) {
        WaitLimit limit;
        if (in_a_hurry) limit.deadline = sync::deadline_after(std::chrono::seconds(1));
        if (sync::random_u64() % 3 == 0) file.lock.heat();
        const std::uint64_t first = sync::random_u64() % CutFile::kPages;
        const std::uint64_t last = first + sync::random_u64() % (CutFile::kPages - first);
        if (number < 3) {
          file.miss(first, last, limit);
        } else {
          file.cut(first, last, limit);
        }
        // Eviction, beside it all, never waits.
        const CacheLock::TreeBlock tree(file.lock);
        sync::yield_thread();
      }
    }));
  }
  for (sync::Thread& thread : threads) thread.join();
  EXPECT_TRUE(in_a_hurry || file.cuts == 6);
  expect_free(file);
}
// Fails (a deadlock) if end() of an Add, a Block or an Operation does not give back what was begun.
SIM_TEST(CacheLockSim, EverybodyGetsOn) {
  for (const Locking strategy :
       {Locking::kGate, Locking::kRange, Locking::kInvalidate, Locking::kInode}) {
    everybody_gets_on(strategy, false);
  }
}
// Fails if who gives up keeps the lock: in begin_other(), or if begin() notes the lock whatever came of it.
SIM_TEST(CacheLockSim, WhoGivesUpIsInNobodysWay) {
  for (const Locking strategy :
       {Locking::kGate, Locking::kRange, Locking::kInvalidate, Locking::kInode}) {
    everybody_gets_on(strategy, true);
  }
}

// Fairness, counted. One who waits, again and again, and others of the other side who never pause. THE BOUND
// (gate.h, range_gate.h): who comes once it waits is not in before it. So each of the others finishes the visit
// that it had begun, at most, and is in once at most between.
enum class Adders : std::uint8_t {
  kThreads,
  kParked,  // none of them is one: what waits holds a Waker
  kBoth,
};
class Fairness {
 public:
  explicit Fairness(Locking strategy, Adders adders = Adders::kThreads)
      : lock_(strategy), adders_(adders) {}

  // `[first, last](i)`: of the i-th of the others.
  template <class Range>
  void run(sync::GateSide one_side, std::size_t others, Range range) {
    const sync::GateSide their_side = sync::other_side(one_side);
    const std::size_t visits_max = sync::AddStripes::kHotAfter / kRounds - 2 * others;
    std::vector<sync::Thread> threads;
    for (std::size_t i = 0; i < others; ++i) {
      threads.push_back(start_thread("other", [&, i] {
        while (!over_) {
          // Adders of a busy gate come in by its stripes (add_stripes.h), and by them before one who waits
          // at the gate, though not before one whom it let in to close them. So few never make it busy.
          if (their_side == sync::GateSide::kAdd && visits_ - visits_at_end_ >= visits_max) {
            sync::yield_thread();
            continue;
          }
          // Another visit of the one counts for nothing: that begins after this.
          // Looked at first: to ask whether it waits may take until its next.
          const int round = round_;
          const int later_than = one_waits(one_side) ? round : 0;
          visit(their_side, i, range(i).first, range(i).second, [&] {
            if (is_in_ || !asked_) return;
            EXPECT_NE(later_than, round_) << "who came later is in before who waits";
            between_ += one_waits(one_side) ? 1 : 0;
          });
        }
      }));
    }
    for (round_ = 1; round_ <= kRounds; ++round_) {
      between_ = 0;
      asked_ = true;
      visit(one_side, others, 3, 3, [&] {
        is_in_ = true;
        EXPECT_LE(between_, others);
      });
      asked_ = is_in_ = false;
      visits_at_end_ = visits_;
      // Somebody is in meanwhile.
      const std::size_t before = visits_;
      while (visits_ == before) sync::yield_thread();
    }
    over_ = true;
    for (sync::Thread& thread : threads) thread.join();
  }

 private:
  bool one_waits(sync::GateSide side) { return asked_ && lock_.waiting_count(side) == 1; }

  template <class In>
  void visit(sync::GateSide side, std::size_t who, std::uint64_t first, std::uint64_t last, In in) {
    CacheLock::Add add;
    CacheLock::Block block;
    const WaitStatus status =
        side == sync::GateSide::kAdd ? begin_add(add, who) : block.begin(lock_, first, last, {});
    EXPECT_EQ(status, WaitStatus::kReady);
    ++visits_;
    in();
    sync::yield_thread();
  }

  WaitStatus begin_add(CacheLock::Add& add, std::size_t who) {
    const bool parked = adders_ == Adders::kParked || (adders_ == Adders::kBoth && who % 2 == 1);
    if (!parked) return add.begin(lock_, 3, 3, {});
    sync::SleepingWaker waker;
    CacheLock::AddWaiter waiter(waker);
    if (add.begin_async(lock_, 3, 3, waiter)) return WaitStatus::kReady;
    const WaitStatus status = waker.park({});
    add.granted(waiter);
    return status;
  }

  static constexpr int kRounds = 4;

  CacheLock lock_;
  const Adders adders_;
  bool over_ = false;
  int round_ = 0;
  bool asked_ = false;
  bool is_in_ = false;
  std::size_t visits_ = 0;
  std::size_t visits_at_end_ = 0;  // of the one's last
  std::size_t between_ = 0;        // visits of others that were seen to begin while the one waits
};

constexpr std::array kFairStrategies = {Locking::kGate, Locking::kRange};

std::pair<std::uint64_t, std::uint64_t> all_the_same(std::size_t /*i*/) {
  return {0, 5};
}
// Each overlaps the next, and all have page 3.
std::pair<std::uint64_t, std::uint64_t> tiles(std::size_t i) {
  return {i, i + 3};
}

// add-starves-block. Fails if the gate, or a range gate that drains, admits whoever shares the present state.
SIM_TEST(CacheLockSim, AddersWhoNeverPauseDoNotStarveABlocker) {
  for (const Locking strategy : kFairStrategies) {
    Fairness(strategy).run(sync::GateSide::kBlock, 4, all_the_same);
  }
}
// block-starves-add. Fails if the gate admits whoever shares the present state, or a blocker of a range gate does
// not go behind the adders who wait.
SIM_TEST(CacheLockSim, BlockersWhoNeverPauseDoNotStarveAnAdder) {
  for (const Locking strategy : kFairStrategies) {
    Fairness(strategy).run(sync::GateSide::kAdd, 4, all_the_same);
  }
}
// parked-fault-starves, and its mirror: an adder who is no thread waits no longer than one who is, and makes a
// blocker wait no longer; nor where threads and others are adders of one file. Fails as the two before do, and
// if begin_async() tries again instead of queueing.
SIM_TEST(CacheLockSim, WhoIsParkedStarvesNobodyAndDoesNotStarve) {
  for (const Locking strategy : kFairStrategies) {
    for (const Adders adders : {Adders::kParked, Adders::kBoth}) {
      Fairness(strategy, adders).run(sync::GateSide::kBlock, 4, all_the_same);
      Fairness(strategy, adders).run(sync::GateSide::kAdd, 3, all_the_same);
    }
  }
}
// The same where their ranges overlap without being the same: what comes later does not join the others' turn by
// way of its neighbours. Fails as that does.
SIM_TEST(CacheLockSim, OverlappingBlockersDoNotStarveAnAdder) {
  for (const Locking strategy : kFairStrategies) {
    Fairness(strategy).run(sync::GateSide::kAdd, 4, tiles);
  }
}

// no-convoy: blockers who wait for the same adder, and overlap, are in together, in one batch, before the adder who
// came after them; and that one waits for this batch and no more. Fails (it does not end) if a blocker waits for
// another, or if an adder gets in between.
SIM_TEST(CacheLockSim, OverlappingBlockersAreOneBatch) {
  for (const Locking strategy : kFairStrategies) {
    constexpr std::size_t kBlockers = 4;
    CacheLock lock(strategy);
    CacheLock::Add first;
    EXPECT_EQ(first.begin(lock, 3, 3, {}), WaitStatus::kReady);
    std::size_t in = 0;
    std::size_t left = 0;
    std::vector<sync::Thread> blockers;
    for (std::size_t i = 0; i < kBlockers; ++i) {
      blockers.push_back(start_thread("blocker", [&, i] {
        CacheLock::Block block;
        EXPECT_EQ(block.begin(lock, tiles(i).first, tiles(i).second, {}), WaitStatus::kReady);
        ++in;
        while (in < kBlockers) sync::yield_thread();
        ++left;
      }));
    }
    while (lock.waiting_count(sync::GateSide::kBlock) < kBlockers) sync::yield_thread();
    sync::Thread adder = start_thread("adder", [&] {
      CacheLock::Add add;
      EXPECT_EQ(add.begin(lock, 3, 3, {}), WaitStatus::kReady);
      EXPECT_EQ(left, kBlockers) << "an adder who came later was in before them";
    });
    while (lock.waiting_count(sync::GateSide::kAdd) < 1) sync::yield_thread();
    EXPECT_EQ(in, 0u);
    first.end();
    for (sync::Thread& blocker : blockers) blocker.join();
    adder.join();
  }
}

}  // namespace
}  // namespace quire::cache
