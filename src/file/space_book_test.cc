#include "file/space_book.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace quire::file {
namespace {

using Ranges = std::vector<PageRange>;

class SpaceBookTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kChunk = SpaceBook::kChunkPages;
  static constexpr std::uint64_t kBig = 1000 * kChunk;

  // The store's answer: the pages in `had`, and those that it gave before, had space; the others had none.
  void answer(SpaceRequest request, const Ranges& had, bool succeeded = true,
              std::uint64_t size_pages = kBig) {
    request.told = true;
    const std::uint64_t base = request.offset / limits::kPageBytes;
    for (std::size_t i = 0; i < request.pages; ++i) {
      bool has = false;
      for (const PageRange range : had) has |= base + i >= range.first && base + i < range.end;
      has = has || given_.contains(base + i);
      request.had_space[i] = has;
      request.had_none[i] = !has;
    }
    for (std::size_t i = request.first; succeeded && i < request.end; ++i) given_.insert(base + i);
    book_.answered(request, succeeded, size_pages);
  }
  // Asks for what is missing, and for what lies ahead, until all is there.
  Ranges take(PageRange need, const Ranges& had = {}, std::uint64_t size_pages = kBig) {
    Ranges asked;
    SpaceRequest request;
    while (book_.next(need, {0, kBig}, &request)) {
      book_.look_ahead(&request, size_pages);
      const std::uint64_t base = request.offset / limits::kPageBytes;
      asked.push_back({base + request.first, base + request.end});
      answer(request, had, true, size_pages);
    }
    return asked;
  }
  Ranges fresh() const { return book_.fresh({0, kBig}); }

  std::set<std::uint64_t> given_;
  cache::Counters counters_;
  SpaceBook book_{counters_};
};

TEST_F(SpaceBookTest, AsksForWhatIsMissingAndForNothingElse) {
  EXPECT_FALSE(book_.covers({3, 4}));
  EXPECT_EQ(take({3, 5}), (Ranges{{3, 5}}));
  EXPECT_TRUE(book_.covers({3, 5}));
  EXPECT_FALSE(book_.covers({2, 5}));
  EXPECT_FALSE(book_.covers({3, 6}));
  EXPECT_EQ(take({2, 7}, {{3, 5}}), (Ranges{{2, 7}}));
  EXPECT_EQ(take({2, 7}), Ranges{});
  EXPECT_EQ(fresh(), (Ranges{{2, 7}}));
  EXPECT_EQ(counters_.reserved_pages.load(), 5u);
}

// A request lies in one chunk, and looks at all of it that is held.
TEST_F(SpaceBookTest, AsksChunkByChunk) {
  SpaceRequest request;
  ASSERT_TRUE(book_.next({kChunk - 2, kChunk + 3}, {10, 2 * kChunk}, &request));
  EXPECT_EQ(request.offset, 10 * limits::kPageBytes);
  EXPECT_EQ(request.pages, kChunk - 10);
  EXPECT_EQ(request.first, kChunk - 12);
  EXPECT_EQ(request.end, kChunk - 10);
  EXPECT_EQ(take({kChunk - 2, kChunk + 3}), (Ranges{{kChunk - 2, kChunk}, {kChunk, 2 * kChunk}}))
      << "whoever crosses from one chunk to the next writes on";
  EXPECT_TRUE(book_.covers({kChunk - 2, kChunk + 3}));
}

// What had space is known for the whole chunk, is not asked for and is not ours.
TEST_F(SpaceBookTest, WhatHadSpaceIsNotFresh) {
  EXPECT_EQ(take({5, 6}, {{0, kChunk}}), (Ranges{{5, 6}}));
  EXPECT_TRUE(book_.covers({0, kChunk}));
  EXPECT_FALSE(book_.covers({0, kChunk + 1}));
  EXPECT_EQ(fresh(), Ranges{});
  EXPECT_EQ(take({0, kChunk}), Ranges{});
  // The chunk's word says so no longer when a page of it is cut.
  book_.cut({7, 8});
  EXPECT_FALSE(book_.covers({7, 8}));
  EXPECT_TRUE(book_.covers({8, kChunk}));
}

