// What comes into sight with the page that was accessed: its neighbours, and where a program accesses page after page,
// those that come next. The kernel tells what is in sight.
#include <gtest/gtest.h>

#include <vector>

#include "cache/test_pagemap.h"
#include "cache/test_pages.h"
#include "file/test_cuts.h"
#include "file/test_mapping.h"
#include "map/test_faults.h"

namespace quire::file {
namespace {

using map::load;
using map::value;

class MappingAround : public MappedFile {
 protected:
  // A file of so many pages, mapped, all cached where mappings can show them, and none in sight.
  void map_cached(std::size_t pages, std::size_t mapped) {
    ASSERT_TRUE(file_.write(cache::filled(pages * kPage, 'a'), 0).ok());
    map(mapped);
    ASSERT_TRUE(file_.write_and_invalidate(0, 0).ok());
    std::vector<std::byte> bytes(pages * kPage);
    ASSERT_TRUE(file_.read(bytes, 0).ok());
  }
  bool in_sight(std::size_t page) { return pagemap_.in_sight(at(page)); }
  // Loads from the page. Those that come with it may come after it, up to `end`, which is still out of sight.
  void expect_shown(std::size_t page, std::size_t first, std::size_t end) {
    EXPECT_FALSE(in_sight(page));
    EXPECT_EQ(load(at(page)), value('a'));
    cache::until([&] { return in_sight(end - 1) && in_sight(first); });
    for (std::size_t i = first; i < end; ++i) EXPECT_TRUE(in_sight(i)) << i;
    EXPECT_FALSE(in_sight(end)) << end;
  }

 private:
  const cache::Pagemap pagemap_;
};
INSTANTIATE_TEST_SUITE_P(Strategies, MappingAround, kMappedAs, mapped_as_name);

// Fails if one that is not cached, or the end of the block, does not stop it.
TEST_P(MappingAround, NeighboursThatAreCachedComeWithAPage) {
  map_cached(64, 64);
  ASSERT_TRUE(file_.write_and_invalidate(21 * kPage, kPage).ok());
  expect_shown(24, 22, 32);
  EXPECT_FALSE(in_sight(21));
  expect_shown(20, 16, 21);
  EXPECT_FALSE(in_sight(15));
}

// Fails if the row is not seen, does not grow, or grows beyond the limit.
TEST_P(MappingAround, PageAfterPageIsShownAhead) {
  constexpr std::size_t kMost = limits::kFaultAheadPagesMax;
  static_assert(limits::kFaultAroundPages == 16 && kMost == 128);
  map_cached(640, 640);
  expect_shown(0, 0, 16);
  expect_shown(16, 16, 32 + 16);
  expect_shown(48, 48, 64 + 32);
  expect_shown(96, 96, 112 + 64);
  expect_shown(176, 176, 192 + kMost);
  expect_shown(320, 320, 336 + kMost);
  // Elsewhere it begins again.
  expect_shown(568, 560, 576);
  expect_shown(576, 576, 592 + 16);
}

// Fails if the row begins anew after a page that was not there.
TEST_P(MappingAround, ARowGoesOnAfterWhatIsNotCached) {
  map_cached(640, 640);
  ASSERT_TRUE(file_.write_and_invalidate(40 * kPage, kPage).ok());
  expect_shown(0, 0, 16);
  expect_shown(16, 16, 40);
  EXPECT_EQ(load(at(40)), value('a'));
  cache::until([&] { return in_sight(48 + 32 - 1); });
  EXPECT_FALSE(in_sight(48 + 32));
}

// Fails if what lies behind the mapping's end is shown.
TEST_P(MappingAround, NothingIsShownBehindTheEnd) {
  map_cached(64, 37);
  expect_shown(0, 0, 16);
  EXPECT_EQ(load(at(16)), value('a'));
  cache::until([&] { return in_sight(36); });
  EXPECT_EQ(load(at(36)), value('a'));
}

}  // namespace
}  // namespace quire::file
