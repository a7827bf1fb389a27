#include "file/unsynced.h"

#include <gtest/gtest.h>

#include "quire/limits.h"

namespace quire::file {
namespace {

constexpr std::uint64_t kAll = ~std::uint64_t{0};

// Fails if a sync that succeeds clears what was written after it began.
TEST(Unsynced, WhatIsWrittenAfterASyncBeganNeedsAnother) {
  Unsynced unsynced;
  EXPECT_FALSE(unsynced.sync_needed());
  unsynced.add(3, 2);
  const Unsynced::Taken taken = unsynced.take();
  unsynced.add(9, 1);
  unsynced.succeeded(taken);
  EXPECT_TRUE(unsynced.sync_needed());
  unsynced.succeeded(unsynced.take());
  EXPECT_FALSE(unsynced.sync_needed());
  unsynced.note_change();
  EXPECT_TRUE(unsynced.sync_needed());
}

TEST(Unsynced, WhatASyncFailedOnIsWrittenAgainOnce) {
  Unsynced unsynced;
  unsynced.add(3, 3);
  (void)unsynced.take();
  unsynced.failed();
  std::uint64_t page = 0;
  for (const std::uint64_t expected : {3, 4}) {
    ASSERT_TRUE(unsynced.next_rewrite(&page));
    EXPECT_EQ(page, expected);
    unsynced.rewritten(page);
  }
  unsynced.lose(5);
  EXPECT_FALSE(unsynced.rewrite_needed());
  EXPECT_EQ(unsynced.lost(0, kAll, &page), 1u);
  EXPECT_EQ(page, 5u);
  EXPECT_EQ(unsynced.lost(0, 4, &page), 0u);
  unsynced.overwritten(5);
  EXPECT_FALSE(unsynced.any_lost());
}

// A direct write has ended: whether a sync that it ran beside fails before that is noted or after, no later sync
// succeeds without its pages. Fails if what was written is not added, or if the cure goes past the whole pages
// or misses one of them.
TEST(Unsynced, AWriteOfWholePagesCuresThemAndIsNoted) {
  Unsynced unsynced;
  unsynced.add(3, 4);
  (void)unsynced.take();
  unsynced.failed();
  unsynced.lose(5);
  unsynced.add_and_cure(3, 3, 4, 6);  // page 3 in part
  EXPECT_FALSE(unsynced.any_lost());
  EXPECT_TRUE(unsynced.to_rewrite(3));
  EXPECT_FALSE(unsynced.to_rewrite(4));
  EXPECT_FALSE(unsynced.to_rewrite(5));
  EXPECT_TRUE(unsynced.to_rewrite(6));
  (void)unsynced.take();
  EXPECT_EQ(unsynced.taken(), (Unsynced::Intervals{{3, 6}}));
  unsynced.failed();
  for (const std::uint64_t page : {3, 4, 5, 6}) EXPECT_TRUE(unsynced.to_rewrite(page)) << page;
  // Within one page.
  unsynced.add_and_cure(6, 1, 7, 6);
  EXPECT_TRUE(unsynced.to_rewrite(6));
}

// What was cured, cut away or moved while somebody waited to write it again is not lost. Fails if lose() does
// not look whether the page is still to be written again.
TEST(Unsynced, OnlyWhatIsToBeWrittenAgainCanBeLost) {
  Unsynced unsynced;
  unsynced.add(3, 3);
  (void)unsynced.take();
  unsynced.failed();
  std::uint64_t page = 0;
  ASSERT_TRUE(unsynced.next_rewrite(&page));
  unsynced.forget_range(3, 5);
  EXPECT_FALSE(unsynced.to_rewrite(page));
  unsynced.lose(page);
  EXPECT_FALSE(unsynced.any_lost());
  EXPECT_EQ(unsynced.lost(0, kAll, &page), 0u);
  unsynced.lose(5);
  EXPECT_TRUE(unsynced.any_lost());
  EXPECT_FALSE(unsynced.rewrite_needed());
}

// Fails if store_succeeded() takes out what was written while the store synced.
TEST(Unsynced, ASyncOfTheStoreCoversWhatWasThereWhenItBegan) {
  Unsynced unsynced;
  unsynced.add(1, 1);
  const std::uint64_t changes = unsynced.changes();
  unsynced.add(2, 1);
  unsynced.store_succeeded(changes);
  EXPECT_TRUE(unsynced.sync_needed());
  EXPECT_TRUE(unsynced.store_failed());
  unsynced.forget_from(0);
  unsynced.add(1, 1);
  unsynced.store_succeeded(unsynced.changes());
  EXPECT_FALSE(unsynced.store_failed());
}

// Bounded, whatever is written; and the widest gaps are left.
TEST(Unsynced, TheSmallerGapsAreClosedWhenThereAreTooMany) {
  Unsynced unsynced;
  EXPECT_FALSE(unsynced.sync_due());
  const std::uint64_t n = 3 * limits::kUnsyncedMax;
  for (std::uint64_t i = 0; i < n; ++i) unsynced.add(i * 4 + (i % 2), 1);  // gaps of 4 and 2
  EXPECT_TRUE(unsynced.sync_due());
  (void)unsynced.take();
  const Unsynced::Intervals taken = unsynced.taken();
  EXPECT_LE(taken.size(), limits::kUnsyncedMax);
  EXPECT_EQ(taken.begin()->first, 0u);
  EXPECT_EQ(taken.rbegin()->second, (n - 1) * 4 + 2);
}

// What a sync has taken moves with the bytes that it is about. Fails if a cut passes over that set, or if
// it moves an interval that begins before the cut as a whole, or not at all.
TEST(Unsynced, ACutForgetsAndMovesWhatASyncHasTaken) {
  using Intervals = Unsynced::Intervals;
  Unsynced unsynced;
  unsynced.add(2, 8);
  unsynced.add(20, 2);
  (void)unsynced.take();
  unsynced.forget_range(4, 5);
  EXPECT_EQ(unsynced.taken(), (Intervals{{2, 4}, {5, 10}, {20, 22}}));
  unsynced.inserted(6, 9);
  EXPECT_EQ(unsynced.taken(), (Intervals{{2, 4}, {5, 6}, {9, 13}, {23, 25}}));
  unsynced.collapsed(3, 11);
  EXPECT_EQ(unsynced.taken(), (Intervals{{2, 5}, {15, 17}}));
  unsynced.forget_from(16);
  EXPECT_EQ(unsynced.taken(), (Intervals{{2, 5}, {15, 16}}));
  unsynced.failed();
  unsynced.lose(15);
  ASSERT_TRUE(unsynced.any_lost());
  unsynced.collapsed(15, 16);
  EXPECT_FALSE(unsynced.any_lost());
}

}  // namespace
}  // namespace quire::file
