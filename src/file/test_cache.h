// What tests of the file floor share: a CacheImpl over a FrontStore over a memory store, and its inodes.
#ifndef QUIRE_FILE_TEST_CACHE_H_
#define QUIRE_FILE_TEST_CACHE_H_

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "cache/seal.h"
#include "cache/test_pages.h"
#include "file/buffered.h"
#include "file/cache_impl.h"
#include "file/resize.h"
#include "file/sync_file.h"
#include "file/test_store.h"

namespace quire::file {

using cache::failing;
using cache::filled;
using cache::held;
using cache::held_answer;
using cache::start_thread;
using cache::until;
using cache::when;

inline constexpr auto kRw = OpenFlags::kReadWrite | OpenFlags::kCreate;
inline constexpr std::size_t kPage = limits::kPageBytes;
inline constexpr std::uint64_t kLast = ~std::uint64_t{0};  // page
inline const std::error_code kEio = std::make_error_code(std::errc::io_error);
inline const std::error_code kStale(ESTALE, std::generic_category());

// A limit that has passed: calls end as soon as they would wait.
inline sync::WaitLimit at_once() {
  return {sync::Clock::now(), {}};
}

class CacheOverFront : public testing::Test {
 protected:
  void SetUp() override {
    memory_ = MemoryStore::create();
    store_ = std::make_shared<FrontStore>(memory_);
    make();
  }
  // Begins again over a memory store of its own kind.
  void make_over(const MemoryStoreOptions& options) {
    impl_.reset();
    memory_ = MemoryStore::create(options);
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
  static std::error_code sync(const std::shared_ptr<Inode>& inode,
                              const sync::WaitLimit& limit = {}) {
    return sync_all(inode, SyncKind::kAll, limit);
  }
  static void drop_clean(Inode& inode) { cache::drop_clean(inode, 0, ~std::uint64_t{0}); }
  bool stored(const std::string& path, char with, std::size_t pages = 1) const {
    return memory_->contents(path) == filled(pages * kPage, with);
  }
  bool durable(const std::string& path, char with, std::size_t pages = 1) const {
    return memory_->durable_contents(path) == filled(pages * kPage, with);
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

}  // namespace quire::file

#endif  // QUIRE_FILE_TEST_CACHE_H_
