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

// An append makes its place just when a first store lets the file's last page through with its own. A program stores
// there, into the place, without a fault; then the append finds that its buffer cannot be read.
class StoresIntoAPlace {
 public:
  // Whether the store is cut off with the place. `waits`: the append need not wait for those pages.
  static bool loses_the_store(Locking locking, bool waits) {
    StoresIntoAPlace one(locking);
    return one.play(waits);
  }

 private:
  static constexpr std::size_t kThird = 2;  // as above; the last page comes with it
  static constexpr std::size_t kSize = (kThird + 1) * limits::kPageBytes + 100;
  static constexpr std::size_t kPlace = std::size_t{2} << 20;  // more than a piece

  explicit StoresIntoAPlace(Locking locking)
      : store_(MemoryStore::create()),
        cache_(Cache::create(store_, {.memory_bytes = limits::kMemoryMinBytes, .locking = locking})
                   .value()) {
    store_->poke("f", cache::filled(kSize, 'f'));
    store_->poke("g", cache::filled(kPlace, 'g'));
    file_ = cache_->open("f", OpenFlags::kReadWrite).value();
    other_ = cache_->open("g", OpenFlags::kReadWrite).value();
  }

  bool play(bool waits) {
    Mapping mapping = file_.map(0, kSize).value();
    Mapping buffer = other_.map(0, kPlace).value();
    EXPECT_TRUE(mapping.advise(0, 0, Advice::kSequential).ok());
    std::vector<std::byte> all(kSize);
    EXPECT_EQ(file_.read(all, 0).value(), kSize);
    const auto store_at = [&](std::size_t offset) {
      *reinterpret_cast<volatile char*>(mapping.data() + offset) = 'x';
    };
    StoreVerdict fails = cache::failing(std::errc::io_error);
    fails.hold = true;
    store_->set_hook([fails](const StoreRequest& request) {
      return request.op == StoreOp::kRead && request.path == "g" ? fails : StoreVerdict{};
    });
    sync::Thread appender;
    sync::Atomic<bool> ended{false};
    const auto grown = [&] { return file_.stat()->size_bytes == kSize + kPlace; };
    playing = [&] {
      fault::between = nullptr;
      appender = cache::start_thread("appender", [&] {
        EXPECT_EQ(file_.append(buffer.bytes()).code(), std::errc::io_error);
        ended = true;
      });
      if (waits) cache::until(grown);
    };
    for (std::size_t page = 0; page < kThird; ++page) store_at(page * limits::kPageBytes);
    {
      // What answered them would meet it too.
      const auto service = FaultService::of_process();
      cache::until([&] { return (*service)->under_way() == 0; });
    }
    fault::between = []() noexcept { playing(); };
    store_at(kThird * limits::kPageBytes);
    cache::until(grown);
    store_at(kSize + 1000);
    cache::until([&] {
      store_->release_held();
      return ended.load();
    });
    appender.join();
    store_->set_hook({});
    const bool lost = file_.stat()->size_bytes == kSize;
    EXPECT_TRUE(lost || grown());
    EXPECT_TRUE(mapping.unmap().ok());
    EXPECT_TRUE(buffer.unmap().ok());
    EXPECT_TRUE(file_.close().ok());
    EXPECT_TRUE(other_.close().ok());
    EXPECT_TRUE(cache_->close().ok());
    return lost;
  }

  static inline std::function<void()> playing;
  const std::shared_ptr<MemoryStore> store_;
  const std::unique_ptr<Cache> cache_;
  File file_;
  File other_;
};

TEST(MappingFaults, StoresAheadCountedEarly) {
  if (map::userfault_refused()) GTEST_SKIP() << map::kUserfaultRefused;
  // Under `inode` no append comes between.
  for (const Locking locking : {Locking::kGate, Locking::kRange, Locking::kInvalidate}) {
    EXPECT_FALSE(StoresIntoAPlace::loses_the_store(locking, false));
    fault::plant(fault::Planted::kStoresAheadCountedEarly);
    EXPECT_TRUE(StoresIntoAPlace::loses_the_store(locking, true)) << "the fault goes unnoticed";
    fault::plant(fault::Planted::kNone);
  }
  FaultService::refuse({});
}

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
