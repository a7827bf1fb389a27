// write_and_invalidate and invalidate against whoever is at the pages already, by chosen interleavings and
// under all locking strategies. Each test names the change to the code that makes it fail. (What stays
// pinned: shoot_down_sim_test.cc, for that waits for time to pass.)
#include "file/shoot_down.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "cache/page_wait.h"
#include "cache/page_write.h"
#include "file/test_cache.h"
#include "file/test_engine.h"
#include "quire/cache.h"
#include "sync/lock_rank.h"
#include "sync/waker.h"

namespace quire::file {
namespace {

using sync::GateSide;

class ShootDown : public testing::TestWithParam<Locking> {
 protected:
  void make(std::size_t initial_pages) {
    engine_.emplace(EngineOptions{.initial_bytes = initial_pages * kPage,
                                  .frames = 64,
                                  .dirty_max_pages = 16,
                                  .locking = GetParam()});
    // Nothing is written but by the test.
    engine_->pages->flusher().stop();
  }
  std::error_code write_and_invalidate(std::uint64_t first = 0, std::uint64_t last = kLast,
                                       const sync::WaitLimit& limit = {}) {
    return file::write_and_invalidate(engine_->inode, first, last, limit);
  }
  cache::Stayed invalidate() {
    cache::Stayed stayed;
    EXPECT_FALSE(file::invalidate(*engine_->inode, 0, kLast, {}, &stayed));
    return stayed;
  }
  cache::PageValue value(std::uint64_t index) { return engine_->value(index); }
  std::uint64_t resident() { return engine_->inode->resident_pages(); }
  bool stored(std::uint64_t page, char with) {
    const auto bytes = engine_->store->contents("f");
    return bytes.size() > page * kPage && bytes[page * kPage] == static_cast<std::byte>(with);
  }
  // Counts the requests that write page 0, and answers as `verdict` says.
  void count_writes(StoreVerdict verdict = {}) {
    engine_->store->set_hook([this, verdict](const StoreRequest& request) {
      if (request.op != StoreOp::kWrite) return StoreVerdict{};
      if (request.offset == 0) ++writes_;
      return verdict;
    });
  }
  // Somebody waits for page `index`, or at the lock to block.
  bool waits_for(std::uint64_t index) {
    return value(index).waiters() || engine_->inode->lock().waiting_count(GateSide::kBlock) == 1;
  }

