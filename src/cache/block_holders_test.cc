// Fails if Scope counts for longer or shorter than it lives; if it counts for other threads; or if a thread that has
// ended is counted still: its number may be another's by now.
#include "cache/block_holders.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <new>

#include "cache/test_pages.h"
#include "sync/atomic.h"
#include "sync/thread.h"

namespace quire::cache {
namespace {

TEST(BlockHolders, AThreadCountsWhileItHasABlock) {
  const pid_t self = ::gettid();
  EXPECT_FALSE(BlockHolders::holds(self));
  {
    const BlockHolders::Scope outer;
    EXPECT_TRUE(BlockHolders::holds(self));
    {
      const BlockHolders::Scope inner;
      EXPECT_TRUE(BlockHolders::holds(self));
    }
    EXPECT_TRUE(BlockHolders::holds(self));
  }
  EXPECT_FALSE(BlockHolders::holds(self));
}

TEST(BlockHolders, NobodyElseDoes) {
  sync::Atomic<pid_t> other{0};
  sync::Atomic<bool> leave{false};
  sync::Atomic<bool> left{false};
  sync::Atomic<bool> end{false};
  sync::Thread holder = start_thread("holder", [&] {
    {
      const BlockHolders::Scope scope;
      other = ::gettid();
      until([&] { return leave.load(); });
    }
    left = true;
    until([&] { return end.load(); });
  });
  until([&] { return other.load() != 0; });
  EXPECT_TRUE(BlockHolders::holds(other.load()));
  EXPECT_FALSE(BlockHolders::holds(::gettid()));
  leave = true;
  until([&] { return left.load(); });
  EXPECT_FALSE(BlockHolders::holds(other.load())) << "a thread that has ended its cut";
  end = true;
  holder.join();
  EXPECT_FALSE(BlockHolders::holds(other.load())) << "a thread that is gone";
}

// A thread that ends in the middle, as one that is cancelled may. Fails if ~Holder() leaves it in the list.
TEST(BlockHolders, AThreadThatEndsTakesItsBlocksAlong) {
  alignas(BlockHolders::Scope) std::byte place[sizeof(BlockHolders::Scope)];
  sync::Atomic<pid_t> other{0};
  sync::Atomic<bool> end{false};
  sync::Thread holder = start_thread("holder", [&] {
    new (place) BlockHolders::Scope;  // never left
    other = ::gettid();
    until([&] { return end.load(); });
  });
  until([&] { return other.load() != 0; });
  EXPECT_TRUE(BlockHolders::holds(other.load()));
  end = true;
  holder.join();
  EXPECT_FALSE(BlockHolders::holds(other.load()));
}

}  // namespace
}  // namespace quire::cache
