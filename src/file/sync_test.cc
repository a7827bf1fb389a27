// What a sync promises when the store fails, or when several sync at once. Each test names the change to
// the code that makes it fail.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "file/test_cache.h"

namespace quire::file {
namespace {

using SyncTest = CacheOverFront;

// Fails the first sync of a file; what was written since the last good one is gone from the store.
std::function<StoreVerdict(const StoreRequest&)> first_sync(StoreVerdict verdict) {
  return [verdict, calls = std::make_shared<std::atomic<int>>(0)](const StoreRequest& request) {
    return request.op == StoreOp::kSync && (*calls)++ == 0 ? verdict : StoreVerdict{};
  };
}
StoreVerdict dropping() {
  StoreVerdict verdict = failing(std::errc::io_error);
  verdict.drop_unsynced = true;
  return verdict;
}

// The writer is closed and its file not synced; a reader asks for it. Fails if sync_pages() looks for a
// handle for writing only.
TEST_F(SyncTest, AReaderSyncsWhatAClosedWriterWrote) {
  write_and_close("f", 'a');
  auto reader = open("f", OpenFlags::kRead);
  EXPECT_FALSE(sync(reader));
  EXPECT_TRUE(durable("f", 'a'));
  int syncs = 0;
  store_->on_sync = [&](ObjectHandle) { ++syncs; };
  EXPECT_FALSE(sync(reader));
  EXPECT_EQ(syncs, 0) << "nothing is new";
  const TimeSpec when{1'000, 0};
  EXPECT_TRUE(reader->set_times(nullptr, &when).ok());
  EXPECT_FALSE(sync(reader));
  EXPECT_EQ(syncs, 1);
  EXPECT_FALSE(close(reader));
}

// The same sync fails: the file must be opened for writing to be written again, and is.
TEST_F(SyncTest, WhatAReadersSyncLostIsWrittenAgain) {
  write_and_close("f", 'a');
  auto reader = open("f", OpenFlags::kRead);
  memory_->set_hook(first_sync(failing(std::errc::io_error)));
  EXPECT_EQ(sync(reader), kEio);
  EXPECT_EQ(sync(reader), kEio) << "there is no handle to write by";
  auto another = open("f", OpenFlags::kRead);
  std::atomic<int> writes{0};
  memory_->set_hook([&](const StoreRequest& request) {
    if (request.op == StoreOp::kWrite) ++writes;
    return StoreVerdict{};
  });
  EXPECT_FALSE(sync(another));
  EXPECT_EQ(writes, 1);
  EXPECT_TRUE(durable("f", 'a'));
  EXPECT_FALSE(close(reader));
  EXPECT_FALSE(close(another));
}

// The store tells an error to one of two syncs that run at once. Fails if the second does not wait for
// its turn: it then succeeds, and what both were to make durable is gone.
TEST_F(SyncTest, ASyncBesideOneThatFailsDoesNotSucceedForWhatThatLost) {
  auto inode = open("f");
  write(*inode, 0, kPage, 'a');
  ASSERT_FALSE(sync(inode));
  write(*inode, 0, kPage, 'b');
  StoreVerdict verdict = dropping();
  verdict.hold = true;
  memory_->set_hook(first_sync(verdict));
  std::error_code first, second;
  sync::Thread a = start_thread("a", [&] { first = sync(inode); });
  until([&] { return memory_->held() == 1; });
  std::atomic<bool> ended{false};
  sync::Thread b = start_thread("b", [&] {
    second = sync(inode);
    ended = true;
  });
  until([&] { return ended || inode->sync_turn().waiting_count() == 1; });
  EXPECT_FALSE(ended.load());
  EXPECT_EQ(sync(inode, at_once()), Errc::kTimedOut) << "the wait for the turn can be left";
  memory_->release_held();
  a.join();
  b.join();
  EXPECT_EQ(first, kEio);
  EXPECT_FALSE(second);
  EXPECT_TRUE(durable("f", 'b'));
  EXPECT_FALSE(close(inode));
}

// Fails if those who waited for their turn each sync again what the one before them has synced.
TEST_F(SyncTest, ManySyncsShareAFew) {
  auto inode = open("f");
  write(*inode, 0, kPage, 'a');
  std::atomic<int> syncs{0};
  store_->on_sync = [&](ObjectHandle) { ++syncs; };
  memory_->set_hook(first_sync(held()));
  std::vector<sync::Thread> threads;
  for (int i = 0; i < 5; ++i) {
    threads.push_back(start_thread("sync", [&] {
      write(*inode, 0, kPage, 'b');
      EXPECT_FALSE(sync_all(inode, SyncKind::kData, {}));
    }));
    if (i == 0) until([&] { return memory_->held() == 1; });
  }
  until([&] { return inode->sync_turn().waiting_count() == 4; });
  memory_->release_held();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(syncs.load(), 2);
  EXPECT_TRUE(durable("f", 'b'));
  EXPECT_FALSE(close(inode));
}

// Pages of a failed sync are dirty when it returns, so that they are not evicted before the next.
// Fails if sync_once() leaves that to the next sync.
TEST_F(SyncTest, AfterAFailedSyncThePagesAreDirtyAtOnce) {
  auto inode = open("f");
  write(*inode, 0, 3 * kPage, 'a');
  memory_->set_hook(first_sync(dropping()));
  EXPECT_EQ(sync(inode), kEio);
  EXPECT_EQ(inode->dirty().size(), 3u);
  drop_clean(*inode);
  EXPECT_FALSE(sync(inode));
  EXPECT_TRUE(durable("f", 'a', 3));
  EXPECT_FALSE(close(inode));
}

class LostPages : public SyncTest {
 protected:
  void SetUp() override {
    SyncTest::SetUp();
    // Pages 1 and 2 of four are written, not synced, and evicted; then the sync fails.
    inode_ = open("f");
    write(*inode_, 0, 4 * kPage, 'o');
    ASSERT_FALSE(sync(inode_));
    write(*inode_, kPage, 2 * kPage, 'n');
    ASSERT_FALSE(write_back(*inode_, {}));
    drop_clean(*inode_);
    write(*inode_, 3 * kPage, kPage, 'n');
    memory_->set_hook(first_sync(dropping()));
    EXPECT_EQ(sync(inode_), kEio);
    memory_->set_hook([this](const StoreRequest& request) {
      if (request.op == StoreOp::kWrite) writes_ += request.length;
      return StoreVerdict{};
    });
  }
  void TearDown() override {
    inode_.reset();
    SyncTest::TearDown();
  }

  std::shared_ptr<Inode> inode_;
  std::atomic<std::uint64_t> writes_{0};
};

// Fails if such pages are read from the store and written again: they are the old ones, and the sync
// after that succeeds.
TEST_F(LostPages, EverySyncFailsAndSaysWhere) {
  for (int i = 0; i < 2; ++i) EXPECT_EQ(sync(inode_), kEio);
  EXPECT_EQ(writes_, kPage) << "page 3, which is known";
  EXPECT_NE(lost_text(*inode_, 0, 3).find("2 pages of 4096 bytes, from offset 4096 on"),
            std::string::npos)
      << lost_text(*inode_, 0, 3);
  EXPECT_FALSE(sync_pages(inode_, 3, 3, SyncKind::kData, {})) << "that one is durable";
  EXPECT_EQ(sync_pages(inode_, 2, 3, SyncKind::kData, {}), kEio);
  const auto impl = impl_;
  EXPECT_EQ(impl->sync({}).code(), kEio);
  EXPECT_FALSE(close(inode_)) << "all that can be written is";
  EXPECT_EQ(impl->sync({}).code(), kEio) << "closed, and not forgotten";
  inode_ = open("f");
  EXPECT_EQ(sync(inode_), kEio);
  EXPECT_FALSE(close(inode_));
}

// Fails if a store into a part of the page counts.
TEST_F(LostPages, AreCuredByBeingWrittenOverAsAWhole) {
  write(*inode_, 2 * kPage, kPage, 'x');
  write(*inode_, kPage, 10, 'x');
  EXPECT_EQ(sync(inode_), kEio);
  EXPECT_EQ(lost_text(*inode_, 0, 3).substr(0, 9), ": 1 pages");
  write(*inode_, kPage + 10, kPage - 10, 'x');
  EXPECT_EQ(sync(inode_), kEio);
  write(*inode_, kPage, kPage, 'x');
  EXPECT_FALSE(sync(inode_));
  EXPECT_FALSE(close(inode_));
}

TEST_F(LostPages, AreCuredByBeingCutAway) {
  ASSERT_FALSE(truncate(inode_, 2 * kPage, {}));
  EXPECT_EQ(sync(inode_), kEio);
  ASSERT_FALSE(truncate(inode_, kPage, {}));
  EXPECT_FALSE(sync(inode_));
  EXPECT_TRUE(durable("f", 'o'));
  EXPECT_FALSE(close(inode_));
}

// Many pieces are written and nobody syncs: the library does, rather than forget exactly which. Fails
// without begin_sync(): then gaps are joined, and their pages count as lost when a sync fails.
TEST_F(SyncTest, ManyPiecesAreSyncedSoThatNoGapIsTakenForOne) {
  auto inode = open("f");
  ASSERT_FALSE(truncate(inode, std::uint64_t{1} << 40, {}));
  for (std::uint64_t i = 0; i < limits::kUnsyncedMax + 1000; ++i) {
    write(*inode, i * 3 * kPage, 1, 'a');
    if (i % 500 == 0) {
      ASSERT_FALSE(write_back(*inode, {}));
    }
  }
  memory_->set_hook(first_sync(failing(std::errc::io_error)));
  EXPECT_EQ(sync(inode), kEio);
  EXPECT_FALSE(inode->unsynced().any_lost()) << "not even a gap";
  memory_->set_hook({});
  ASSERT_FALSE(truncate(inode, 0, {}));
  EXPECT_FALSE(close(inode));
}

// Fails if a sync pushes the stamps whatever has happened: the host's are set back, and the change is
// not noticed at the next open.
TEST_F(SyncTest, ASyncOfNothingLeavesAnothersStampsAlone) {
  auto inode = open("f");
  write(*inode, 0, kPage, 'a');
  ASSERT_FALSE(sync(inode));
  memory_->poke("f", filled(kPage, 'p'));
  const TimeSpec theirs = memory_->stat(inode->read_handle())->mtime;
  EXPECT_FALSE(sync(inode));
  EXPECT_EQ(memory_->stat(inode->read_handle())->mtime, theirs);
  auto again = open("f");
  EXPECT_EQ(inode->stamps().mtime, theirs);
  EXPECT_FALSE(close(inode));
  EXPECT_FALSE(close(again));
}

// The first page of a write is written back while the second is still being read. Fails if the write
// stamps the file at its end.
TEST_F(SyncTest, WritebackInTheMiddleOfAWritePushesItsStamps) {
  memory_->poke("f", filled(2 * kPage, 'o'));
  auto inode = open("f");
  const TimeSpec old{1'000, 0};
  ASSERT_TRUE(inode->set_times(nullptr, &old).ok());
  memory_->set_hook(when(StoreOp::kRead, held()));
  sync::Thread writer = start_thread("writer", [&] { write(*inode, 0, kPage + 10, 'n'); });
  until([&] { return memory_->held() == 1; });
  ASSERT_FALSE(write_back(*inode, {}));
  EXPECT_NE(memory_->stat(inode->read_handle())->mtime, old);
  memory_->release_held();
  writer.join();
  memory_->set_hook({});
  const TimeSpec ours = inode->stamps().mtime;
  EXPECT_FALSE(close(inode));
  EXPECT_EQ(open("f")->stamps().mtime, ours);
  EXPECT_FALSE(close(inode));
}

// Fails if a truncate to the same size does not note that there is something to push.
TEST_F(SyncTest, ATruncateToTheSameSizeReachesTheStoresStamps) {
  auto inode = open("f");
  write(*inode, 0, kPage, 'a');
  ASSERT_FALSE(sync(inode));
  const TimeSpec old{1'000, 0};
  ASSERT_TRUE(inode->set_times(nullptr, &old).ok());
  ASSERT_FALSE(truncate(inode, kPage, {}));
  const TimeSpec ours = inode->stamps().mtime;
  EXPECT_NE(ours, old);
  EXPECT_FALSE(close(inode));
  auto handle = memory_->open("f", OpenFlags::kRead, 0).value();
  EXPECT_EQ(handle.stat.mtime, ours);
  EXPECT_TRUE(memory_->close(handle.handle).ok());
}

}  // namespace
}  // namespace quire::file