TEST_F(SpaceBookTest, LooksAheadForThoseWhoWriteOn) {
  EXPECT_EQ(take({0, 1}), (Ranges{{0, 1}})) << "most files are small";
  EXPECT_EQ(take({1, 2}), (Ranges{{1, kChunk}}));
  EXPECT_EQ(take({2, 10}), Ranges{});
  EXPECT_EQ(take({kChunk, kChunk + 1}), (Ranges{{kChunk, 2 * kChunk}}));
  EXPECT_EQ(take({9 * kChunk, 9 * kChunk + 1}), (Ranges{{9 * kChunk, 9 * kChunk + 1}}));
  EXPECT_EQ(take({7 * kChunk, 7 * kChunk + 1}), (Ranges{{7 * kChunk, 7 * kChunk + 1}}));
  EXPECT_EQ(take({9 * kChunk + 1, 9 * kChunk + 2}), (Ranges{{9 * kChunk + 1, 10 * kChunk}}))
      << "two writers of one file";
}

// A store that tells nothing: nothing could be given back, so nothing is taken ahead.
TEST_F(SpaceBookTest, LooksAheadOnlyIfItIsTold) {
  SpaceRequest request;
  for (std::uint64_t page = 0; page < 3; ++page) {
    ASSERT_TRUE(book_.next({page, page + 1}, {0, kBig}, &request));
    book_.look_ahead(&request, kBig);
    EXPECT_EQ(request.end - request.first, 1u);
    book_.answered(request, true, kBig);
  }
  EXPECT_TRUE(book_.covers({0, 3}));
  EXPECT_EQ(book_.fresh_pages(), 0u);
}

// Not beyond the end of a file behind which others have space: only truncate() would give ours back.
TEST_F(SpaceBookTest, LooksNotAheadBehindOthersSpace) {
  EXPECT_EQ(take({0, 1}, {{5, 9}}, 0), (Ranges{{0, 1}}));
  EXPECT_TRUE(book_.keeps_beyond(1));
  EXPECT_EQ(take({1, 2}, {{5, 9}}, 1), (Ranges{{1, 2}}));
  EXPECT_FALSE(book_.keeps_beyond(9));
  book_.truncated(2, true);
  EXPECT_FALSE(book_.keeps_beyond(2));
}

TEST_F(SpaceBookTest, ARefusalPromisesNothing) {
  SpaceRequest request;
  ASSERT_TRUE(book_.next({0, 4}, {0, kBig}, &request));
  answer(request, {{1, 2}}, false);
  EXPECT_TRUE(book_.covers({1, 2}));
  EXPECT_FALSE(book_.covers({0, 1}));
  EXPECT_EQ(fresh(), (Ranges{{0, 1}, {2, 4}})) << "some of it may have been taken";
}

// Where the store was asked again, its word counts.
TEST_F(SpaceBookTest, TheLastAnswerCounts) {
  SpaceRequest request;
  ASSERT_TRUE(book_.next({0, 8}, {0, kBig}, &request));
  answer(request, {}, false);
  EXPECT_EQ(book_.fresh_pages(), 8u);
  request.end = 2;
  answer(request, {}, true);
  EXPECT_EQ(fresh(), (Ranges{{0, 2}}));
  given_.clear();
  ASSERT_TRUE(book_.next({4, 5}, {0, kBig}, &request));
  answer(request, {{1, 2}}, true);
  EXPECT_FALSE(book_.covers({0, 1})) << "somebody else took it away";
  EXPECT_EQ(fresh(), (Ranges{{1, 2}, {4, 5}}));
}