  std::optional<Engine> engine_;
  int writes_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Strategies, ShootDown,
                         testing::Values(Locking::kGate, Locking::kRange, Locking::kInvalidate,
                                         Locking::kInode),
                         [](const auto& tested) { return std::string(cache::name(tested.param)); });

// Fails if drop() drops other pages than were sealed, or write() passes over some.
TEST_P(ShootDown, WritesWhatIsDirtyAndDropsAllOfTheRange) {
  make(6);
  (void)engine_->read(0, 6 * kPage);
  for (const std::uint64_t page : {0u, 2u, 3u, 5u}) engine_->write(page * kPage, kPage, 'w');
  ASSERT_FALSE(write_and_invalidate(1, 4));
  for (const std::uint64_t page : {1u, 2u, 3u, 4u}) EXPECT_TRUE(value(page).absent()) << page;
  EXPECT_FALSE(value(0).absent());
  EXPECT_FALSE(value(5).absent());
  EXPECT_TRUE(stored(2, 'w') && stored(3, 'w') && stored(1, 'i') && stored(4, 'i'));
  engine_->sync();
  EXPECT_TRUE(engine_->store->durable_contents("f") == engine_->read(0, 6 * kPage));
}

// The last page of a file ends where the file does. Fails if append() takes whole pages.
TEST_P(ShootDown, TheTailIsWrittenAsFarAsTheFileGoes) {
  make(0);
  engine_->write(0, kPage + 100, 'w');
  ASSERT_FALSE(write_and_invalidate());
  EXPECT_EQ(engine_->store->contents("f"), filled(kPage + 100, 'w'));
}

// More runs than are under way at once. Fails if write_sealed() stops after its first batch.
TEST_P(ShootDown, ManyRuns) {
  constexpr std::uint64_t kRuns = limits::kWritebackDepth + 3;
  make(2 * kRuns);
  for (std::uint64_t run = 0; run < kRuns; ++run) engine_->write(2 * run * kPage, kPage, 'w');
  ASSERT_FALSE(write_and_invalidate());
  for (std::uint64_t run = 0; run < kRuns; ++run) EXPECT_TRUE(stored(2 * run, 'w')) << run;
  EXPECT_EQ(resident(), 0u);
}

// A read fills a page of the range: it gets its bytes, and the page is gone afterwards. Fails if a sealer
// passes over filling pages.
TEST_P(ShootDown, AgainstAReadThatFills) {
  make(2);
  engine_->store->set_hook(when(StoreOp::kRead, held()));
  sync::Thread reader =
      start_thread("reader", [&] { EXPECT_EQ(engine_->read(0, kPage), filled(kPage, 'i')); });
  until([&] { return engine_->store->held() == 1; });
  sync::Thread sweeper = start_thread("sweeper", [&] { EXPECT_FALSE(write_and_invalidate()); });
  until([&] { return waits_for(0); });
  EXPECT_EQ(value(0).state(), cache::PageState::kFilling);
  engine_->store->set_hook({});
  engine_->store->release_held();
  reader.join();
  sweeper.join();
  EXPECT_EQ(resident(), 0u);
}

// redirty-livelock, invalidate-skips-dirty: while the page is being written somebody wants to store into
// it who holds no write range (as a mapped store will). He gets it when it is gone: it was written once,
// and his store is lost to nobody. Fails if the page can be had in between: if begin_write() takes sealed
// pages.
TEST_P(ShootDown, AgainstAWriteThatDirties) {
  make(1);
  engine_->write(0, kPage, 'a');
  count_writes(held());
  sync::Thread sweeper = start_thread("sweeper", [&] { EXPECT_FALSE(write_and_invalidate()); });
  until([&] { return engine_->store->held() == 1; });
  sync::Thread writer = start_thread("writer", [&] {
    EXPECT_FALSE(engine_->pages->dirty().take(1, {}));
    cache::PageWrite page(*engine_->inode);
    EXPECT_FALSE(page.begin(0, 0, kPage, {}));
    std::memset(page.bytes(), 'b', kPage);
    page.finish(kPage);
  });
  until([&] { return value(0).waiters(); });
  engine_->store->release_held();
  sweeper.join();
  writer.join();
  EXPECT_EQ(writes_, 1);
  EXPECT_TRUE(stored(0, 'a'));
  EXPECT_TRUE(value(0).dirty());
  EXPECT_EQ(engine_->read(0, kPage), filled(kPage, 'b'));
}

// A buffered write into the range waits until all is over. Fails if lock() takes no write range.
TEST_P(ShootDown, WritersWait) {
  make(1);
  engine_->write(0, kPage, 'a');
  count_writes(held());
  sync::Thread sweeper = start_thread("sweeper", [&] { EXPECT_FALSE(write_and_invalidate()); });
  until([&] { return engine_->store->held() == 1; });
  sync::Thread writer = start_thread("writer", [&] { engine_->write(10, 10, 'b'); });
  until([&] {
    return engine_->inode->ranges().waiting_count() == 1 ||
           engine_->inode->lock().waiting_count(GateSide::kBlock) == 1;
  });
  EXPECT_TRUE(value(0).sealed());
  engine_->store->release_held();
  sweeper.join();
  writer.join();
  EXPECT_EQ(writes_, 1);
}

// Writeback has the page: it is waited for, and the page is not written a second time. Fails if
// begin_seal() takes pages under writeback.
TEST_P(ShootDown, AgainstAWritebackInFlight) {
  make(1);
  engine_->write(0, kPage, 'a');
  count_writes(held());
  sync::Thread syncer = start_thread("syncer", [&] { engine_->sync(); });
  until([&] { return engine_->store->held() == 1; });
  sync::Thread sweeper = start_thread("sweeper", [&] { EXPECT_FALSE(write_and_invalidate()); });
  until([&] { return value(0).waiters(); });
  EXPECT_EQ(value(0).state(), cache::PageState::kWriteback);
  engine_->store->release_held();
  syncer.join();
  sweeper.join();
  EXPECT_EQ(writes_, 1);
  EXPECT_EQ(resident(), 0u);
}

// The store refuses one of the pages: nothing is dropped, that page stays dirty, and a sync that comes
// later writes it. Fails if write_and_invalidate drops whatever came of the write, or if a failed page
// turns clean.
TEST_P(ShootDown, AnErrorDropsNothing) {
  make(4);
  (void)engine_->read(0, 4 * kPage);
  engine_->write(0, kPage, 'a');
  engine_->write(2 * kPage, kPage, 'b');
  engine_->store->set_hook([](const StoreRequest& request) {
    const bool bad = request.op == StoreOp::kWrite && request.offset == 2 * kPage;
    return bad ? failing(std::errc::no_space_on_device) : StoreVerdict{};
  });
  EXPECT_EQ(write_and_invalidate(), std::errc::no_space_on_device);
  EXPECT_EQ(resident(), 4u);
  for (std::uint64_t page = 0; page < 4; ++page) EXPECT_TRUE(value(page).readable());
  EXPECT_EQ(value(0).state(), cache::PageState::kClean);
  EXPECT_EQ(value(2).state(), cache::PageState::kDirty);
  EXPECT_TRUE(stored(2, 'i'));
  engine_->store->set_hook({});
  engine_->sync();
  EXPECT_TRUE(stored(2, 'b'));
}

// The caller leaves while the store does not answer: the pages stay sealed and the locks held until it
// does. Nothing was dropped. Fails if the requests do not own what they write from.
TEST_P(ShootDown, LeftBehindItEndsWithTheAnswer) {
  make(1);
  engine_->write(0, kPage, 'a');
  count_writes(held());
  EXPECT_EQ(write_and_invalidate(0, kLast, at_once()), Errc::kTimedOut);
  EXPECT_TRUE(value(0).sealed());
  EXPECT_EQ(write_and_invalidate(0, kLast, at_once()), Errc::kTimedOut);
  engine_->store->set_hook({});
  engine_->store->release_held();
  EXPECT_EQ(value(0).state(), cache::PageState::kClean);
  EXPECT_FALSE(value(0).sealed());
  EXPECT_FALSE(write_and_invalidate(0, kLast, at_once()));
  EXPECT_EQ(resident(), 0u);
}

// A sync that failed may have lost what the cache still knows: it is written again before it goes. Fails
// without rewrite_failed() in write_and_invalidate.
TEST_P(ShootDown, AfterAFailedSync) {
  make(0);
  engine_->write(0, kPage, 'a');
  StoreVerdict lost = failing(std::errc::io_error);
  lost.drop_unsynced = true;
  lost.hold = true;
  engine_->store->set_hook(when(StoreOp::kSync, lost));
  // Nobody is there to hear of the error and to write again.
  ASSERT_FALSE(write_back(*engine_->inode, {}));
  begin_sync(engine_->inode);
  engine_->store->release_held();
  engine_->store->set_hook({});
  ASSERT_TRUE(engine_->inode->unsynced().rewrite_needed());
  ASSERT_FALSE(write_and_invalidate());
  EXPECT_TRUE(stored(0, 'a'));
  engine_->sync();
  EXPECT_EQ(engine_->store->durable_contents("f"), filled(kPage, 'a'));
}

// What was written is remembered until a sync has made it durable: a sync that fails afterwards has lost it,
// for it is no longer cached, and says so until it is cured. Fails without note_written() in io_done().
TEST_P(ShootDown, ASyncThatFailsAfterwards) {
  make(0);
  engine_->write(0, kPage, 'a');
  ASSERT_FALSE(write_and_invalidate());
  StoreVerdict lost = failing(std::errc::io_error);
  lost.drop_unsynced = true;
  engine_->store->set_hook(when(StoreOp::kSync, lost));
  EXPECT_EQ(sync_all(engine_->inode, SyncKind::kAll, {}), kEio);
  engine_->store->set_hook({});
  EXPECT_EQ(sync_all(engine_->inode, SyncKind::kAll, {}), kEio);
  engine_->write(0, kPage, 'b');
  engine_->sync();
  EXPECT_EQ(engine_->store->durable_contents("f"), filled(kPage, 'b'));
}

// Somebody who waits for page 0. Looks, when he is woken, at how many pages are dirty.
class LooksWhenWoken final : public sync::Waker {
 public:
  explicit LooksWhenWoken(Engine& engine) : engine_(engine), waiter_(*this) {
    EXPECT_TRUE(engine.inode->enqueue_changed(0, *engine.inode->find(0), engine.value(0), waiter_));
  }
  void wake() noexcept override { dirty_ = engine_.pages->dirty().taken(); }
  std::optional<std::uint64_t> dirty() const { return dirty_; }

