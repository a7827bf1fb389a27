// The planted faults of the mappings' answers to page faults: each test of what they prevent notices them.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <vector>

#include "cache/test_pages.h"
#include "fault/planted.h"
#include "file/test_map_mid_fill.h"
#include "quire/cache.h"
#include "quire/error.h"
#include "quire/mapping.h"
#include "quire/store_memory.h"
#include "sync/atomic.h"
#include "sync/thread.h"

namespace quire::file {
namespace {

// A program stores into a page at the moment when stores are let through, and syncs then.
class StoresAndSyncs {
 public:
  // Whether the sync ends without the store.
  static bool loses_the_store(Locking locking) {
    StoresAndSyncs one(locking);
    return one.play();
  }

 private:
  explicit StoresAndSyncs(Locking locking)
      : store_(MemoryStore::create()),
        cache_(Cache::create(store_, {.memory_bytes = limits::kMemoryMinBytes, .locking = locking})
                   .value()),
        file_(cache_->open("f", OpenFlags::kReadWrite | OpenFlags::kCreate).value()) {}

  bool play() {
    EXPECT_TRUE(file_.truncate(limits::kPageBytes).ok());
    Mapping mapping = file_.map(0, limits::kPageBytes).value();
    played = this;
    fault::between = []() noexcept { played->stores_are_let_through(); };
    sync::Thread program = cache::start_thread("program", [&] {
      *reinterpret_cast<volatile char*>(mapping.data()) = 'x';
      stored_ = true;
    });
    cache::until([&] { return stored_.load(); });
    // It waits for the page, which is not let go before the sync has ended: then it leaves.
    const CallOptions call = {.deadline = std::chrono::steady_clock::now() +
                                          std::chrono::milliseconds(200)};
    const Status synced = file_.sync(call);
    EXPECT_TRUE(synced.ok() || synced.code() == Errc::kTimedOut) << synced.error().message();
    const std::vector<std::byte> stored = store_->contents("f");
    synced_ = true;
    program.join();
    fault::between = nullptr;
    EXPECT_EQ(stored.size(), limits::kPageBytes);
    const bool lost = synced.ok() && !stored.empty() && stored[0] != std::byte{'x'};
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
  const std::shared_ptr<MemoryStore> store_;
  const std::unique_ptr<Cache> cache_;
  File file_;
  sync::Atomic<bool> stored_{false};
  sync::Atomic<bool> synced_{false};
};

TEST(MappingFaults, StoreListedLate) {
  for (const Locking locking :
       {Locking::kGate, Locking::kRange, Locking::kInvalidate, Locking::kInode}) {
    EXPECT_FALSE(StoresAndSyncs::loses_the_store(locking));
    fault::plant(fault::Planted::kStoreListedLate);
    EXPECT_TRUE(StoresAndSyncs::loses_the_store(locking)) << "the fault goes unnoticed";
    fault::plant(fault::Planted::kNone);
  }
  FaultService::refuse({});
}

TEST(MappingFaults, ShowUnpinned) {
  EXPECT_FALSE(shows_a_page_mid_fill(Locking::kRange));
  fault::plant(fault::Planted::kShowUnpinned);
  EXPECT_TRUE(shows_a_page_mid_fill(Locking::kRange)) << "the fault goes unnoticed";
  fault::plant(fault::Planted::kNone);
  FaultService::refuse({});
}

}  // namespace
}  // namespace quire::file
