// What a page fault waits for, and who waits for it, by real faults: threads that need each other's pages come through,
// and whoever would wait for himself gets a signal. Threads are held where they are by the store, never by sleeps.
// Each test names the change to the code that makes it fail.
#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cache/block_holders.h"
#include "cache/test_pages.h"
#include "file/fault_service.h"
#include "file/file_view.h"
#include "file/mapping_table.h"
#include "file/test_cache.h"
#include "file/test_cuts.h"
#include "file/test_map_mid_fill.h"
#include "file/test_mapping.h"
#include "file/test_punch_vs_fault.h"
#include "map/test_faults.h"
#include "quire/cache.h"
#include "quire/mapping.h"
#include "quire/store_host.h"
#include "quire/store_memory.h"
#include "store/test_directory.h"
#include "sync/mutex.h"

namespace quire::file {
namespace {

using map::Accessor;
using map::kBus;
using map::load;
using map::value;

constexpr std::size_t kPages = 40;  // more than two blocks of fault-around

// A file of pages of 'i', none of them cached, that is mapped.
class MappingWait : public MappedFile {
 protected:
  void SetUp() override {
    MappedFile::SetUp();
    if (IsSkipped()) return;
    make_uncached(filled(kPages * kPage, 'i'));
    map(kPages);
  }
};

INSTANTIATE_TEST_SUITE_P(Strategies, MappingWait, kMappedAs, mapped_as_name);

// A page has been read for a fault, which has not seen it yet, when somebody comes to change the page: he waits for
// the fault's pin. Fails, by a hang, if look_closer() waits for him with the pin in hand.
TEST_P(MappingWait, AFaultDoesNotWaitForWhomItKeepsWaiting) {
  sync::Atomic<bool> service_is_busy{false};
  sync::Atomic<bool> go{false};
  store_->set_hook([&](const StoreRequest& request) {
    if (request.op != StoreOp::kRead) return StoreVerdict{};
    if (request.offset == 0) return held();
    // On the service's thread: who is woken meanwhile comes later.
    service_is_busy = true;
    until([&] { return go.load(); });
    return StoreVerdict{};
  });
  const auto loads = Accessor::loads(at(0));
  until([&] { return store_->held() == 1; });
  const auto others = Accessor::loads(at(32));
  until([&] { return service_is_busy.load(); });
  EXPECT_EQ(store_->release_held(), 1u);
  const std::uint64_t waits = cache_->stats().page_waits.count;
  sync::Thread writer = start_thread("writer", [&] {
    const auto data = filled(10, 'w');
    EXPECT_EQ(file_.write(data, 100).value(), 10u);
  });
  // Under `inode` he has not come so far: the fault is an operation that he waits for.
  if (GetParam() != Locking::kInode) {
    until([&] { return cache_->stats().page_waits.count > waits; });
  }
  EXPECT_FALSE(loads->done());
  go = true;
  EXPECT_EQ(loads->outcome(), value('i'));
  EXPECT_EQ(others->outcome(), value('i'));
  writer.join();
  EXPECT_EQ(load(at(0, 100)), value('w'));
}

// A store of the program's own that touches a mapping while it is called for a cut, or for what goes past the cache:
// the access would wait for its own thread. So would one to a page that the store was called to read. Fails, by a hang,
// without BlockHolders::Scope in CutCall::run(), write_piece(), write_and_invalidate() or FillRequest::submit(). Called
// to write pages back it would wait for whoever waits for that: fails without it in WriteRequest::submit(), since the
// page is read then as by any other thread.
TEST_P(MappingWait, AStoreThatTouchesAMappingInACutGetsASignal) {
  struct Case {
    const char* name;
    StoreOp op;
    std::function<void()> act;
  };
  const auto data = filled(kPage, 'd');
  const std::array cases = {
      Case{"punch", StoreOp::kCut, [&] { EXPECT_TRUE(file_.punch(20 * kPage, kPage).ok()); }},
      Case{"collapse", StoreOp::kCut, [&] { EXPECT_TRUE(file_.collapse(19 * kPage, kPage).ok()); }},
      Case{"truncate", StoreOp::kTruncate,
           [&] { EXPECT_TRUE(file_.truncate(20 * kPage + 1).ok()); }},
      Case{"direct write", StoreOp::kWrite,
           [&] {
             const CallOptions direct{.path = IoPath::kDirect};
             EXPECT_TRUE(file_.write(data, 20 * kPage, direct).ok());
           }},
      Case{"write_and_invalidate", StoreOp::kWrite,
           [&] {
             EXPECT_TRUE(file_.write(data, 20 * kPage).ok());
             EXPECT_TRUE(file_.write_and_invalidate(0, 0).ok());
           }},
      Case{"read", StoreOp::kRead,
           [&] {
             EXPECT_TRUE(file_.write_and_invalidate(0, 0).ok());
             std::byte byte{};
             EXPECT_TRUE(file_.read({&byte, 1}, 20 * kPage).ok());
           }},
      Case{"writeback", StoreOp::kWrite,
           [&] {
             EXPECT_TRUE(file_.write_and_invalidate(0, 0).ok());
             EXPECT_TRUE(file_.write(data, 5 * kPage).ok());
             EXPECT_TRUE(file_.sync().ok());
           }},
  };
  for (const Case& tried : cases) {
    SCOPED_TRACE(tried.name);
    until([&] { return load(at(20)).signal == 0; });
    std::optional<map::Outcome> touched;
    store_->set_hook([&](const StoreRequest& request) {
      if (request.op == tried.op && !touched) {
        touched.emplace();
        *touched = load(at(20));
      }
      return StoreVerdict{};
    });
    tried.act();
    store_->set_hook({});
    ASSERT_TRUE(touched);
    EXPECT_EQ(*touched, kBus);
    EXPECT_EQ(map_->last_error(), std::errc::resource_deadlock_would_occur);
    // The thread is one like any other afterwards, and the page is there again.
    until([&] { return load(at(20)).signal == 0; });
  }
}

// Called to reserve space for a write it stores into another page of the MiB that the write has locked. Fails, by a
// hang, without BlockHolders::Scope in ReserveCall::submit().
TEST_P(MappingWait, AStoreThatTouchesAMappingAsItReservesGetsASignal) {
  MemoryStoreOptions reserves;
  reserves.reserves_space = true;
  make(reserves, 0);
  ASSERT_TRUE(file_.truncate(kPages * kPage).ok());
  map(kPages);
  std::optional<map::Outcome> touched;
  store_->set_hook([&](const StoreRequest& request) {
    if (request.op == StoreOp::kReserve && !touched) {
      touched.emplace();
      *touched = map::store(at(32), 'x');
    }
    return StoreVerdict{};
  });
  EXPECT_TRUE(file_.write(filled(kPage, 'w'), 8 * kPage).ok());
  store_->set_hook({});
  ASSERT_TRUE(touched);
  EXPECT_EQ(*touched, kBus);
  EXPECT_EQ(map_->last_error(), std::errc::resource_deadlock_would_occur);
  until([&] { return map::store(at(32), 'x').signal == 0; });
}

// A file shrinks and grows all the time under those who access its end. What is there when the file has grown can be
// accessed. Fails, in one of some thousand rounds, if an access that is beyond the end when it is looked at raises
// SIGBUS for a while (past_end() fails the page), though the file is long enough again.
TEST_P(MappingWait, WhatHasGrownAgainIsThere) {
  sync::Atomic<bool> stop{false};
  std::vector<sync::Thread> others;
  for (const bool stores : {false, true}) {
    others.push_back(start_thread("other", [&, stores] {
      sigset_t signals;
      sigemptyset(&signals);
      sigaddset(&signals, SIGBUS);
      ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
      while (!stop.load()) {
        // Bytes of their own.
        const map::Outcome outcome =
            stores ? map::store(at(kPages - 1, 8), 's') : load(at(kPages - 1));
        EXPECT_TRUE(outcome.signal == 0 || outcome == kBus) << outcome;
      }
    }));
  }
  std::size_t wrong = 0;
  for (int i = 0; i < 2000; ++i) {
    EXPECT_TRUE(file_.truncate(kPage).ok());
    EXPECT_TRUE(file_.truncate(kPages * kPage).ok());
    if (load(at(kPages - 1)).signal != 0) ++wrong;
  }
  stop = true;
  for (sync::Thread& other : others) other.join();
  EXPECT_EQ(wrong, 0u) << map_->last_error().message();
}

// A fault that is read when the access is over, handed over by the service's thread.
class Stale final : public map::Posted {
 public:
  Stale(FaultService& service, std::byte* page, bool store, pid_t thread = 0) : service_(service) {
    fault_ = {.page = page, .kind = map::Fault::Kind::kMissing, .store = store, .thread = thread};
  }
  void hand_over() {
    service_.post(*this);
    until([&] { return done_.load(); });
  }
  void run() noexcept override {
    service_.fault(fault_);
    done_ = true;
  }

