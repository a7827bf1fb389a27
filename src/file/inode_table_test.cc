// Opening and closing of files: what close writes and returns, and when handles are given back. Each test
// names the change to the code that makes it fail.
#include "file/inode_table.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "file/test_cache.h"

namespace quire::file {
namespace {

using InodeTableTest = CacheOverFront;

// The flusher holds the handles while it looks at a file. Fails if that counts as a request which may
// itself have changed the object: another program's change is then passed over.
TEST_F(InodeTableTest, AChangeBehindIsNoticedWhileTheHandlesAreHeld) {
  auto inode = open("f");
  write(*inode, 0, kPage, 'a');
  memory_->poke("f", {std::byte{1}, std::byte{2}});
  {
    const cache::FilePages::InUse held_by_the_flusher(*inode);
    (void)open("f");
  }
  EXPECT_EQ(sync(inode), kStale);
  EXPECT_FALSE(close(inode));
  EXPECT_FALSE(close(inode));
}

// Fails if only the last close writes back.
TEST_F(InodeTableTest, EveryCloseWritesBack) {
  auto inode = open("f");
  (void)open("f");
  write(*inode, 0, kPage, 'a');
  EXPECT_FALSE(close(inode));
  EXPECT_TRUE(stored("f", 'a'));
  write(*inode, 0, kPage, 'b');
  memory_->set_hook(when(StoreOp::kWrite, failing(std::errc::io_error)));
  (void)open("f");
  EXPECT_EQ(close(inode), kEio);
  memory_->set_hook({});
  EXPECT_FALSE(close(inode));
  EXPECT_TRUE(stored("f", 'b'));
}

// Fails if what the store says to the closing of a handle is only logged.
TEST_F(InodeTableTest, CloseReturnsTheStoresError) {
  auto inode = open("f");
  write(*inode, 0, kPage, 'a');
  store_->on_close = [](ObjectHandle) { return Status(Error(kEio, "closing")); };
  EXPECT_EQ(close(inode), kEio);
  auto again = open("f");
  EXPECT_EQ(close(again), kEio);
}

// Fails if handles are given back at a sync of the cache only.
TEST_F(InodeTableTest, HandlesOfWhatWasWrittenLaterAreGivenBack) {
  memory_->set_hook(when(StoreOp::kWrite, failing(std::errc::io_error)));
  for (int i = 0; i < 10; ++i) {
    auto inode = open("f" + std::to_string(i));
    write(*inode, 0, kPage, 'a');
    EXPECT_EQ(close(inode), kEio);
  }
  EXPECT_EQ(store_->open_handles(), 10u);
  memory_->set_hook({});
  for (const auto& inode : impl_->inodes().in_use()) ASSERT_FALSE(write_back(*inode, {}));
  // Each looks at some of them, and passes over one that the flusher has in hand just now.
  for (int i = 0; i < 1000 && store_->open_handles() > 0; ++i) EXPECT_FALSE(close(open("g")));
  EXPECT_EQ(store_->open_handles(), 0u);
}

// Without a sync of the whole store, a file whose sync could not be waited for must not become idle.
// Fails if all_done() does not look at sync_needed().
TEST_F(InodeTableTest, AFileThatWasNotSyncedStaysInUse) {
  store_->syncs_store = false;
  impl_.reset();
  make();
  auto inode = open("f");
  auto other = open("f");
  write(*inode, 0, kPage, 'a');
  // Else the sync may be left before it has asked the store for anything.
  ASSERT_FALSE(write_back(*inode, {}));
  memory_->set_hook(when(StoreOp::kSync, held()));
  EXPECT_EQ(sync(inode, at_once()), Errc::kTimedOut);
  ASSERT_EQ(memory_->held(), 1u);
  write(*inode, 0, kPage, 'b');
  ASSERT_FALSE(write_back(*inode, {}));
  EXPECT_FALSE(close(inode));
  EXPECT_EQ(close(other, at_once()), Errc::kTimedOut) << "the turn is taken";
  memory_->release_held();
  memory_->set_hook({});
  EXPECT_FALSE(close(open("g")));
  EXPECT_EQ(store_->open_handles(), 1u);
  EXPECT_TRUE(impl_->sync({}).ok());
  EXPECT_TRUE(durable("f", 'b'));
  EXPECT_EQ(store_->open_handles(), 0u);
}

// One thread closes while others open and close: the handles stay for it. Fails, sometimes, if closers do
// not count: then its sync meets a handle that is closed (FrontStore::bad_handles).
TEST_F(InodeTableTest, ClosersKeepTheHandles) {
  store_->syncs_store = false;
  impl_.reset();
  make();
  std::vector<sync::Thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.push_back(start_thread("closer", [&, t] {
      for (int i = 0; i < 300; ++i) {
        auto inode = open("f");
        write(*inode, static_cast<std::uint64_t>(t) * kPage, kPage, 'a');
        EXPECT_FALSE(close(inode));
      }
    }));
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(store_->bad_handles(), 0);
  EXPECT_TRUE(durable("f", 'a', 4));
}

}  // namespace
}  // namespace quire::file
