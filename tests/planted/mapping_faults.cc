// The planted faults of the mappings' answers to page faults: each test of what they prevent notices them.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "cache/test_pages.h"
#include "fault/planted.h"
#include "file/test_map_mid_fill.h"
#include "file/test_punch_vs_fault.h"
#include "map/test_faults.h"
#include "quire/cache.h"
#include "quire/error.h"
#include "quire/mapping.h"
#include "quire/store_memory.h"
#include "sync/atomic.h"
#include "sync/thread.h"

namespace quire::file {
namespace {

constexpr std::array kStrategies = {Locking::kGate, Locking::kRange, Locking::kInvalidate,
                                    Locking::kInode};

// A program stores into a page at the moment when stores are let through, and syncs that page then.
class StoresAndSyncs {
 public:
  // Whether the sync ends without the store. `ahead`: it is to a page that is let through with the one in front of it.
  static bool loses_the_store(Locking locking, bool ahead = false) {
    StoresAndSyncs one(locking, ahead);
    return one.play();
  }

 private:
  static constexpr std::size_t kPages = 8;
  // The third first store in a row lets the pages behind it through.
  static constexpr std::size_t kThird = 2;

  StoresAndSyncs(Locking locking, bool ahead)
      : ahead_(ahead),
        store_(MemoryStore::create()),
        cache_(Cache::create(store_, {.memory_bytes = limits::kMemoryMinBytes, .locking = locking})
                   .value()),
        file_(cache_->open("f", OpenFlags::kReadWrite | OpenFlags::kCreate).value()) {}

  bool play() {
    EXPECT_TRUE(file_.truncate(kPages * limits::kPageBytes).ok());
    Mapping mapping = file_.map(0, kPages * limits::kPageBytes).value();
    const auto store_into = [&](std::size_t page) {
      *reinterpret_cast<volatile char*>(mapping.data() + page * limits::kPageBytes) = 'x';
    };
    if (ahead_) {
      EXPECT_TRUE(mapping.advise(0, 0, Advice::kSequential).ok());
      EXPECT_TRUE(mapping.populate(0, 0, MapAccess::kRead).ok());
      for (std::size_t page = 0; page < kThird; ++page) store_into(page);
      // Who let them through comes to that moment too, perhaps only now.
      const auto service = FaultService::of_process();
      cache::until([&] { return (*service)->under_way() == 0; });
    }
    const std::size_t page = ahead_ ? kThird + 1 : 0;
    played = this;
    fault::between = []() noexcept { played->stores_are_let_through(); };
    sync::Thread program = cache::start_thread("program", [&] {
      if (ahead_) store_into(kThird);
      store_into(page);
      stored_ = true;
    });
    cache::until([&] { return stored_.load(); });
    // It waits for the page, which is not let go before the sync has ended: then it leaves.
    const CallOptions call = {.deadline = std::chrono::steady_clock::now() +
                                          std::chrono::milliseconds(200)};
    const Status synced = mapping.sync(page * limits::kPageBytes, limits::kPageBytes, call);
    EXPECT_TRUE(synced.ok() || synced.code() == Errc::kTimedOut) << synced.error().message();
    const std::vector<std::byte> stored = store_->contents("f");
    synced_ = true;
    program.join();
    fault::between = nullptr;
    EXPECT_EQ(stored.size(), kPages * limits::kPageBytes);
    const bool lost =
        synced.ok() && !stored.empty() && stored.at(page * limits::kPageBytes) != std::byte{'x'};
    EXPECT_TRUE(mapping.unmap().ok());
    EXPECT_TRUE(file_.close().ok());
    EXPECT_TRUE(cache_->close().ok());
    return lost;
  }
  // On the thread that answers the fault.
  void stores_are_let_through() {
    cache::until([&] { return synced_.load(); });
  }

  static inline StoresAndSyncs* played = nullptr;
  const bool ahead_;
  const std::shared_ptr<MemoryStore> store_;
  const std::unique_ptr<Cache> cache_;
  File file_;
  sync::Atomic<bool> stored_{false};
  sync::Atomic<bool> synced_{false};
};

// Two mappings of one page, which is dirty by a store through the first and is being written back, when a program
// stores through the second. That is a first store: it waits for whoever copies the page, and makes it dirty again.
class TwoMappings {
 public:
  // The store comes when the page has been copied. What the file's store has after another sync: 'b', unless it is
  // lost.
  static char after_the_copy(Locking locking) {
    TwoMappings two(locking);
    two.store_->set_hook(cache::when(StoreOp::kWrite, cache::held()));
    sync::Thread syncer = cache::start_thread("syncer", [&] { two.sync(); });
    cache::until([&] { return two.store_->held() == 1; });
    byte_of(two.second_) = 'b';
    EXPECT_EQ(byte_of(two.first_), 'b');
    two.store_->set_hook({});
    two.store_->release_held();
    syncer.join();
    two.sync();
    return two.end();
  }
  // It comes when both mappings were protected, and before the page is copied. What that copy has: 'a', unless there
  // are bytes of two moments in it. `goes_through`: who copies waits for the store, and not only for its fault.
  static char before_the_copy(Locking locking, bool goes_through) {
    TwoMappings two(locking);
    const auto service = FaultService::of_process();
    EXPECT_TRUE(service.ok());
    playing = [&] {
      fault::between = nullptr;
      two.program_ = cache::start_thread("program", [&] {
        byte_of(two.second_) = 'b';
        two.stored_ = true;
      });
      cache::until(
          [&] { return two.stored_.load() || (!goes_through && (*service)->under_way() == 1); });
      EXPECT_EQ(two.stored_.load(), goes_through);
    };
    fault::between = []() noexcept { playing(); };
    two.sync();
    two.program_.join();
    return two.end();
  }

