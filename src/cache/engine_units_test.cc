// Small units of the engine: frames, snapshot buffers, the dirty budget, readahead. Waiting is by chosen
// interleavings; no test sleeps.
#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "cache/dirty_budget.h"
#include "cache/frame_pool.h"
#include "cache/readahead.h"
#include "cache/snapshot_pool.h"
#include "cache/test_pages.h"
#include "cache/test_smaps.h"
#include "cache/writeback.h"

namespace quire::cache {
namespace {

// Fails if lend() does not say so: the kernel may make huge pages of what is left, and the memory is taken again.
TEST(FramePool, NothingIsMadeHugeAgainWhereFramesAreLent) {
  if (!kernel_has_huge_pages()) GTEST_SKIP() << kNoHugePages;
  const auto pool = std::move(FramePool::create(4096).value());
  const std::byte* const last = pool->bytes(4095);
  EXPECT_EQ(flags_of(last).find(" nh "), std::string::npos) << flags_of(last);
  pool->lend(7);
  EXPECT_NE(flags_of(last).find(" nh "), std::string::npos) << flags_of(last);
}

// Fails if steal() leaves a stash out: the frames that this thread freed lie in one.
TEST(FramePool, EveryFrameIsFoundWhereverItIsStashed) {
  auto pool = std::move(FramePool::create(100).value());
  std::set<FrameNumber> mine;
  for (int i = 0; i < 100; ++i) mine.insert(pool->allocate());
  EXPECT_EQ(mine.size(), 100u);
  EXPECT_EQ(mine.count(kNoFrame), 0u);
  EXPECT_EQ(pool->allocate(), kNoFrame);
  for (const FrameNumber frame : mine) pool->free(frame);
  EXPECT_EQ(pool->free_frames(), 100u);
  std::size_t found = 0;
  start_thread("thief", [&] {
    while (pool->allocate() != kNoFrame) ++found;
  }).join();
  EXPECT_EQ(found, 100u);
}

// Fails if release() gives the buffer to the last waiter, or a waiter that gave up stays in the queue.
TEST(SnapshotPool, WaitersAreServedInTurnAndMayGiveUp) {
  auto pool = std::move(SnapshotPool::create(1, limits::kPageBytes).value());
  sync::WaitStatus status;
  std::byte* const only = pool->acquire({}, status);
  ASSERT_NE(only, nullptr);
  EXPECT_EQ(pool->try_acquire(), nullptr);
  EXPECT_EQ(pool->acquire({sync::Clock::now(), {}}, status), nullptr);
  EXPECT_EQ(status, sync::WaitStatus::kTimedOut);
  pool->release(only);
  EXPECT_EQ(pool->acquire({}, status), only);
  pool->release(only);
}

// Fails if take() lets a newcomer past a waiter, or give() wakes nobody.
TEST(DirtyBudget, WaitersAreServedInTurn) {
  DirtyBudget budget(4, [] {});
  ASSERT_FALSE(budget.take(4, {}));
  sync::Thread large = start_thread("large", [&] { EXPECT_FALSE(budget.take(3, {})); });
  until([&] { return budget.waits().count() == 1; });
  budget.give(1);
  EXPECT_FALSE(budget.try_take(1)) << "the one who waits for three comes first";
  EXPECT_EQ(budget.take(1, {sync::Clock::now(), {}}), Errc::kTimedOut);
  budget.give(2);
  large.join();
  EXPECT_EQ(budget.taken(), 4u);
  budget.give(4);
}

// Fails if windows do not double, or on_marker does not begin where the last window ended.
TEST(Readahead, GrowsForASequentialReaderAndIsSteadyByItsMarkers) {
  Readahead ra(64);
  Readahead::Window w = ra.on_miss(0, 1);
  EXPECT_EQ(w.first, 1u);
  EXPECT_EQ(w.pages, 4u);
  EXPECT_EQ(ra.on_started(w, w.pages, false).pages, 0u);
  for (const std::size_t expected : {8u, 16u, 32u}) {
    const std::uint64_t end = w.first + w.pages;
    w = ra.on_marker(w.first);
    EXPECT_EQ(w.first, end);
    EXPECT_EQ(w.pages, expected);
    EXPECT_EQ(ra.on_started(w, w.pages, false).pages, 0u);
  }
  // As large as they get: from now on the reader has two whole windows ahead of the one it reads.
  std::uint64_t end = w.first + w.pages;
  std::uint64_t reading = w.first;
  for (int round = 0; round < 5; ++round) {
    for (w = ra.on_marker(reading); w.pages > 0; w = ra.on_started(w, w.pages, false)) {
      EXPECT_EQ(w.first, end);
      EXPECT_EQ(w.pages, 64u);
      end += w.pages;
    }
    reading += round == 0 ? 32 : 64;
  }
  EXPECT_EQ(end, reading + 2 * 64);
}

// Fails if windows that nothing could be started of are followed by others.
TEST(Readahead, StopsWhereNothingCanBeStarted) {
  Readahead ra(64);
  ra.advise(Advice::kSequential);
  const Readahead::Window w = ra.on_miss(0, 1);
  EXPECT_EQ(w.pages, 64u);
  const Readahead::Window next = ra.on_started(w, 10, false);
  EXPECT_EQ(next.pages, 64u) << "cut short, by a leaf's end";
  EXPECT_EQ(next.first, w.first + 10);
  EXPECT_EQ(ra.on_started(next, 0, false).pages, 0u);
}

// Fails if the end of a file counts as want of memory.
TEST(Readahead, TheEndOfTheFileIsNoFailure) {
  Readahead ra(64);
  for (int i = 0; i < 2 * Readahead::kFailuresMax; ++i) {
    const Readahead::Window w = ra.on_miss(0, 1);
    ASSERT_GT(w.pages, 0u);
    EXPECT_EQ(ra.on_started(w, 0, false).pages, 0u);
    EXPECT_FALSE(ra.paused());
  }
}

// Fails if what became of one reader's window is taken for another's.
TEST(Readahead, AWindowThatIsNoLongerTheLastIsIgnored) {
  Readahead ra(64);
  const Readahead::Window old = ra.on_miss(0, 1);
  const Readahead::Window now = ra.on_miss(0, 8);
  ASSERT_NE(old.first, now.first);
  EXPECT_EQ(ra.on_started(old, 0, true).pages, 0u);
  EXPECT_EQ(ra.on_marker(now.first).first, now.first + now.pages);
}

// Fails if a jump keeps the window, or failures do not lead to a pause.
TEST(Readahead, LeavesRandomReadersAloneAndGivesUpWithoutMemory) {
  Readahead ra(64);
  EXPECT_EQ(ra.on_miss(1000, 1).pages, 0u);
  EXPECT_EQ(ra.on_miss(5, 1).pages, 0u);
  std::uint64_t at = 6;
  for (int i = 0; i < Readahead::kFailuresMax; ++i) {
    const Readahead::Window w = ra.on_miss(at, 1);
    ASSERT_GT(w.pages, 0u);
    (void)ra.on_started(w, 0, true);
    ++at;
  }
  EXPECT_TRUE(ra.paused());
  ra.advise(Advice::kRandom);
  EXPECT_EQ(ra.on_miss(0, 1).pages, 0u);
  ra.advise(Advice::kSequential);
  EXPECT_EQ(ra.on_miss(0, 1).pages, 64u);
}

// Fails if send() does not join neighbours: four requests then, and not two.
TEST(Writeback, NeighboursLeaveAsOneRequest) {
  OneFile file;
  for (const std::uint64_t index : {3u, 1u, 2u, 9u}) ASSERT_FALSE(file.write(index, 'a'));
  EXPECT_EQ(flush_all(*file.pages, 0, ~std::uint64_t{0}, {}).pages, 4u);
  EXPECT_EQ(file.cache->counters().write_requests.load(), 2u);
  EXPECT_EQ(file.stored().size(), 10 * limits::kPageBytes);
}

// Fails if end_page gives the credit of a failed page back or does not put it on the list.
TEST(Writeback, AFailedPageKeepsItsCreditAndIsWrittenLater) {
  OneFile file;
  ASSERT_FALSE(file.write(0, 'a'));
  file.store->set_hook(when(StoreOp::kWrite, failing(std::errc::io_error)));
  EXPECT_EQ(flush_all(*file.pages, 0, ~std::uint64_t{0}, {}).error, std::errc::io_error);
  EXPECT_EQ(file.value(0).state(), PageState::kDirty);
  EXPECT_EQ(file.cache->dirty().taken(), 1u);
  EXPECT_EQ(file.pages->dirty().size(), 1u);
  file.store->set_hook({});
  EXPECT_FALSE(flush_all(*file.pages, 0, ~std::uint64_t{0}, {}).error);
  EXPECT_EQ(file.cache->dirty().taken(), 0u);
}

// A caller who leaves a flush gives up the wait, not the request: its page stays under writeback until
// the answer. Fails if the give-up ends the writeback.
TEST(Writeback, AStoreThatNeverAnswersCanBeLeft) {
  OneFile file;
  ASSERT_FALSE(file.write(0, 'a'));
  file.store->set_hook(when(StoreOp::kWrite, held()));
  EXPECT_EQ(flush_all(*file.pages, 0, ~std::uint64_t{0}, {sync::Clock::now(), {}}).error,
            Errc::kTimedOut);
  EXPECT_EQ(file.value(0).state(), PageState::kWriteback);
  file.store->set_hook({});
  file.store->release_held();
  EXPECT_FALSE(flush_all(*file.pages, 0, ~std::uint64_t{0}, {}).error);
  EXPECT_EQ(file.value(0).state(), PageState::kClean);
}

// Fails if a waiter for memory is not told that a page became evictable.
TEST(Memory, AWaiterGetsThePageThatIsWrittenBack) {
  OneFile file({}, small_budget(20, 18));
  std::uint64_t next = 0;
  while (file.cache->memory().pool().free_frames() > 0 && next < 18) {
    ASSERT_FALSE(file.write(next++, 'a'));
  }
  FrameSet rest(file.cache->memory());
  file.cache->memory().try_acquire(rest, file.cache->memory().pool().free_frames());
  EXPECT_EQ(file.cache->memory().pool().free_frames(), 0u);
  FrameSet set(file.cache->memory());
  // The flusher is pressed, makes pages clean, and the waiter evicts them.
  EXPECT_EQ(file.cache->memory().acquire(set, 3, {}), sync::WaitStatus::kReady);
  EXPECT_EQ(set.size(), 3u);
}

}  // namespace
}  // namespace quire::cache