TEST_F(SpaceBookTest, WrittenIsFreshNoMoreAndPromisedStill) {
  take({0, 8});
  book_.written({2, 4});
  EXPECT_EQ(fresh(), (Ranges{{0, 2}, {4, 8}}));
  EXPECT_TRUE(book_.covers({0, 8}));
  EXPECT_EQ(counters_.reserved_pages.load(), 6u);
}

TEST_F(SpaceBookTest, CutsTakeBoth) {
  take({kChunk, kChunk + 4});
  take({kChunk - 4, kChunk});
  book_.cut({kChunk - 2, kChunk + 2});
  EXPECT_EQ(fresh(), (Ranges{{kChunk - 4, kChunk - 2}, {kChunk + 2, kChunk + 4}}));
  EXPECT_FALSE(book_.covers({kChunk - 2, kChunk - 1}));
  EXPECT_TRUE(book_.covers({kChunk + 2, kChunk + 4}));
  book_.truncated(kChunk + 3, true);
  EXPECT_EQ(fresh(), (Ranges{{kChunk - 4, kChunk - 2}, {kChunk + 2, kChunk + 3}}));
  // What only made the object longer took nothing away, but who knows.
  book_.truncated(kChunk - 3, false);
  EXPECT_FALSE(book_.covers({kChunk - 3, kChunk - 2}));
  EXPECT_EQ(fresh(), (Ranges{{kChunk - 4, kChunk - 2}, {kChunk + 2, kChunk + 3}}));
  book_.forget();
  EXPECT_EQ(book_.fresh_pages(), 0u);
  EXPECT_EQ(counters_.reserved_pages.load(), 0u);
  EXPECT_EQ(counters_.space_chunks.load(), 0u);
}

TEST_F(SpaceBookTest, WhatOthersAskedForIsNotGivenBack) {
  take({0, 8});
  book_.kept({2, 6});
  EXPECT_EQ(fresh(), (Ranges{{0, 2}, {6, 8}}));
  EXPECT_TRUE(book_.covers({0, 8}));
  EXPECT_TRUE(book_.keeps_beyond(3));
}

TEST_F(SpaceBookTest, AfterADoubtTheStoreIsAskedAgain) {
  take({0, 8});
  book_.doubt({0, 4});
  EXPECT_FALSE(book_.covers({3, 4}));
  EXPECT_TRUE(book_.covers({4, 8}));
  EXPECT_EQ(fresh(), (Ranges{{0, 8}}));
  EXPECT_EQ(take({0, 8}, {{0, 8}}), (Ranges{{0, 4}}));
  EXPECT_EQ(fresh(), (Ranges{{0, 8}}));
}

TEST_F(SpaceBookTest, GivesUp) {
  take({0, 2});
  book_.give_up();
  EXPECT_TRUE(book_.covers({100, 10 * kChunk}));
  SpaceRequest request;
  EXPECT_FALSE(book_.next({100, 200}, {0, kBig}, &request));
  EXPECT_EQ(book_.fresh_pages(), 0u);
}

// Bounded, whatever is written; chunks with fresh pages stay.
TEST_F(SpaceBookTest, ForgetsWhatCanBeAskedAgain) {
  take({0, 1});
  for (std::uint64_t chunk = 1; chunk < 2 * limits::kSpaceChunksMax; ++chunk) {
    const std::uint64_t page = chunk * kChunk;
    SpaceRequest request;
    ASSERT_TRUE(book_.next({page, page + 1}, {page, page + kChunk}, &request));
    answer(request, {{page, page + kChunk}});
  }
  EXPECT_LE(counters_.space_chunks.load(), limits::kSpaceChunksMax);
  EXPECT_EQ(fresh(), (Ranges{{0, 1}}));
  EXPECT_TRUE(book_.covers({0, 1}));
  EXPECT_FALSE(book_.covers({kChunk, kChunk + 1})) << "no longer known";
  const std::uint64_t last = (2 * limits::kSpaceChunksMax - 1) * kChunk;
  EXPECT_TRUE(book_.covers({last, last + kChunk}));
}

}  // namespace
}  // namespace quire::file
