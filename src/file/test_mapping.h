// What tests of mappings with real faults share: a file "f" of a small cache over a memory store, under each locking
// strategy, and one mapping of it. On a machine that refuses userfaultfd(2) they are skipped.
#ifndef QUIRE_FILE_TEST_MAPPING_H_
#define QUIRE_FILE_TEST_MAPPING_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "file/fault_service.h"
#include "file/test_cache.h"
#include "file/test_cuts.h"
#include "map/test_faults.h"
#include "quire/cache.h"
#include "quire/mapping.h"
#include "quire/store_memory.h"

namespace quire::file {

struct MappedAs {
  Locking locking = Locking::kRange;
  bool in_thread =
      false;  // MapOptions::in_thread; the tests' own handler of SIGBUS asks the library then

  operator Locking() const { return locking; }
  friend void PrintTo(const MappedAs& as, std::ostream* to) {
    *to << cache::name(as.locking) << (as.in_thread ? ", in_thread" : "");
  }
};
inline const auto kMappedAs = testing::Values(
    MappedAs{Locking::kGate}, MappedAs{Locking::kRange}, MappedAs{Locking::kInvalidate},
    MappedAs{Locking::kInode}, MappedAs{Locking::kRange, true}, MappedAs{Locking::kInode, true});
inline std::string mapped_as_name(const testing::TestParamInfo<MappedAs>& info) {
  return strategy_name(testing::TestParamInfo<Locking>(info.param.locking, info.index)) +
         (info.param.in_thread ? "_in_thread" : "");
}

class MappedFile : public testing::TestWithParam<MappedAs> {
 protected:
  void SetUp() override {
    map::bus_is_answered = answer_sigbus;
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
    cache.locking = GetParam().locking;
    cache.deadlock = deadlock_;
    cache.log = [this](LogLevel, std::string_view text) {
      sync::MutexLock lock(mutex_);
      log_ += std::string(text) + "\n";
    };
    cache_ = Cache::create(store_, cache).value();
    file_ = cache_->open("f", kRw).value();
  }
  // Begins again, with a file of these bytes of which nothing is cached, nor anything read that is not asked for.
  void make_uncached(std::vector<std::byte> contents) {
    make({}, 0);
    store_->poke("f", std::move(contents));
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

  void map(std::size_t pages, MapOptions options = {}) {
    options.in_thread = GetParam().in_thread;
    Result<Mapping> mapped = file_.map(0, pages * kPage, options);
    ASSERT_TRUE(mapped.ok()) << mapped.error().message();
    map_.emplace(std::move(*mapped));
  }
  // Who answers for map().
  FaultService::Use service() {
    return FaultService::of_process({.in_thread = GetParam().in_thread}).value();
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
