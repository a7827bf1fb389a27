// What each locking strategy excludes, as the table of cache_lock.h has it; and the ways out. Each test
// names the change to the code that makes it fail.
#include "cache/cache_lock.h"

#include <gtest/gtest.h>

#include <string>

#include "sync/thread.h"

namespace quire::cache {
namespace {

using sync::RwMode;
using sync::WaitLimit;
using sync::WaitStatus;

constexpr std::uint64_t kEnd = ~std::uint64_t{0};

WaitLimit passed() {
  return {.deadline = sync::Clock::time_point::min(), .stop = {}};
}

struct Tested {
  Locking strategy;
  bool hot = false;  // adders come in by stripes, where the strategy has them
};

// The test thread plays everybody: what it begins it hands over.
class CacheLockTest : public testing::TestWithParam<Tested> {
 protected:
  void SetUp() override {
    if (!GetParam().hot) return;
    lock_.heat();
    ASSERT_TRUE(can_fill(0, 0));
  }
  bool is(Locking strategy) const { return GetParam().strategy == strategy; }
  // An Add whose pages are being filled.
  bool fill(CacheLock::Operation& operation, CacheLock::Add& add, std::uint64_t first,
            std::uint64_t last) {
    if (!operation.try_begin(lock_, RwMode::kRead)) return false;
    operation.hand_over();
    if (!add.try_begin(lock_, first, last)) return false;
    add.added();
    return true;
  }
  bool can_fill(std::uint64_t first, std::uint64_t last) {
    CacheLock::Operation operation;
    CacheLock::Add add;
    return fill(operation, add, first, last);
  }
  bool block(CacheLock::Operation& operation, CacheLock::Block& block, std::uint64_t first,
             std::uint64_t last) {
    if (operation.begin(lock_, RwMode::kWrite, passed()) != WaitStatus::kReady) return false;
    operation.hand_over();
    if (block.begin(lock_, first, last, passed()) != WaitStatus::kReady) return false;
    block.hand_over();
    return true;
  }
  bool can_block(std::uint64_t first, std::uint64_t last) {
    CacheLock::Operation operation;
    CacheLock::Block b;
    return block(operation, b, first, last);
  }

