// Misses: what a fill takes of memory, where it stops, and what it leaves alone.
#include "cache/fill.h"

#include <gtest/gtest.h>

#include "cache/test_pages.h"

namespace quire::cache {
namespace {

constexpr std::size_t kPage = limits::kPageBytes;
constexpr std::uint32_t kFrames = 64;

std::uint32_t in_use(OneFile& file) {
  return kFrames - file.cache->memory().pool().free_frames();
}

// Reads pages of `other`, of another file of the cache, until no frame is free.
void use_all_frames(OneFile& file) {
  std::uint64_t next = 1000;
  while (file.cache->memory().pool().free_frames() > 0) {
    PinnedRun run;
    ASSERT_FALSE(fill_run(*file.pages, next++, 1, {}, run));
    ASSERT_EQ(run.pages(), 1u);
  }
}

// Fails if frames are taken for pages past the end of the file: others' pages are evicted for nothing.
TEST(Fill, AShortFileTakesWhatItHas) {
  OneFile file(filled(2000 * kPage, 'a'));
  file.pages->set_size_bytes(1200 * kPage);
  use_all_frames(file);
  const std::uint64_t evicted = file.cache->memory().evicted();
  file.pages->set_size_bytes(500 * kPage + 1);  // page 500 is the last, in a leaf of its own
  {
    PinnedRun run;
    ASSERT_FALSE(fill_run(*file.pages, 500, limits::kStoreIoMaxPieces, {}, run));
    EXPECT_EQ(run.pages(), 1u);
  }
  // One batch of eviction at most, not a run's worth.
  EXPECT_LE(file.cache->memory().evicted() - evicted, 32u);
  EXPECT_EQ(start_fill(*file.pages, 501, 32, Marker::kFirst).pages, 0u);
  EXPECT_FALSE(start_fill(*file.pages, 501, 32, Marker::kFirst).refused);
}

// Fails if pages that are there count as pages to find frames for, or end the readahead.
TEST(Fill, ReadaheadGoesOnBehindPagesThatAreThere) {
  OneFile file(filled(16 * kPage, 'a'));
  {
    PinnedRun run;
    ASSERT_FALSE(fill_run(*file.pages, 2, 3, {}, run));
    ASSERT_EQ(run.pages(), 3u);
  }
  const std::uint32_t before = in_use(file);
  Started started = start_fill(*file.pages, 2, 6, Marker::kFirst);
  EXPECT_EQ(started.pages, 6u);
  EXPECT_FALSE(started.refused);
  EXPECT_EQ(in_use(file), before + 3) << "pages 5, 6 and 7";
  EXPECT_TRUE(file.value(5).marker());
  EXPECT_FALSE(file.value(2).marker());

  started = start_fill(*file.pages, 2, 6, Marker::kFirst);
  EXPECT_EQ(started.pages, 6u) << "all are there";
  EXPECT_EQ(in_use(file), before + 3);
}

// Fails if start_fill takes its frames whatever it may have to leave others.
TEST(Fill, ReadaheadWithoutMemorySaysSo) {
  OneFile file(filled(16 * kPage, 'a'));
  FrameSet all(file.cache->memory());
  file.cache->memory().try_acquire(all, kFrames);
  const Started started = start_fill(*file.pages, 0, 8, Marker::kFirst);
  EXPECT_EQ(started.pages, 0u);
  EXPECT_TRUE(started.refused);
}

// Fails if the one who waits behind a cut keeps the frames of its whole run: with a few such readers
// nobody else finds any.
TEST(Fill, WhoWaitsAtTheGateGivesBackWhatOnePageDoesNotNeed) {
  OneFile file(filled(40 * kPage, 'a'));
  CacheLock::Block block;
  ASSERT_EQ(block.begin(file.pages->lock(), 0, ~std::uint64_t{0}, {}), sync::WaitStatus::kReady);
  sync::Thread reader = start_thread("reader", [&] {
    PinnedRun run;
    EXPECT_FALSE(fill_run(*file.pages, 0, 32, {}, run));
    EXPECT_GE(run.pages(), 1u) << "as far as its frames go";
  });
  until([&] { return file.pages->lock().waiting_count(sync::GateSide::kAdd) == 1; });
  EXPECT_LE(in_use(file), 4u);
  block.end();
  reader.join();
}

// Fails if the walk stops at a leaf that is not there, or counts present pages.
TEST(Fill, AbsentRun) {
  OneFile file(filled(2000 * kPage, 'a'));
  EXPECT_EQ(file.pages->absent_run(0, 700), 700u) << "no leaf at all";
  PinnedRun run;
  ASSERT_FALSE(fill_run(*file.pages, 600, 1, {}, run));
  EXPECT_EQ(file.pages->absent_run(0, 700), 600u);
  EXPECT_EQ(file.pages->absent_run(600, 8), 0u);
  EXPECT_EQ(file.pages->absent_run(601, 8), 8u);
}

}  // namespace
}  // namespace quire::cache
