// Fails if Scope counts for longer or shorter than it lives; if it counts for other threads; or if one that has ended
// is counted under the number that another has by now.
#include "cache/block_holders.h"

#include <gtest/gtest.h>
#include <unistd.h>

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

}  // namespace
}  // namespace quire::cache
