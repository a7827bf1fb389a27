// How a cache ends while requests are under way, and what its sync and close say of files that are
// closed. Each test names the change to the code that makes it fail.
#include "file/cache_impl.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cache/test_pages.h"
#include "file/buffered.h"
#include "file/resize.h"
#include "file/sync_file.h"
#include "file/test_store.h"

namespace quire::file {
namespace {

using cache::failing;
using cache::filled;
using cache::held;
using cache::start_thread;
using cache::until;
using cache::when;

constexpr auto kRw = OpenFlags::kReadWrite | OpenFlags::kCreate;
constexpr std::size_t kPage = limits::kPageBytes;
const std::error_code kEio = std::make_error_code(std::errc::io_error);
const std::error_code kStale(ESTALE, std::generic_category());

// A limit that has passed: calls end as soon as they would wait.
sync::WaitLimit at_once() {
  return {sync::Clock::now(), {}};
}

class CacheImplTest : public testing::Test {
 protected:
  void SetUp() override {
    memory_ = MemoryStore::create();
    store_ = std::make_shared<FrontStore>(memory_);
    make();
  }
  void make() {
    CacheOptions options;
    options.memory_bytes = 8 << 20;
    options.log = [this](LogLevel, std::string_view text) {
      const std::lock_guard lock(mutex_);
      log_ += std::string(text) + "\n";
    };
    impl_ = CacheImpl::create(store_, options).value();
  }
  void TearDown() override {
    store_->on_sync_store = nullptr;
    store_->on_close = nullptr;
    memory_->set_hook({});
    memory_->release_held();
    if (impl_ != nullptr) (void)impl_->close({});
    impl_.reset();
    EXPECT_EQ(store_->bad_handles(), 0);
    EXPECT_EQ(store_->open_handles(), 0u);
  }
  bool logged(const std::string& text) {
    const std::lock_guard lock(mutex_);
    return log_.find(text) != std::string::npos;
  }
  std::shared_ptr<Inode> open(const std::string& path, OpenFlags flags = kRw) {
    return impl_->inodes().open(path, flags, 0644).value();
  }
  std::error_code close(const std::shared_ptr<Inode>& inode, const sync::WaitLimit& limit = {}) {
    return impl_->inodes().close(inode, limit);
  }
  static void write(Inode& inode, std::uint64_t offset, std::size_t bytes, char with) {
    const auto data = filled(bytes, with);
    const std::span<const std::byte> piece = data;
    Gather from({&piece, 1});
    EXPECT_EQ(write_at(inode, from, bytes, &offset, {}).bytes, bytes);
  }
  void write_and_close(const std::string& path, char with) {
    const auto inode = open(path);
    write(*inode, 0, kPage, with);
    EXPECT_FALSE(close(inode));
  }

  std::mutex mutex_;
  std::string log_;
  std::shared_ptr<MemoryStore> memory_;
  std::shared_ptr<FrontStore> store_;
  std::shared_ptr<CacheImpl> impl_;
};

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

}  // namespace
}  // namespace quire::file
