// Which pages a first store lets through besides its own. The kernel tells which may be stored into without a fault.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cache/test_pagemap.h"
#include "cache/test_pages.h"
#include "file/test_cuts.h"
#include "file/test_mapping.h"
#include "map/test_faults.h"

namespace quire::file {
namespace {

using map::value;

class MappingStoresAhead : public MappedFile {
 protected:
  // A file of so many pages, mapped, all of them clean and in sight of the first `mapped`.
  void map_clean(std::size_t pages, std::size_t mapped) {
    ASSERT_TRUE(file_.write(cache::filled(pages * kPage, 'a'), 0).ok());
    ASSERT_TRUE(file_.sync().ok());
    map(mapped);
    ASSERT_TRUE(map_->populate(0, std::min(pages, mapped) * kPage, MapAccess::kRead).ok());
    ASSERT_TRUE(map_->advise(0, 0, Advice::kSequential).ok());
    ASSERT_EQ(dirty(), 0u);
  }
  bool may_store(std::size_t page) { return pagemap_.may_store(at(page)); }
  std::uint64_t dirty() { return cache_->stats().dirty_pages; }
  // A store to the page, which lets those up to `end` through.
  void expect_let(std::size_t page, std::size_t end) {
    EXPECT_FALSE(may_store(page)) << page;
    const std::uint64_t before = dirty();
    EXPECT_EQ(map::store(at(page), 's'), value('s'));
    for (std::size_t i = page; i < end; ++i) EXPECT_TRUE(may_store(i)) << i;
    const bool inside = end * kPage < map_->size();
    EXPECT_FALSE(inside && may_store(end)) << end;
    if (HasFailure()) return;
    // Who answered may have pages to let go of still.
    cache::until([&] { return dirty() >= before + (end - page); });
    EXPECT_EQ(dirty(), before + (end - page));
  }

 private:
  const cache::Pagemap pagemap_;
};
INSTANTIATE_TEST_SUITE_P(Strategies, MappingStoresAhead, kMappedAs, mapped_as_name);

// Fails if the row is not seen, or more is let through than was stored into before.
TEST_P(MappingStoresAhead, PageAfterPageIsLetThroughAhead) {
  map_clean(256, 256);
  expect_let(0, 1);
  expect_let(1, 2);
  expect_let(2, 2 + 1 + 2);
  expect_let(5, 5 + 1 + 4);
  expect_let(10, 10 + 1 + 8);
  expect_let(19, 19 + 1 + 16);
  expect_let(36, 36 + 1 + 32);
  static_assert(limits::kStoresAheadPagesMax == 64);
  expect_let(69, 69 + 1 + 64);
  expect_let(134, 134 + 1 + 64);
  // Elsewhere it begins again.
  expect_let(240, 241);
  expect_let(241, 242);
  expect_let(242, 242 + 1 + 2);
}

// Fails if a page that was let through ahead is not written back, or not protected for it.
TEST_P(MappingStoresAhead, WhatWasLetThroughAheadIsWrittenAndAskedAboutAgain) {
  map_clean(16, 16);
  expect_let(0, 1);
  expect_let(1, 2);
  expect_let(2, 5);
  EXPECT_EQ(map::store(at(4), 't'), value('t'));
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(dirty(), 0u);
  for (std::size_t page = 0; page < 16; ++page) EXPECT_FALSE(may_store(page)) << page;
  EXPECT_EQ(static_cast<char>(store_->contents("f").at(4 * kPage)), 't');
  EXPECT_EQ(static_cast<char>(store_->contents("f").at(3 * kPage)), 'a');
  expect_let(4, 5);
  EXPECT_EQ(map::store(at(4), 'u'), value('u'));
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(static_cast<char>(store_->contents("f").at(4 * kPage)), 'u');
}

// Fails if pages out of sight are left out, or one that is in sight already stops the whole.
TEST_P(MappingStoresAhead, WhatIsOutOfSightComesWithIt) {
  ASSERT_TRUE(file_.write(cache::filled(16 * kPage, 'a'), 0).ok());
  map(16);
  ASSERT_TRUE(map_->advise(0, 0, Advice::kSequential).ok());
  ASSERT_TRUE(file_.write_and_invalidate(0, 0).ok());
  std::vector<std::byte> bytes(16 * kPage);
  ASSERT_TRUE(file_.read(bytes, 0).ok());
  expect_let(0, 1);
  expect_let(1, 2);
  expect_let(2, 5);
}

// Fails if one of the limits is not looked at.
TEST_P(MappingStoresAhead, NothingIsLetThroughBehindTheEnd) {
  map_clean(10, 12);
  expect_let(5, 6);
  expect_let(6, 7);
  expect_let(7, 10);
  ASSERT_TRUE(file_.sync().ok());
  map_.reset();
  map_clean(16, 4);
  expect_let(0, 1);
  expect_let(1, 2);
  expect_let(2, 4);
}

TEST_P(MappingStoresAhead, WhatTheProgramMayNotStoreIntoIsLeft) {
  map_clean(16, 16);
  ASSERT_TRUE(map_->protect(4 * kPage, kPage, MapAccess::kRead).ok());
  expect_let(0, 1);
  expect_let(1, 2);
  expect_let(2, 3);
  EXPECT_EQ(dirty(), 3u);
}

// Who has not asked for it gets no page dirty that is not stored into.
TEST_P(MappingStoresAhead, UnderOtherAdviceAPageIsLetThroughAlone) {
  map_clean(16, 16);
  ASSERT_TRUE(map_->advise(0, 0, Advice::kNormal).ok());
  for (std::size_t page = 0; page < 6; ++page) expect_let(page, page + 1);
  ASSERT_TRUE(map_->advise(0, 0, Advice::kRandom).ok());
  for (std::size_t page = 6; page < 12; ++page) expect_let(page, page + 1);
}

// Fails if a page is made dirty that has no space at the store.
TEST_P(MappingStoresAhead, WhatHasNoSpaceIsLeft) {
  make({.capacity_bytes = 4 * kPage, .reserves_space = true});
  ASSERT_TRUE(file_.truncate(8 * kPage).ok());
  map(8);
  ASSERT_TRUE(map_->advise(0, 0, Advice::kSequential).ok());
  ASSERT_TRUE(map_->populate(0, 0, MapAccess::kRead).ok());
  for (std::size_t page = 0; page < 4; ++page) expect_let(page, page + 1);
  EXPECT_EQ(map::store(at(4), 's'), map::kBus);
  ASSERT_TRUE(file_.sync().ok());
}

}  // namespace
}  // namespace quire::file
