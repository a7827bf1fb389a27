// Fails if Scope counts for longer or shorter than it lives; if it counts for other threads; or if a thread that has
// ended is counted still: its number may be another's by now.
#include "cache/block_holders.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <new>

#include "cache/test_pages.h"
#include "sync/atomic.h"
#include "sync/thread.h"

namespace quire::cache {

struct BlockHoldersPeer {
  static sync::Mutex& mutex() { return BlockHolders::mutex(); }
};

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

// Fails if what was told of an access before the thread went to work counts in its next time at work.
TEST(BlockHolders, AnAccessIsToldOfTwiceInOneTimeAtWork) {
  using Access = BlockHolders::Access;
  const pid_t self = ::gettid();
  const std::array<std::byte, 2> pages{};
  EXPECT_EQ(BlockHolders::note_access(self, &pages[0]), Access::kNotAtWork);
  for (int time = 0; time < 2; ++time) {
    const BlockHolders::Scope scope;
    EXPECT_EQ(BlockHolders::note_access(self, &pages[0]), Access::kFirst);
    EXPECT_EQ(BlockHolders::note_access(self, &pages[1]), Access::kFirst);
    EXPECT_EQ(BlockHolders::note_access(self, &pages[0]), Access::kFirst);
    const BlockHolders::Scope within;
    EXPECT_EQ(BlockHolders::note_access(self, &pages[0]), Access::kAgain);
  }
  EXPECT_EQ(BlockHolders::note_access(self, &pages[0]), Access::kNotAtWork);
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

// A thread forks that has had a block, while others have one or are in the list. Fails if it counts in the child by the
// number that it has in the parent; if the parent's other threads count there; or, by SIGALRM, if the child takes the
// mutex as it finds it.
TEST(BlockHolders, TheChildOfAForkHasItsOwn) {
  { const BlockHolders::Scope before; }
  sync::Atomic<pid_t> other{0};
  sync::Atomic<bool> end{false};
  sync::Thread holder = start_thread("holder", [&] {
    const BlockHolders::Scope scope;
    other = ::gettid();
    until([&] { return end.load(); });
  });
  until([&] { return other.load() != 0; });
  pid_t child = -1;
  {
    sync::MutexLock held(BlockHoldersPeer::mutex());
    child = ::fork();
    if (child == 0) {
      ::alarm(20);
      int wrong = BlockHolders::holds(other.load()) ? 1 : 0;
      {
        const BlockHolders::Scope scope;
        wrong += BlockHolders::holds(::gettid()) ? 0 : 2;
      }
      wrong += BlockHolders::holds(::gettid()) ? 4 : 0;
      ::_exit(wrong);
    }
  }
  ASSERT_GE(child, 0);
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(BlockHolders::holds(other.load()));
  end = true;
  holder.join();
}

}  // namespace
}  // namespace quire::cache
