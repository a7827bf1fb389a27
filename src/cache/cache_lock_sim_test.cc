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
#include "sync/parker.h"
#include "sync/random.h"
#include "sync/sim/sim_test.h"
#include "sync/test_threads.h"
#include "sync/thread.h"

namespace quire::cache {
namespace {

using sync::RwMode;
using sync::start_thread;
using sync::WaitLimit;
using sync::WaitStatus;

constexpr std::uint64_t kPages = 8;

// A file as those who add and block see it. Plain numbers: fibers change over at yield points only.
class File {
 public:
  explicit File(Locking strategy) : lock(strategy) {}

  // A read that misses: adds, lets a "store" in another thread fill, and goes.
  void miss(std::uint64_t first, std::uint64_t last, const WaitLimit& limit = {}) {
    CacheLock::Operation operation;
    if (operation.begin(lock, RwMode::kRead, limit) != WaitStatus::kReady) return;
    CacheLock::Add add;
    if (add.begin(lock, first, last, limit) != WaitStatus::kReady) return;
    const std::uint64_t blocks_before = blocks_begun;
    look_at_adds(first, last, 1);
    sync::yield_thread();
    look_at_adds(first, last, -1);
    add.added();
    const bool kept = lock.strategy() == Locking::kInvalidate;
    sync::Parker filled;
    sync::Thread store = start_thread("store", [&] {
      sync::yield_thread();
      // Until the pages are filled no cut of this file began.
      EXPECT_TRUE(!kept || blocks_begun == blocks_before);
      add.end();
      filled.unpark();
    });
    filled.park();
    store.join();
    EXPECT_TRUE(!lock.guards_operations() || blocks_begun == blocks_before);
  }
  // A cut, which ends in another thread than it began.
  void cut(std::uint64_t first, std::uint64_t last, const WaitLimit& limit = {}) {
    CacheLock::Operation operation;
    if (operation.begin(lock, RwMode::kWrite, limit) != WaitStatus::kReady) return;
    CacheLock::Block block;
    if (block.begin(lock, first, last, limit) != WaitStatus::kReady) return;
    ++blocks_begun;
    ++cuts;
    operation.hand_over();
    block.hand_over();
    start_thread("store", [&] {
      look_at_block(first, last, 1);
      sync::yield_thread();
      look_at_block(first, last, -1);
      block.end();
      operation.end();
    }).join();
  }

  CacheLock lock;
  std::uint64_t blocks_begun = 0;
  int cuts = 0;

 private:
  void look_at_adds(std::uint64_t first, std::uint64_t last, int change) {
    for (std::uint64_t i = first; i <= last; ++i) {
      adding_[i] += change;
      EXPECT_EQ(blocked_[i], 0) << "a page is added where it is blocked";
    }
  }
  void look_at_block(std::uint64_t first, std::uint64_t last, int change) {
    for (std::uint64_t i = first; i <= last; ++i) {
      blocked_[i] += change;
      EXPECT_EQ(adding_[i], 0) << "a page is blocked while it is added";
    }
  }

  std::array<int, kPages> adding_ = {};
  std::array<int, kPages> blocked_ = {};
};

void expect_free(File& file) {
  EXPECT_EQ(file.lock.waiting_count(sync::GateSide::kAdd), 0u);
  EXPECT_EQ(file.lock.waiting_count(sync::GateSide::kBlock), 0u);
  const int before = file.cuts;
  file.miss(0, kPages - 1);
  file.cut(0, kPages - 1);
  EXPECT_EQ(file.cuts, before + 1);
}

void miss_meets_cut(Locking strategy) {
  File file(strategy);
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
  File file(strategy);
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
  File file(strategy);
  std::vector<sync::Thread> threads;
  for (int number = 0; number < 5; ++number) {
    threads.push_back(start_thread(number < 3 ? "reader" : "cutter", [&, number] {
      for (int round = 0; round < 3; ++round) {
        WaitLimit limit;
        if (in_a_hurry) limit.deadline = sync::deadline_after(std::chrono::seconds(1));
        if (sync::random_u64() % 3 == 0) file.lock.heat();
        const std::uint64_t first = sync::random_u64() % kPages;
        const std::uint64_t last = first + sync::random_u64() % (kPages - first);
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
class Fairness {
 public:
  explicit Fairness(Locking strategy) : lock_(strategy) {}

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
          visit(their_side, range(i).first, range(i).second, [&] {
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
      visit(one_side, 3, 3, [&] {
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
  void visit(sync::GateSide side, std::uint64_t first, std::uint64_t last, In in) {
    CacheLock::Add add;
    CacheLock::Block block;
    const WaitStatus status = side == sync::GateSide::kAdd ? add.begin(lock_, 3, 3, {})
                                                           : block.begin(lock_, first, last, {});
    EXPECT_EQ(status, WaitStatus::kReady);
    ++visits_;
    in();
    sync::yield_thread();
  }

  static constexpr int kRounds = 4;

  CacheLock lock_;
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
