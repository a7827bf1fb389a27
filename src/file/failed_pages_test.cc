#include "file/failed_pages.h"

#include <gtest/gtest.h>

#include <chrono>

#include "file/test_no_memory.h"

namespace quire::file {
namespace {

using Pages = FailedPages::Run;

FailedPages::Time at_ms(int ms) {
  return FailedPages::Time(std::chrono::milliseconds(ms));
}

TEST(FailedPages, NoneIsNeverDue) {
  FailedPages failed;
  EXPECT_EQ(failed.next(), sync::Clock::kNever);
  EXPECT_EQ(failed.due(sync::Clock::kNever), std::nullopt);
  EXPECT_EQ(failed.until(0), std::nullopt);
}

// Fails if the first of them sets the time of all, or what lies between is due too.
TEST(FailedPages, EachHasItsTime) {
  FailedPages failed;
  ASSERT_TRUE(failed.add(0, at_ms(50)));
  ASSERT_TRUE(failed.add(32, at_ms(95)));
  EXPECT_EQ(failed.next(), at_ms(50));
  EXPECT_EQ(failed.due(at_ms(49)), std::nullopt);
  EXPECT_EQ(failed.due(at_ms(50)), (Pages{0, 1}));
  failed.remove({0, 1}, at_ms(50));
  EXPECT_EQ(failed.until(0), std::nullopt);
  EXPECT_EQ(failed.until(32), at_ms(95));
  EXPECT_EQ(failed.next(), at_ms(95));
  EXPECT_EQ(failed.due(at_ms(94)), std::nullopt);
  EXPECT_EQ(failed.due(at_ms(95)), (Pages{32, 33}));
}

// Fails if it is due at its first time, or twice.
TEST(FailedPages, OneThatFailsAgainIsDueLater) {
  FailedPages failed;
  ASSERT_TRUE(failed.add(7, at_ms(50)));
  ASSERT_TRUE(failed.add(7, at_ms(80)));
  EXPECT_EQ(failed.next(), at_ms(80));
  EXPECT_EQ(failed.due(at_ms(79)), std::nullopt);
  // At the same time once more.
  ASSERT_TRUE(failed.add(7, at_ms(80)));
  EXPECT_EQ(failed.due(at_ms(80)), (Pages{7, 8}));
  failed.remove(7);
  EXPECT_EQ(failed.next(), sync::Clock::kNever);
}

// Fails if a neighbour that is not due yet goes with them.
TEST(FailedPages, NeighboursGoTogether) {
  FailedPages failed;
  ASSERT_TRUE(failed.add(5, at_ms(10)));
  ASSERT_TRUE(failed.add(6, at_ms(11)));
  ASSERT_TRUE(failed.add(4, at_ms(12)));
  ASSERT_TRUE(failed.add(3, at_ms(30)));
  ASSERT_TRUE(failed.add(7, at_ms(30)));
  ASSERT_TRUE(failed.add(9, at_ms(12)));
  EXPECT_EQ(failed.due(at_ms(20)), (Pages{4, 7}));
  // One of them fails again before that is done.
  ASSERT_TRUE(failed.add(5, at_ms(40)));
  failed.remove({4, 7}, at_ms(20));
  EXPECT_EQ(failed.until(5), at_ms(40));
  EXPECT_EQ(failed.due(at_ms(20)), (Pages{9, 10}));
  failed.remove({9, 10}, at_ms(20));
  EXPECT_EQ(failed.due(at_ms(30)), (Pages{3, 4}));
  EXPECT_EQ(failed.due(at_ms(40)), (Pages{3, 4}));
  failed.remove({3, 4}, at_ms(40));
  EXPECT_EQ(failed.due(at_ms(40)), (Pages{7, 8}));
}

// Fails if half of it stays.
TEST(FailedPages, WithoutMemoryNothingChanges) {
  FailedPages failed;
  ASSERT_TRUE(failed.add(1, at_ms(10)));
  for (const std::size_t left : {0, 1}) {
    bool added = false;
    {
      const NoMemory once(left, 1);
      added = failed.add(2, at_ms(5));
    }
    EXPECT_FALSE(added);
    EXPECT_EQ(failed.until(2), std::nullopt);
    EXPECT_EQ(failed.next(), at_ms(10));
  }
  // One that is there already.
  {
    const NoMemory once(0, 1);
    EXPECT_FALSE(failed.add(1, at_ms(20)));
  }
  EXPECT_EQ(failed.due(at_ms(10)), (Pages{1, 2}));
}

}  // namespace
}  // namespace quire::file
