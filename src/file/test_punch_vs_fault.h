// punch-vs-fault, played: a program loads from a page of a mapped file that is not cached, while the page is punched.
// For the test that what it sees from then on is zeros, and for a program with planted faults, in which it is not
// (tests/planted).
#ifndef QUIRE_FILE_TEST_PUNCH_VS_FAULT_H_
#define QUIRE_FILE_TEST_PUNCH_VS_FAULT_H_

#include <gtest/gtest.h>

#include <memory>

#include "cache/test_pages.h"
#include "file/fault_service.h"
#include "file/test_mapping.h"
#include "map/test_faults.h"
#include "quire/cache.h"
#include "quire/mapping.h"
#include "quire/store_memory.h"
#include "sync/atomic.h"
#include "sync/thread.h"

namespace quire::file {

class PunchVsFault {
 public:
  // The load comes when the store has been asked for the punch, and has not done it. What one sees when both have
  // ended. `goes_through`: the load does not wait for the punch.
  static map::Outcome load_while_the_store_punches(MappedAs as, bool goes_through) {
    PunchVsFault one(as);
    one.store_->set_hook(cache::when(StoreOp::kCut, cache::held()));
    one.begin_punch();
    cache::until([&] { return one.store_->held() == 1; });
    const auto loads = map::Accessor::loads(one.mapping_.data());
    cache::until(
        [&] { return loads->done() || (!goes_through && one.service_->under_way() == 1); });
    EXPECT_EQ(loads->done(), goes_through);
    one.release();
    EXPECT_EQ(loads->outcome(), map::value(goes_through ? 'i' : 0));
    return one.end();
  }
  // The punch comes when the store has read the page for the load, and has not said so. What a load sees when both have
  // ended.
  static map::Outcome punch_while_the_store_reads(MappedAs as) {
    PunchVsFault one(as);
    one.store_->set_hook(cache::when(StoreOp::kRead, cache::held_answer()));
    const auto loads = map::Accessor::loads(one.mapping_.data());
    cache::until([&] { return one.store_->held() == 1; });
    const std::uint64_t waits = one.cache_->stats().page_waits.count;
    one.begin_punch();
    // Under the other strategies it waits for the file's lock, before it comes to a page.
    if (as.locking == Locking::kGate || as.locking == Locking::kRange) {
      cache::until(
          [&] { return one.punched_.load() || one.cache_->stats().page_waits.count > waits; });
    }
    one.release();
    // It was there before the punch, or came after it.
    const map::Outcome outcome = loads->outcome();
    EXPECT_TRUE(outcome == map::value('i') || outcome == map::value(0)) << outcome;
    return one.end();
  }

 private:
  explicit PunchVsFault(MappedAs as)
      : store_(MemoryStore::create()),
        service_(FaultService::of_process({.in_thread = as.in_thread}).value()) {
    store_->poke("f", cache::filled(2 * limits::kPageBytes, 'i'));
    cache_ = Cache::create(store_, {.memory_bytes = limits::kMemoryMinBytes,
                                    .readahead_max_bytes = 0,
                                    .locking = as.locking})
                 .value();
    file_ = cache_->open("f", OpenFlags::kReadWrite).value();
    mapping_ = file_.map(0, 2 * limits::kPageBytes, {.in_thread = as.in_thread}).value();
  }
  void begin_punch() {
    punches_ = cache::start_thread("punches", [this] {
      EXPECT_TRUE(file_.punch(0, limits::kPageBytes).ok());
      punched_ = true;
    });
  }
  void release() {
    store_->set_hook({});
    store_->release_held();
  }
  map::Outcome end() {
    punches_.join();
    const map::Outcome seen = map::load(mapping_.data());
    EXPECT_EQ(map::load(mapping_.data() + limits::kPageBytes), map::value('i'));
    EXPECT_TRUE(mapping_.unmap().ok());
    EXPECT_TRUE(file_.close().ok());
    EXPECT_TRUE(cache_->close().ok());
    return seen;
  }

  const std::shared_ptr<MemoryStore> store_;
  const FaultService::Use service_;
  std::unique_ptr<Cache> cache_;
  File file_;
  Mapping mapping_;
  sync::Thread punches_;
  sync::Atomic<bool> punched_{false};
};

}  // namespace quire::file

#endif  // QUIRE_FILE_TEST_PUNCH_VS_FAULT_H_