  CacheLock lock_{GetParam().strategy};
};

INSTANTIATE_TEST_SUITE_P(Strategies, CacheLockTest,
                         testing::Values(Tested{Locking::kGate}, Tested{Locking::kRange},
                                         Tested{Locking::kInvalidate}, Tested{Locking::kInode},
                                         Tested{Locking::kGate, true},
                                         Tested{Locking::kRange, true}),
                         [](const auto& tested) {
                           return std::string(name(tested.param.strategy)) +
                                  (tested.param.hot ? "_hot" : "");
                         });

// Fails if who ends an Add does not say that others were in, or who begins one opens nothing.
TEST_P(CacheLockTest, WhereManyAddAtOnceTheyGetStripes) {
  for (std::uint32_t i = 0; i < sync::AddStripes::kHotAfter; ++i) {
    CacheLock::Operation operations[2];
    CacheLock::Add adds[2];
    for (int who = 0; who < 2; ++who) {
      ASSERT_TRUE(operations[who].try_begin(lock_, RwMode::kRead));
      operations[who].hand_over();
    }
    // Two threads, to whom the order of locks does not apply together.
    ASSERT_TRUE(adds[0].try_begin(lock_, 1, 1));
    sync::Thread::start("other",
                        [&] {
                          ASSERT_TRUE(adds[1].try_begin(lock_, 9, 9));
                          adds[1].added();
                        })
        .value()
        .join();
    adds[0].added();
  }
  ASSERT_TRUE(can_fill(3, 3));
  EXPECT_EQ(lock_.is_striped(), is(Locking::kGate) || is(Locking::kRange));
}

// Under `range` somebody may add while another blocks elsewhere, and opens no stripes then. Fails if
// open_stripes() does not look whether somebody blocks.
TEST_P(CacheLockTest, WhoAddsBesideABlockOpensNothing) {
  lock_.heat();
  {
    CacheLock::Operation operation;
    CacheLock::Block b;
    ASSERT_TRUE(block(operation, b, 10, 20));
    lock_.heat();
    EXPECT_EQ(can_fill(30, 30), is(Locking::kRange));
    EXPECT_FALSE(can_fill(15, 15));
  }
  EXPECT_TRUE(can_fill(15, 15));
}

// Fails if a strategy's Block takes nothing, or an Add does.
TEST_P(CacheLockTest, NobodyAddsWhereItIsBlocked) {
  CacheLock::Operation operation;
  CacheLock::Block b;
  ASSERT_TRUE(block(operation, b, 10, 20));
  EXPECT_FALSE(can_fill(15, 15));
  EXPECT_FALSE(can_fill(0, 10));
  b.end();
  operation.end();
  EXPECT_TRUE(can_fill(15, 15));
}

// `range` alone lets others add elsewhere. Fails if Block or Add passes on the whole file as its range.
TEST_P(CacheLockTest, WhoMayAddBesideABlock) {
  CacheLock::Operation operation;
  CacheLock::Block b;
  ASSERT_TRUE(block(operation, b, 10, 20));
  EXPECT_EQ(can_fill(0, 9), is(Locking::kRange));
  EXPECT_EQ(can_fill(21, kEnd), is(Locking::kRange));
}

// Only the act of adding keeps blocks out, or, under `invalidate`, the fill as well; under `inode` the
// whole read does. Fails if added() keeps the gate, or gives back the lock of `invalidate`.
TEST_P(CacheLockTest, HowLongAnAddKeepsBlocksOut) {
  CacheLock::Operation operation;
  CacheLock::Add add;
  ASSERT_TRUE(fill(operation, add, 10, 10));
  EXPECT_EQ(can_block(10, 10), is(Locking::kGate) || is(Locking::kRange));
  add.end();
  EXPECT_EQ(can_block(10, 10), !is(Locking::kInode));
  operation.end();
  EXPECT_TRUE(can_block(10, 10));
}

// Fails if Block enters the gate on the adders' side, or shares the lock of `invalidate`.
TEST_P(CacheLockTest, WhoSharesBlocks) {
  CacheLock::Operation operation;
  CacheLock::Block b;
  ASSERT_TRUE(block(operation, b, 10, 20));
  const bool shared = is(Locking::kGate) || is(Locking::kRange);
  EXPECT_EQ(can_block(10, 20), shared);
  EXPECT_EQ(can_block(30, 40), shared);
}

// An Operation is nothing but under `inode`. Fails if guards_operations() says otherwise.
TEST_P(CacheLockTest, OperationsExcludeUnderInodeOnly) {
  const auto can = [&](RwMode mode) {
    CacheLock::Operation operation;
    const bool tried = operation.try_begin(lock_, mode);
    operation.end();
    EXPECT_EQ(operation.begin(lock_, mode, passed()) == WaitStatus::kReady, tried);
    return tried;
  };
  CacheLock::Operation read;
  ASSERT_TRUE(read.try_begin(lock_, RwMode::kRead));
  read.hand_over();
  EXPECT_TRUE(can(RwMode::kRead));
  EXPECT_EQ(can(RwMode::kWrite), !is(Locking::kInode));
  read.end();
  CacheLock::Operation write;
  ASSERT_TRUE(write.try_begin(lock_, RwMode::kWrite));
  write.hand_over();
  EXPECT_EQ(can(RwMode::kRead), !is(Locking::kInode));
}

// Nodes of the tree can be freed while pages are filled, however long that takes, under every strategy,
// but not while somebody adds. Fails if TreeBlock takes the lock of `invalidate` instead of its nodes,
// or if Add does not take them.
TEST_P(CacheLockTest, TheTreeIsBlockedForAddsAlone) {
  const auto can_free_nodes = [&] { return static_cast<bool>(CacheLock::TreeBlock(lock_)); };
  CacheLock::Operation operation;
  ASSERT_TRUE(operation.try_begin(lock_, RwMode::kRead));
  operation.hand_over();
  CacheLock::Add add;
  ASSERT_TRUE(add.try_begin(lock_, 5, 5));
  sync::Thread::start("pruner", [&] { EXPECT_FALSE(can_free_nodes()); }).value().join();
  add.added();
  EXPECT_TRUE(can_free_nodes());
  {
    const CacheLock::TreeBlock tree(lock_);
    ASSERT_TRUE(static_cast<bool>(tree));
    sync::Thread::start("adder",
                        [&] {
                          CacheLock::Add barred;
                          EXPECT_FALSE(barred.try_begin(lock_, 1000, 1000));
                        })
        .value()
        .join();
  }
}

// Who gives up holds nothing, and is in nobody's way. Fails if begin() sets lock_ whatever came of it.
TEST_P(CacheLockTest, GivingUpLeavesNothingBehind) {
  std::stop_source stop;
  stop.request_stop();
  const WaitLimit stopped = {.deadline = sync::Clock::kNever, .stop = stop.get_token()};
  for (const bool by_stop : {false, true}) {
    const WaitLimit limit = by_stop ? stopped : passed();
    const WaitStatus expected = by_stop ? WaitStatus::kInterrupted : WaitStatus::kTimedOut;
    {
      CacheLock::Operation operation;
      CacheLock::Block held;
      ASSERT_TRUE(block(operation, held, 0, kEnd));
      CacheLock::Operation read;
      CacheLock::Add add;
      WaitStatus status = read.begin(lock_, RwMode::kRead, limit);
      if (status == WaitStatus::kReady) status = add.begin(lock_, 3, 3, limit);
      EXPECT_EQ(status, expected);
    }
    if (is(Locking::kInode)) continue;
    CacheLock::Add adding;
    ASSERT_TRUE(adding.try_begin(lock_, 3, 3));
    sync::Thread::start("blocker",
                        [&] {
                          CacheLock::Block b;
                          EXPECT_EQ(b.begin(lock_, 0, kEnd, limit), expected);
                          EXPECT_FALSE(b.held());
                        })
        .value()
        .join();
  }
  EXPECT_TRUE(can_block(0, kEnd));
  EXPECT_TRUE(can_fill(0, kEnd));
}

}  // namespace
}  // namespace quire::cache