 private:
  FaultService& service_;
  map::Fault fault_;
  sync::Atomic<bool> done_{false};
};

// A fault that is read when the access is over: a signal's handler has left it, the mapping is gone, and at its address
// is one that is answered in another way. Fails if FaultService::fault() does not look whose view it has found: the
// fault waits for the store, posts to its service when that answers, and nothing keeps the service till then.
TEST_P(MappingWait, AStaleFaultIsNotAnsweredForAnotherService) {
  const auto other = FaultService::of_process({.in_thread = !GetParam().in_thread}).value();
  store_->set_hook(when(StoreOp::kRead, held()));
  Stale(*other, at(20), false).hand_over();
  EXPECT_EQ(other->under_way(), 0u);
  EXPECT_EQ(store_->held(), 0u);
  store_->set_hook({});
  store_->release_held();
  until([&] { return other->under_way() == 0; });
  EXPECT_EQ(load(at(20)), value('i'));
}

// Its thread has gone on, since another's fault brought the page into sight, and cuts a file by the time that the fault
// is looked at. Fails if PageFault::answer() fails the page then: accesses raise SIGBUS for a while, though nobody
// accessed it under a Block. The second fault tells that somebody did.
TEST_P(MappingWait, AStaleFaultOfAThreadThatIsAtWorkFailsNothing) {
  const auto own = service();
  for (const bool store : {false, true}) {
    for (int i = 0; i < 3; ++i) {
      const cache::BlockHolders::Scope at_work;
      Stale(*own, at(20), store, ::gettid()).hand_over();
    }
    EXPECT_EQ(map_->last_error(), std::error_code());
    EXPECT_EQ(load(at(20)), value('i'));
    ASSERT_TRUE(file_.write_and_invalidate(0, 0).ok());
  }
  {
    const cache::BlockHolders::Scope at_work;
    for (int i = 0; i < 2; ++i) Stale(*own, at(20), false, ::gettid()).hand_over();
  }
  EXPECT_EQ(map_->last_error(), std::errc::resource_deadlock_would_occur);
}

// The same where it was a store, and what is at its address now is answered in the same way, but may not be stored
// into: by the program, or by anybody, since the file is open for reading only. Fails if PageFault::answer() does not
// ask whether the view allows it: a page is dirty that nobody can write back.
TEST_P(MappingWait, AStaleStoreMakesNothingDirtyThatMayNotBeStoredInto) {
  ASSERT_TRUE(map_->protect(0, 0, MapAccess::kRead).ok());
  EXPECT_EQ(load(at(20)), value('i'));
  Stale(*service(), at(20), true).hand_over();
  until([&] { return service()->under_way() == 0; });
  EXPECT_EQ(cache_->stats().dirty_pages, 0u);
  map_.reset();
  ASSERT_TRUE(file_.close().ok());
  file_ = cache_->open("f", OpenFlags::kRead).value();
  map(kPages, {.access = MapAccess::kRead});
  EXPECT_EQ(load(at(20)), value('i'));
  Stale(*service(), at(20), true).hand_over();
  until([&] { return service()->under_way() == 0; });
  EXPECT_EQ(cache_->stats().dirty_pages, 0u);
  EXPECT_TRUE(cache_->sync().ok());
  EXPECT_EQ(load(at(20)), value('i'));
}

// Two pages fail, one after the other, and between them lies one that is in sight. Fails if the second is asked about
// again when the first is; or if what lies between is taken out of sight.
TEST_P(MappingWait, EachFailedPageHasItsTime) {
  // No page stays failed there.
  if (GetParam().in_thread) return;
  const MappedRange range = MappingTable::of_process().head({at(0), 1});
  auto& view = dynamic_cast<FileView&>(*range.memory);
  EXPECT_EQ(load(at(20)), value('i'));
  const auto error = std::make_error_code(std::errc::io_error);
  view.fail(0, error);
  const sync::Clock::time_point first = view.retry_failed(sync::Clock::now());
  until([&] { return sync::Clock::now() + limits::kFailedPageRetryAfter > first; });
  view.fail(39, error);
  EXPECT_EQ(load(at(0)), kBus);
  EXPECT_EQ(load(at(39)), kBus);
  EXPECT_EQ(load(at(20)), value('i'));
  const std::uint64_t shown = service()->userfault().calls(map::Call::kResolve);
  const sync::Clock::time_point second = view.retry_failed(first);
  EXPECT_GT(second, first);
  EXPECT_EQ(load(at(39)), kBus);
  EXPECT_EQ(load(at(20)), value('i'));
  EXPECT_EQ(service()->userfault().calls(map::Call::kResolve), shown) << "nothing to show";
  EXPECT_EQ(load(at(0)), value('i'));
  EXPECT_EQ(view.retry_failed(second), sync::Clock::kNever);
  EXPECT_EQ(load(at(39)), value('i'));
}

// Fails, where memory that was freed is filled (GLIBC_TUNABLES=glibc.malloc.perturb=165) or AddressSanitizer looks, if
// ~Mapping() uses what unmap() has freed.
TEST_P(MappingWait, AnErrorOfTheLastUnmapIsLogged) {
  ASSERT_TRUE(file_.close().ok());
  EXPECT_EQ(map::store(at(3), 'x'), value('x'));
  store_->set_hook(when(StoreOp::kWrite, failing(std::errc::io_error)));
  map_.reset();
  EXPECT_TRUE(logged("writing back at the close of f"));
  store_->set_hook({});
  file_ = cache_->open("f", kRw).value();
  EXPECT_TRUE(file_.sync().ok());
  EXPECT_EQ(static_cast<char>(store_->contents("f")[3 * kPage]), 'x');
}

// punch-vs-fault: a load of a page that is not cached, and a punch of it; the one comes when the store is at work for
// the other. Fails with kCutBeginsNoBlock, by the old bytes, in tests/planted/mapping_faults.cc; with
// kSealSkipsFilling, by an assertion of the engine; and, by a hang, if the fault is not woken.
TEST_P(MappingWait, PunchVsFault) {
  EXPECT_EQ(PunchVsFault::load_while_the_store_punches(GetParam(), false), value(0));
  EXPECT_EQ(PunchVsFault::punch_while_the_store_reads(GetParam()), value(0));
}

// Loads of the page with the new end in it and of one beyond it come while the file is truncated: they wait for that,
// and then see what is there by then, or raise SIGBUS. Fails with kCutBeginsNoBlock.
TEST_P(MappingWait, TruncateVsFault) {
  store_->set_hook(when(StoreOp::kTruncate, held()));
  sync::Thread cutter =
      start_thread("cutter", [&] { EXPECT_TRUE(file_.truncate(20 * kPage + 3).ok()); });
  until([&] { return store_->held() == 1; });
  const auto tail = Accessor::loads(at(20, 3));
  const auto beyond = Accessor::loads(at(21));
  until([&] { return tail->done() || beyond->done() || service()->under_way() == 2; });
  EXPECT_FALSE(tail->done());
  EXPECT_FALSE(beyond->done());
  store_->set_hook({});
  store_->release_held();
  cutter.join();
  EXPECT_EQ(tail->outcome(), value(0));
  EXPECT_EQ(beyond->outcome(), kBus);
  EXPECT_EQ(load(at(20, 2)), value('i'));
}

// map-mid-fill: a page that a fault is about to show is dropped and added again meanwhile. Fails with kShowUnpinned
// (FileView::show() gives the pin back before the page is in sight), in tests/planted/mapping_faults.cc.
TEST_P(MappingWait, MapMidFill) {
  EXPECT_FALSE(shows_a_page_mid_fill(GetParam()));
}

// unlink-while-mapped: a file of the host's whose name goes while a program has it mapped. Fails if anything but the
// name is taken for gone: the pages in sight, those that are not there yet, or the bytes that are written back.
TEST_P(MappingWait, UnlinkWhileMapped) {
  const store::testing::TestDirectory directory;
  directory.put("f", std::string(4 * kPage, 'h'));
  const std::shared_ptr<Store> host = open_host_store(directory.path()).value();
  {
    const auto cache =
        Cache::create(host, {.memory_bytes = 8 << 20, .locking = GetParam().locking}).value();
    File file = cache->open("f", OpenFlags::kReadWrite).value();
    std::optional<Mapping> mapping =
        file.map(0, 8 * kPage, {.in_thread = GetParam().in_thread}).value();
    std::byte* const data = mapping->data();
    EXPECT_EQ(map::store(data, 'x'), value('x'));
    ASSERT_TRUE(std::filesystem::remove(directory / "f"));
    EXPECT_EQ(load(data), value('x'));
    EXPECT_EQ(load(data + 3 * kPage), value('h'));
    EXPECT_EQ(map::store(data + 3 * kPage, 'y'), value('y'));
    EXPECT_EQ(load(data + 4 * kPage), kBus);
    ASSERT_TRUE(mapping->sync().ok());
    // From the object, which nobody else can see.
    ASSERT_TRUE(file.write_and_invalidate(0, 0).ok());
    EXPECT_EQ(load(data), value('x'));
    EXPECT_EQ(load(data + 3 * kPage), value('y'));
    ASSERT_TRUE(file.truncate(5 * kPage).ok());
    EXPECT_EQ(map::store(data + 4 * kPage, 'z'), value('z'));
    mapping.reset();
    EXPECT_TRUE(file.close().ok());
    EXPECT_TRUE(cache->close().ok());
  }
  EXPECT_FALSE(std::filesystem::exists(directory / "f"));
}

}  // namespace
}  // namespace quire::file