 private:
  Engine& engine_;
  cache::PageWaitLot::Waiter waiter_;
  std::optional<std::uint64_t> dirty_;
};

// A caller has left, and a sync waits for the page: when that returns no page counts as dirty. Fails if
// SealedWrite::io_done(), or drop_page(), gives the credit back after it has woken whoever waits.
TEST_P(ShootDown, APageIsNotDirtyWhenItsWaitersAreWoken) {
  for (const StoreOp at : {StoreOp::kWrite, StoreOp::kTruncate}) {
    make(0);
    engine_->write(0, kPage, 'a');
    engine_->store->set_hook(when(at, held()));
    sync::Thread dropper = start_thread("dropper", [&] {
      if (at == StoreOp::kWrite) {
        EXPECT_FALSE(write_and_invalidate());
      } else {
        engine_->truncate(0);
      }
    });
    until([&] { return engine_->store->held() == 1; });
    const LooksWhenWoken looks(*engine_);
    EXPECT_EQ(engine_->pages->dirty().taken(), 1u);
    engine_->store->set_hook({});
    engine_->store->release_held();
    dropper.join();
    EXPECT_EQ(looks.dirty(), 0u);
  }
}

// Fails if invalidate_pages() drops dirty pages, or does not count them.
TEST_P(ShootDown, InvalidateDropsWhatIsCleanAndSaysWhatStayed) {
  make(4);
  (void)engine_->read(0, 4 * kPage);
  engine_->write(2 * kPage, kPage, 'a');
  const cache::Stayed stayed = invalidate();
  EXPECT_EQ(stayed.pages, 1u);
  EXPECT_EQ(stayed.dirty, 1u);
  EXPECT_EQ(stayed.first, 2u);
  EXPECT_EQ(resident(), 1u);
  engine_->store->poke("f", filled(4 * kPage, 'n'));
  EXPECT_EQ(engine_->read(0, kPage), filled(kPage, 'n'));
  EXPECT_EQ(engine_->read(2 * kPage, kPage), filled(kPage, 'a'));
}

// A page that is being filled with what the store had before does not stay. Fails if invalidate_pages()
// passes over filling pages.
TEST_P(ShootDown, InvalidateWaitsForAReadThatFills) {
  make(1);
  StoreVerdict late = held();
  late.hold_answer_only = true;
  engine_->store->set_hook(when(StoreOp::kRead, late));
  sync::Thread reader = start_thread("reader", [&] { (void)engine_->read(0, kPage); });
  until([&] { return engine_->store->held() == 1; });
  engine_->store->poke("f", filled(kPage, 'n'));
  sync::Thread sweeper = start_thread("sweeper", [&] { EXPECT_EQ(invalidate().pages, 0u); });
  until([&] { return waits_for(0); });
  engine_->store->set_hook({});
  engine_->store->release_held();
  reader.join();
  sweeper.join();
  EXPECT_EQ(engine_->read(0, kPage), filled(kPage, 'n'));
}

// A page that somebody writes, or that writeback has, is dirty: it stays, and nobody waits for it. Fails
// if invalidate_pages() waits for either (the test then hangs).
TEST_P(ShootDown, InvalidateLeavesWhatIsBeingWritten) {
  make(2);
  engine_->write(0, kPage, 'a');
  (void)engine_->read(kPage, kPage);
  ASSERT_FALSE(engine_->pages->dirty().take(1, {}));
  cache::PageWrite page(*engine_->inode);
  ASSERT_FALSE(page.begin(1, 0, 10, {}));
  sync::lock_rank::handed_over(sync::Rank::kPage, engine_->inode->find(1));
  count_writes(held());
  sync::Thread syncer = start_thread("syncer", [&] { engine_->sync(); });
  until([&] { return engine_->store->held() == 1; });
  const cache::Stayed stayed = invalidate();
  EXPECT_EQ(stayed.pages, 2u);
  EXPECT_EQ(stayed.dirty, 2u);
  page.abandon();
  engine_->pages->dirty().give(1);
  engine_->store->release_held();
  syncer.join();
}

// The public calls: ranges in bytes, and what they say.
TEST(ShootDownApi, RangesAndErrors) {
  auto store = MemoryStore::create();
  auto cache = std::move(
      Cache::create(store, {.memory_bytes = limits::kMemoryMinBytes, .locking = Locking::kRange})
          .value());
  File f = std::move(cache->open("f", kRw).value());
  ASSERT_TRUE(f.write(filled(3 * kPage, 'a'), 0).ok());
  const Status stayed = f.invalidate(kPage, 1);
  EXPECT_EQ(stayed.code(), std::errc::device_or_resource_busy);
  EXPECT_NE(
      stayed.error().message().find("1 pages stayed, from offset 4096 on; 1 of them are dirty"),
      std::string::npos)
      << stayed.error().message();
  EXPECT_TRUE(f.write_and_invalidate(kPage, 1).ok());
  EXPECT_EQ(cache->stats().cached_pages, 2u);
  EXPECT_TRUE(f.invalidate(kPage, 1).ok());
  EXPECT_TRUE(f.write_and_invalidate(0, 0).ok());
  EXPECT_EQ(cache->stats().cached_pages, 0u);
  EXPECT_EQ(store->contents("f"), filled(3 * kPage, 'a'));
  EXPECT_TRUE(f.close().ok());
  EXPECT_EQ(f.invalidate(0, 0).code(), Errc::kClosed);
  EXPECT_EQ(f.write_and_invalidate(0, 0).code(), Errc::kClosed);
}

TEST(ShootDownApi, AnUnknownStrategyIsRefused) {
  const auto cache = Cache::create(MemoryStore::create(), {.locking = static_cast<Locking>(7)});
  ASSERT_FALSE(cache.ok());
  EXPECT_EQ(cache.error().code, std::errc::invalid_argument);
}

}  // namespace
}  // namespace quire::file
