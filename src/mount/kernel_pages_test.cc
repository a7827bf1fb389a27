#include "mount/kernel_pages.h"

#include <gtest/gtest.h>

namespace quire::mount {
namespace {

using Ranges = std::vector<ByteRange>;
constexpr std::uint64_t kPage = 4096;

TEST(KernelPages, NothingHeldNeedsNoDropAndKeepsNothing) {
  KernelPages pages;
  EXPECT_EQ(pages.written({0, 100}), 0U);
  pages.granted({kPage, 2 * kPage});
  EXPECT_EQ(pages.written({0, kPage}), 0U) << "the page beside it is not held";
  EXPECT_EQ(pages.may_write({0, kPage}), (Ranges{{0, kPage}}));
}

TEST(KernelPages, AWriteBackDoesNotUndoWhatWasWrittenSinceTheGrant) {
  KernelPages pages;
  pages.granted({0, kPage});
  EXPECT_NE(pages.written({100, 200}), 0U);
  EXPECT_EQ(pages.may_write({0, kPage}), (Ranges{{0, 100}, {200, kPage}}));
}

TEST(KernelPages, ANewGrantHasWhatWasWrittenBefore) {
  KernelPages pages;
  pages.granted({0, kPage});
  (void)pages.written({100, 200});
  pages.granted({0, kPage});
  EXPECT_EQ(pages.may_write({0, kPage}), (Ranges{{0, kPage}}));
}

TEST(KernelPages, WritesOverlapAndTouch) {
  KernelPages pages;
  pages.granted({0, 2 * kPage});
  (void)pages.written({50, 150});
  (void)pages.written({100, 200});
  (void)pages.written({200, 250});
  EXPECT_EQ(pages.may_write({0, kPage}), (Ranges{{0, 50}, {250, kPage}}));
  EXPECT_EQ(pages.may_write({60, 240}), Ranges{});
}

TEST(KernelPages, AWriteOverTwoPagesIsKeptInBoth) {
  KernelPages pages;
  pages.granted({0, 2 * kPage});
  (void)pages.written({kPage - 1, kPage + 1});
  EXPECT_EQ(pages.may_write({0, 2 * kPage}), (Ranges{{0, kPage - 1}, {kPage + 1, 2 * kPage}}));
}

TEST(KernelPages, DroppedForgetsWhatTheTicketCovers) {
  KernelPages pages;
  pages.granted({0, kPage});
  const std::uint64_t first = pages.written({0, 10});
  const std::uint64_t second = pages.written({20, 30});
  ASSERT_GT(second, first);
  pages.dropped({0, 10}, first, true);
  EXPECT_EQ(pages.may_write({0, kPage}), (Ranges{{0, 20}, {30, kPage}}))
      << "the second write's own drop has not happened yet";
  pages.dropped({20, 30}, second, true);
  EXPECT_EQ(pages.may_write({0, kPage}), (Ranges{{0, kPage}}));
  EXPECT_EQ(pages.written({0, 10}), 0U) << "the kernel holds nothing any more";
}

TEST(KernelPages, AGrantDuringTheDropIsHeld) {
  KernelPages pages;
  pages.granted({0, kPage});
  const std::uint64_t ticket = pages.written({0, 10});
  pages.granted({0, kPage});  // a fault after the write, before the kernel was asked
  pages.dropped({0, 10}, ticket, true);
  EXPECT_NE(pages.written({0, 10}), 0U);
}

TEST(KernelPages, WhatTheKernelCannotDropStaysKept) {
  KernelPages pages;
  pages.granted({0, kPage});
  const std::uint64_t ticket = pages.written({0, 10});
  pages.dropped({0, 10}, ticket, false);
  EXPECT_EQ(pages.may_write({0, kPage}), (Ranges{{10, kPage}}));
  EXPECT_NE(pages.written({0, 10}), 0U) << "the next write must ask again";
}

// Fails if what nobody knows counts as written, or needs no drop.
TEST(KernelPages, WhatIsDoubtedIsDroppedAndMayBeWrittenBack) {
  KernelPages pages;
  EXPECT_EQ(pages.doubted({0, kPage}), 0U);
  pages.granted({kPage, 2 * kPage});
  EXPECT_EQ(pages.doubted({0, kPage}), 0U) << "the page beside it is not held";
  const std::uint64_t written = pages.written({kPage, kPage + 10});
  const std::uint64_t doubted = pages.doubted({0, 2 * kPage});
  EXPECT_GT(doubted, written);
  EXPECT_EQ(pages.may_write({kPage, 2 * kPage}), (Ranges{{kPage + 10, 2 * kPage}}));
  pages.granted({0, kPage});
  pages.dropped({0, 2 * kPage}, doubted, true);
  EXPECT_EQ(pages.may_write({kPage, 2 * kPage}), (Ranges{{kPage, 2 * kPage}}));
  EXPECT_NE(pages.doubted({0, kPage}), 0U) << "granted meanwhile";
}

TEST(KernelPages, ACutForgetsWhatLiesBehindIt) {
  KernelPages pages;
  pages.granted({0, 3 * kPage});
  (void)pages.written({0, 3 * kPage});
  pages.cut(kPage + 1);
  EXPECT_EQ(pages.may_write({0, 3 * kPage}), (Ranges{{2 * kPage, 3 * kPage}}));
}

TEST(KernelPages, BeyondItsMemoryEveryPageCountsAsHeld) {
  KernelPages pages;
  const std::uint64_t piece = limits::kGrantPiecePages * kPage;
  for (std::uint64_t i = 0; i <= limits::kGrantPiecesMax; ++i) {
    pages.granted({i * piece, i * piece + 1});
  }
  EXPECT_NE(pages.written({5 * kPage, 5 * kPage + 1}), 0U);
  const std::uint64_t far = (limits::kGrantPiecesMax + 7) * piece;
  EXPECT_NE(pages.written({far, far + 1}), 0U);
}

// A hole of a terabyte is punched into a file of which the kernel holds two pages. Fails, by its time, if
// written() looks at every page.
TEST(KernelPages, WhatIsCutMayBeLarge) {
  KernelPages pages;
  const std::uint64_t far = std::uint64_t{1} << 40;
  pages.granted({kPage, 2 * kPage});
  pages.granted({far, far + kPage});
  const std::uint64_t ticket = pages.written({0, far + 1});
  EXPECT_NE(ticket, 0u);
  EXPECT_EQ(pages.may_write({kPage, 2 * kPage}), (std::vector<ByteRange>{}));
  EXPECT_EQ(pages.may_write({far, far + kPage}), (std::vector<ByteRange>{{far + 1, far + kPage}}));
  pages.dropped({0, far + 1}, ticket, true);
  EXPECT_EQ(pages.written({0, far + 1}), 0u);
}

// Fails if a grant since the recall does not count, or if what was dropped is remembered.
TEST(KernelPages, ARecalledFileIsHeldNoMoreUnlessItWasGrantedSince) {
  KernelPages pages;
  pages.granted({0, kPage});
  (void)pages.written({0, 10});
  const std::uint64_t before = pages.grants();
  pages.granted({kPage, 2 * kPage});
  EXPECT_FALSE(pages.dropped_all(before));
  EXPECT_TRUE(pages.any());
  EXPECT_TRUE(pages.dropped_all(pages.grants()));
  EXPECT_FALSE(pages.any());
  EXPECT_EQ(pages.written({0, 2 * kPage}), 0u);
  EXPECT_EQ(pages.may_write({0, kPage}), (std::vector<ByteRange>{{0, kPage}}));
}

}  // namespace
}  // namespace quire::mount
