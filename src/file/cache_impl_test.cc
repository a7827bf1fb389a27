// How a cache ends while requests are under way, and what its sync and close say of files that are
// closed. Each test names the change to the code that makes it fail.
#include "file/cache_impl.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "file/test_cache.h"

namespace quire::file {
namespace {

using CacheImplTest = CacheOverFront;

// A sync of the store that does not come back can be left; so can a close that has to wait for it, and
// neither says that anything is safe. Fails if the caller itself goes into the store.
TEST_F(CacheImplTest, ASyncOfTheStoreCanBeLeft) {
  write_and_close("f", 'a');
  sync::Parker answer;
  std::atomic<int> inside{0};
  store_->on_sync_store = [&]() -> Status {
    if (inside.fetch_add(1) == 0) answer.park();
    return {};
  };
  std::stop_source stop;
  CallOptions call;
  call.stop = stop.get_token();
  std::error_code left;
  sync::Thread caller = start_thread("caller", [&] { left = impl_->sync(call).code(); });
  until([&] { return inside.load() == 1; });
  stop.request_stop();
  caller.join();
  EXPECT_EQ(left, Errc::kInterrupted);

  CallOptions short_of_time;
  short_of_time.deadline = sync::Clock::now();
  EXPECT_EQ(impl_->sync(short_of_time).code(), Errc::kTimedOut) << "waits for the one before";
  EXPECT_EQ(impl_->close(short_of_time).code(), Errc::kTimedOut);
  EXPECT_EQ(inside.load(), 1);
  answer.unpark();
  EXPECT_TRUE(impl_->sync({}).ok());
  EXPECT_EQ(inside.load(), 2);
  EXPECT_TRUE(durable("f", 'a') || stored("f", 'a'));
}

// Two caches over one store would each keep pages that the other changes. Fails if create does not look,
// or if the close of the first does not let the second have it.
TEST_F(CacheImplTest, AStoreServesOneCacheAtATime) {
  CacheOptions options;
  options.memory_bytes = 8 << 20;
  EXPECT_EQ(CacheImpl::create(store_, options).code(), Errc::kInUse);
  ASSERT_TRUE(impl_->close({}).ok());
  {
    auto second = CacheImpl::create(store_, options);
    ASSERT_TRUE(second.ok());
    EXPECT_EQ(CacheImpl::create(store_, options).code(), Errc::kInUse);
  }
  impl_ = CacheImpl::create(store_, options).value();
}

// The Cache is gone, the last File has given up on a store that does not answer: the end waits for the
// answer, and touches nothing before. Fails if ~CacheImpl forgets the files without waiting: it drops
// the first page, and spins on the second.
TEST_F(CacheImplTest, AnAbandonedCacheWaitsForTheStoreBeforeItForgets) {
  auto inode = open("f");
  write(*inode, 0, kPage, 'a');
  ASSERT_FALSE(sync_all(inode, SyncKind::kAll, {}));
  write(*inode, kPage, kPage, 'b');
  memory_->set_hook(when(StoreOp::kWrite, held()));
  EXPECT_EQ(close(inode, at_once()), Errc::kTimedOut);
  ASSERT_EQ(memory_->held(), 1u);
  impl_->abandon();
  std::atomic<bool> ended{false};
  sync::Thread last = start_thread("last", [&] {
    impl_.reset();
    ended = true;
  });
  until([&] { return logged("has not answered for f") || inode->resident_pages() < 2; });
  EXPECT_EQ(inode->resident_pages(), 2u);
  EXPECT_FALSE(ended.load());
  memory_->set_hook({});
  EXPECT_EQ(memory_->release_held(), 1u);
  last.join();
  EXPECT_EQ(memory_->contents("f").size(), 2 * kPage);
  inode.reset();
}

// What was closed without having been written is not forgotten by an abandoned cache either. Fails if
// ~CacheImpl does not write.
TEST_F(CacheImplTest, AnAbandonedCacheWritesWhatWasLeftBehind) {
  auto inode = open("f");
  write(*inode, 0, kPage, 'a');
  memory_->set_hook(when(StoreOp::kWrite, failing(std::errc::io_error)));
  EXPECT_EQ(close(inode), kEio);
  inode.reset();
  impl_->abandon();
  memory_->set_hook({});
  impl_.reset();
  EXPECT_TRUE(memory_->contents("f") == filled(kPage, 'a'));
}

// What the flusher begins while close waits for requests to end would be under way when everything is
// forgotten. Fails if close stops the flusher after it has waited: pressed, it writes at once.
TEST_F(CacheImplTest, CloseStopsTheFlusherBeforeItWaits) {
  auto inode = open("f");
  write(*inode, 0, kPage, 'a');
  const auto closer = std::this_thread::get_id();
  std::atomic<bool> flusher_wrote{false};
  memory_->set_hook([&](const StoreRequest& request) {
    if (request.op != StoreOp::kWrite) return StoreVerdict{};
    if (std::this_thread::get_id() != closer) flusher_wrote = true;
    return failing(std::errc::io_error);
  });
  EXPECT_EQ(close(inode), kEio);
  store_->on_sync_store = [&]() -> Status {
    impl_->pages().flusher().press();
    for (int i = 0; i < 20'000 && !flusher_wrote; ++i) sync::yield_thread();
    return {};
  };
  EXPECT_EQ(impl_->close({}).code(), kEio);
  EXPECT_FALSE(flusher_wrote.load());
}

// Fails if the flusher stays stopped when close gives up.
TEST_F(CacheImplTest, BackgroundWritebackGoesOnAfterACloseThatWasLeft) {
  auto inode = open("f");
  write(*inode, 0, kPage, 'a');
  memory_->set_hook(when(StoreOp::kWrite, failing(std::errc::io_error)));
  EXPECT_EQ(close(inode), kEio);
  EXPECT_EQ(impl_->close({.stop = {}, .deadline = sync::Clock::now()}).code(), Errc::kTimedOut);
  EXPECT_FALSE(impl_->closed());
  memory_->set_hook({});
  impl_->pages().flusher().press();
  until([&] { return memory_->contents("f") == filled(kPage, 'a'); });
  EXPECT_TRUE(impl_->close({}).ok());
}

// A change of the object under unwritten pages is said once. Fails if close tries again and forgets that
// it was told.
TEST_F(CacheImplTest, CloseSaysThatAFileWasChangedByAnother) {
  auto inode = open("f");
  write(*inode, 0, kPage, 'a');
  memory_->set_hook(when(StoreOp::kWrite, failing(std::errc::io_error)));
  EXPECT_EQ(close(inode), kEio);
  const ObjectStat stat = memory_->stat(inode->read_handle()).value();
  inode->set_stale(stat);
  memory_->set_hook({});
  inode.reset();
  const Status closed = impl_->close({});
  ASSERT_EQ(closed.code(), kStale);
  EXPECT_NE(closed.error().message().find("f (changed by another program"), std::string::npos);
  EXPECT_TRUE(memory_->contents("f") == filled(kPage, 'a'));
}

// The store fails one sync of everything, and says so once. Fails if what closed files wrote is not
// written again: then the next sync finds nothing to do.
TEST_F(CacheImplTest, AfterAFailedSyncOfTheStoreClosedFilesAreWrittenAgain) {
  write_and_close("f", 'a');
  write_and_close("g", 'b');
  EXPECT_EQ(store_->open_handles(), 0u);
  store_->on_sync_store = [] { return Status(Error(kEio, "syncing the store")); };
  EXPECT_EQ(impl_->sync({}).code(), kEio);
  store_->on_sync_store = nullptr;
  EXPECT_FALSE(durable("f", 'a'));
  EXPECT_TRUE(impl_->sync({}).ok());
  EXPECT_TRUE(durable("f", 'a'));
  EXPECT_TRUE(durable("g", 'b'));
  EXPECT_EQ(store_->open_handles(), 0u);
}

// The same within one call of close.
TEST_F(CacheImplTest, CloseWritesClosedFilesAgainAfterAFailedSyncOfTheStore) {
  write_and_close("f", 'a');
  int calls = 0;
  store_->on_sync_store = [&] {
    return ++calls == 1 ? Status(Error(kEio, "syncing the store")) : Status();
  };
  EXPECT_TRUE(impl_->close({}).ok());
  EXPECT_TRUE(durable("f", 'a'));
}

// A sync of the store that succeeded covers closed files: a later one that fails is not about them.
TEST_F(CacheImplTest, ASyncOfTheStoreCoversWhatWasClosedBefore) {
  write_and_close("f", 'a');
  EXPECT_TRUE(impl_->sync({}).ok());
  store_->on_sync_store = [] { return Status(Error(kEio, "syncing the store")); };
  EXPECT_EQ(impl_->sync({}).code(), kEio);
  store_->on_sync_store = nullptr;
  EXPECT_TRUE(impl_->sync({}).ok());
  EXPECT_FALSE(durable("f", 'a')) << "nothing was to be written again";
}

// Closed, evicted, and then the store says that it may be lost: so it is, and every sync says so, close
// too. Fails if the page is read back and written again, or if close forgets.
TEST_F(CacheImplTest, AFailedSyncOfTheStoreAndAPageThatIsGone) {
  auto inode = open("f");
  write(*inode, 0, kPage, 'a');
  EXPECT_FALSE(close(inode));
  drop_clean(*inode);
  inode.reset();
  int calls = 0;
  store_->on_sync_store = [&] {
    return ++calls == 1 ? Status(Error(kEio, "syncing the store")) : Status();
  };
  const Status closed = impl_->close({});
  ASSERT_EQ(closed.code(), kEio);
  EXPECT_NE(closed.error().message().find("1 pages of 4096 bytes, from offset 0 on"),
            std::string::npos)
      << closed.error().message();
}

// Files that were closed and forgotten cannot be written again: said from then on. Fails if they are not
// counted.
TEST_F(CacheImplTest, AFailedSyncOfTheStoreAndFilesThatWereForgotten) {
  constexpr int kFiles = 300;
  for (int i = 0; i < kFiles; ++i) write_and_close("f" + std::to_string(i), 'a');
  store_->on_sync_store = [] { return Status(Error(kEio, "syncing the store")); };
  EXPECT_EQ(impl_->sync({}).code(), kEio);
  store_->on_sync_store = nullptr;
  for (int i = 0; i < 2; ++i) {
    const Status synced = impl_->sync({});
    ASSERT_EQ(synced.code(), kEio);
    EXPECT_NE(synced.error().message().find("files that were closed, and forgotten"),
              std::string::npos);
  }
}

class WaitStatsTest : public CacheOverFront {
 protected:
  // One wait has begun and is not over; then it ends.
  template <class End>
  void expect_one(WaitStats CacheStats::*which, std::uint64_t others, const End& end) {
    until([&] { return (impl_->stats().*which).count == others + 1; });
    const WaitStats before = impl_->stats().*which;
    EXPECT_EQ(before.total_ns, before.worst_ns) << "of none or one";
    end();
    const WaitStats after = impl_->stats().*which;
    EXPECT_EQ(after.count, others + 1);
    EXPECT_GT(after.total_ns, before.total_ns);
    EXPECT_GE(after.worst_ns, after.total_ns - before.total_ns);
    EXPECT_LE(after.worst_ns, after.total_ns);
  }
  sync::Thread start_write(const std::shared_ptr<Inode>& inode, std::uint64_t offset) {
    return start_thread("writer", [=] { write(*inode, offset, kPage, 'b'); });
  }
};

// Fails if either the one who reads the page or the one who finds it being read is not counted, or if a
// hit is.
TEST_F(WaitStatsTest, OfPages) {
  memory_->poke("f", filled(kPage, 'a'));
  auto inode = open("f");
  memory_->set_hook(when(StoreOp::kRead, held()));
  sync::Thread first = start_write(inode, 100);
  until([&] { return memory_->held() == 1; });
  EXPECT_EQ(impl_->stats().page_waits.count, 1u);
  sync::Thread second = start_thread("reader", [&] {
    SharedReadahead readahead(1);
    std::vector<std::byte> got(1);
    EXPECT_EQ(read_at(*inode, readahead, got, 0, {}).bytes, 1u);
  });
  until([&] { return impl_->stats().page_waits.count == 2; });
  memory_->set_hook({});
  memory_->release_held();
  first.join();
  second.join();
  const WaitStats waits = impl_->stats().page_waits;
  EXPECT_GT(waits.worst_ns, 0u);
  EXPECT_LT(waits.worst_ns, waits.total_ns);
  std::vector<std::byte> got(100);
  EXPECT_EQ(read_hits(*inode, got, 0), 100u);
  EXPECT_EQ(impl_->stats().page_waits.count, waits.count);
  EXPECT_FALSE(close(inode));
}

// Fails if a writer who waits is not counted, or one who need not wait is.
TEST_F(WaitStatsTest, OfRanges) {
  memory_->poke("f", filled(2 * kPage, 'a'));
  auto inode = open("f");
  memory_->set_hook(when(StoreOp::kTruncate, held()));
  sync::Thread cutter = start_thread("cutter", [&] { EXPECT_FALSE(truncate(inode, kPage, {})); });
  until([&] { return memory_->held() == 1; });
  EXPECT_EQ(impl_->stats().range_waits.count, 0u);
  sync::Thread writer = start_write(inode, kPage);
  expect_one(&CacheStats::range_waits, 0, [&] {
    memory_->set_hook({});
    memory_->release_held();
    writer.join();
  });
  cutter.join();
  EXPECT_FALSE(close(inode));
}

// Fails if it is counted when there is memory, or not when there is none.
TEST_F(WaitStatsTest, OfMemory) {
  auto inode = open("f");
  cache::FramePool& pool = impl_->pages().memory().pool();
  std::vector<cache::FrameNumber> frames;
  for (auto frame = pool.allocate(); frame != cache::kNoFrame; frame = pool.allocate()) {
    frames.push_back(frame);
  }
  EXPECT_EQ(impl_->stats().memory_waits.count, 0u);
  EXPECT_EQ(impl_->stats().empty_reclaims, 0u);
  sync::Thread writer = start_write(inode, 0);
  expect_one(&CacheStats::memory_waits, 0, [&] {
    EXPECT_GT(impl_->stats().empty_reclaims, 0u);
    for (const cache::FrameNumber frame : frames) impl_->pages().memory().release(frame);
    writer.join();
  });
  EXPECT_GE(impl_->stats().reclaims, impl_->stats().empty_reclaims);
  EXPECT_FALSE(close(inode));
}

// Fails if writes at the dirty limit are not counted, or pages under writeback are not, or stay counted.
TEST_F(WaitStatsTest, OfTheDirtyLimit) {
  auto inode = open("f");
  memory_->set_hook(when(StoreOp::kWrite, held()));
  const std::uint64_t limit = impl_->pages().budget().dirty_max_pages;
  write(*inode, 0, limit * kPage, 'a');
  EXPECT_EQ(impl_->stats().throttle_waits.count, 0u);
  sync::Thread writer = start_write(inode, limit * kPage);
  expect_one(&CacheStats::throttle_waits, 0, [&] {
    until([&] { return impl_->stats().writeback_pages > 0; });
    EXPECT_EQ(impl_->stats().dirty_pages, limit);
    memory_->set_hook({});
    // The flusher may be about to send one more that the hook has held.
    until([&] {
      memory_->release_held();
      return impl_->stats().writeback_pages == 0;
    });
    writer.join();
  });
  ASSERT_FALSE(write_back(*inode, {}));
  EXPECT_EQ(impl_->stats().writeback_pages, 0u);
  EXPECT_FALSE(close(inode));
}

}  // namespace
}  // namespace quire::file
