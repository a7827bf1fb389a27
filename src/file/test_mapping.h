// What tests of mappings with real faults share: a file "f" of a small cache over a memory store, under each locking
// strategy, and one mapping of it. On a machine that refuses userfaultfd(2) they are skipped.
#ifndef QUIRE_FILE_TEST_MAPPING_H_
#define QUIRE_FILE_TEST_MAPPING_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "file/fault_service.h"
#include "file/test_cache.h"
#include "map/test_faults.h"
#include "quire/cache.h"
#include "quire/mapping.h"
#include "quire/store_memory.h"

namespace quire::file {

class MappedFile : public testing::TestWithParam<Locking> {
 protected:
  void SetUp() override {
    make({});
    if (map::userfault_refused()) GTEST_SKIP() << map::kUserfaultRefused;
  }
  // Begins again.
  void make(const MemoryStoreOptions& options,
            std::size_t readahead_max_bytes = limits::kReadaheadMaxBytes) {
    map_.reset();
    file_ = File();
    cache_.reset();
    store_ = MemoryStore::create(options);
    CacheOptions cache;
    cache.memory_bytes = 8 << 20;
    cache.readahead_max_bytes = readahead_max_bytes;
    cache.locking = GetParam();
    cache.deadlock = deadlock_;
    cache.log = [this](LogLevel, std::string_view text) {
      sync::MutexLock lock(mutex_);
      log_ += std::string(text) + "\n";
    };
    cache_ = Cache::create(store_, cache).value();
    file_ = cache_->open("f", kRw).value();
  }
  void TearDown() override {
    store_->set_hook({});
    store_->release_held();
    map_.reset();
    EXPECT_TRUE(file_.close().ok());
    const Status closed = cache_->close();
    EXPECT_TRUE(closed.ok()) << closed.error().message();
    FaultService::refuse({});
  }

  void map(std::size_t pages, const MapOptions& options = {}) {
    Result<Mapping> mapped = file_.map(0, pages * kPage, options);
    ASSERT_TRUE(mapped.ok()) << mapped.error().message();
    map_.emplace(std::move(*mapped));
  }
  std::byte* at(std::size_t page, std::size_t in_page = 0) {
    return map_->data() + page * kPage + in_page;
  }
  bool logged(const std::string& text) {
    sync::MutexLock lock(mutex_);
    return log_.find(text) != std::string::npos;
  }

  sync::Mutex mutex_;
  std::string log_ GUARDED_BY(mutex_);
  std::shared_ptr<MemoryStore> store_;
  std::unique_ptr<Cache> cache_;
  File file_;
  std::optional<Mapping> map_;
  Deadlock deadlock_ = Deadlock::kBounce;  // of the cache that is made next
};

}  // namespace quire::file

#endif  // QUIRE_FILE_TEST_MAPPING_H_