 private:
  explicit TwoMappings(Locking locking)
      : store_(MemoryStore::create()),
        cache_(Cache::create(store_, {.memory_bytes = limits::kMemoryMinBytes, .locking = locking})
                   .value()),
        file_(cache_->open("f", OpenFlags::kReadWrite | OpenFlags::kCreate).value()) {
    EXPECT_TRUE(file_.truncate(limits::kPageBytes).ok());
    first_ = file_.map(0, limits::kPageBytes).value();
    second_ = file_.map(0, limits::kPageBytes).value();
    byte_of(first_) = 'a';
    EXPECT_EQ(byte_of(second_), 'a');  // in sight there too, for loads
  }
  static volatile char& byte_of(const Mapping& mapping) {
    return *reinterpret_cast<volatile char*>(mapping.data());
  }
  void sync() { EXPECT_TRUE(file_.sync().ok()); }
  // The first byte of what the store has.
  char end() {
    const std::vector<std::byte> stored = store_->contents("f");
    EXPECT_EQ(stored.size(), limits::kPageBytes);
    EXPECT_TRUE(first_.unmap().ok());
    EXPECT_TRUE(second_.unmap().ok());
    EXPECT_TRUE(file_.close().ok());
    EXPECT_TRUE(cache_->close().ok());
    return stored.empty() ? '\0' : static_cast<char>(stored[0]);
  }

  static inline std::function<void()> playing;
  const std::shared_ptr<MemoryStore> store_;
  const std::unique_ptr<Cache> cache_;
  File file_;
  Mapping first_;
  Mapping second_;
  sync::Thread program_;
  sync::Atomic<bool> stored_{false};
};

TEST(MappingFaults, SecondViewEarly) {
  if (map::userfault_refused()) GTEST_SKIP() << map::kUserfaultRefused;
  for (const Locking locking : kStrategies) {
    EXPECT_EQ(TwoMappings::after_the_copy(locking), 'b');
    EXPECT_EQ(TwoMappings::before_the_copy(locking, false), 'a');
    fault::plant(fault::Planted::kSecondViewEarly);
    EXPECT_EQ(TwoMappings::after_the_copy(locking), 'a') << "the fault goes unnoticed";
    EXPECT_EQ(TwoMappings::before_the_copy(locking, true), 'b') << "the fault goes unnoticed";
    fault::plant(fault::Planted::kNone);
  }
  FaultService::refuse({});
}

TEST(MappingFaults, StoreListedLate) {
  if (map::userfault_refused()) GTEST_SKIP() << map::kUserfaultRefused;
  for (const Locking locking : kStrategies) {
    EXPECT_FALSE(StoresAndSyncs::loses_the_store(locking));
    fault::plant(fault::Planted::kStoreListedLate);
    EXPECT_TRUE(StoresAndSyncs::loses_the_store(locking)) << "the fault goes unnoticed";
    fault::plant(fault::Planted::kNone);
  }
  FaultService::refuse({});
}

TEST(MappingFaults, StoresAheadListedLate) {
  if (map::userfault_refused()) GTEST_SKIP() << map::kUserfaultRefused;
  for (const Locking locking : kStrategies) {
    EXPECT_FALSE(StoresAndSyncs::loses_the_store(locking, true));
    fault::plant(fault::Planted::kStoresAheadListedLate);
    EXPECT_TRUE(StoresAndSyncs::loses_the_store(locking, true)) << "the fault goes unnoticed";
    fault::plant(fault::Planted::kNone);
  }
  FaultService::refuse({});
}

TEST(MappingFaults, CutBeginsNoBlock) {
  if (map::userfault_refused()) GTEST_SKIP() << map::kUserfaultRefused;
  // Under `inode` an operation keeps the load out even so.
  for (const Locking locking : {Locking::kGate, Locking::kRange, Locking::kInvalidate}) {
    const MappedAs as{locking};
    EXPECT_EQ(PunchVsFault::load_while_the_store_punches(as, false), map::value(0));
    fault::plant(fault::Planted::kCutBeginsNoBlock);
    EXPECT_EQ(PunchVsFault::load_while_the_store_punches(as, true), map::value('i'))
        << "the fault goes unnoticed";
    fault::plant(fault::Planted::kNone);
  }
  FaultService::refuse({});
}

TEST(MappingFaults, ShowUnpinned) {
  if (map::userfault_refused()) GTEST_SKIP() << map::kUserfaultRefused;
  EXPECT_FALSE(shows_a_page_mid_fill(Locking::kRange));
  fault::plant(fault::Planted::kShowUnpinned);
  EXPECT_TRUE(shows_a_page_mid_fill(Locking::kRange)) << "the fault goes unnoticed";
  fault::plant(fault::Planted::kNone);
  FaultService::refuse({});
}

}  // namespace
}  // namespace quire::file
