// Mappings whose stores nobody hears of (MapOptions::async_stores): what the kernel tells when it is asked, and what
// writeback, cuts, unmapping and a small budget make of it. Threads are held where they are by the store, never by
// sleeps. Each test names the change to the code that makes it fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cache/test_pages.h"
#include "file/fault_service.h"
#include "file/test_cache.h"
#include "file/test_cuts.h"
#include "file/test_mapping.h"
#include "map/test_faults.h"
#include "map/userfault_abi.h"
#include "quire/cache.h"
#include "quire/mapping.h"
#include "quire/store_memory.h"
#include "sync/mutex.h"

namespace quire::file {
namespace {

using map::load;
using map::value;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr MapOptions kAsync = {.async_stores = true};

class AsyncMapping : public MappedFile {
 protected:
  void SetUp() override {
    MappedFile::SetUp();
    if (IsSkipped()) return;
    if (!map::kernel_offers(map::abi::kFeatureWpAsync))
      GTEST_SKIP() << "no UFFD_FEATURE_WP_ASYNC here";
    make({}, 0);
  }
  // A file of pages of 'i', none of them cached, all of it mapped so.
  void map_pages(std::size_t pages) {
    store_->poke("f", filled(pages * kPage, 'i'));
    file_ = cache_->open("f", kRw).value();
    map(pages, kAsync);
  }
  // As MappedFile::map() makes them.
  MapOptions async() const {
    MapOptions options = kAsync;
    options.in_thread = GetParam().in_thread;
    return options;
  }
  FaultWay way() const { return {.in_thread = GetParam().in_thread, .async_stores = true}; }
  void store(std::size_t page, char with) { EXPECT_EQ(map::store(at(page), with), value(with)); }
  // The first byte of each page at the store.
  std::string stored() {
    std::string first;
    const std::vector<std::byte> bytes = store_->contents("f");
    for (std::size_t i = 0; i < bytes.size(); i += kPage) first += static_cast<char>(bytes[i]);
    return first;
  }
  // Faults that were answered by a translation.
  std::uint64_t shown() {
    const auto service = FaultService::of_process(way());
    return (*service)->userfault().calls(map::Call::kResolve);
  }
  // Who answers a fault may have its page still when the program goes on.
  void until_answered() {
    const auto service = FaultService::of_process(way());
    until([&] { return (*service)->under_way() == 0; });
  }
  // From now on what is written is noted, as "first page + pages".
  void note_writes() {
    store_->set_hook([this](const StoreRequest& request) {
      note_write(request);
      return StoreVerdict{};
    });
  }
  void note_write(const StoreRequest& request) {
    if (request.op != StoreOp::kWrite) return;
    sync::MutexLock lock(mutex_);
    writes_.push_back(std::to_string(request.offset / kPage) + "+" +
                      std::to_string(request.length / kPage));
  }
  // What was written since this was last asked.
  std::vector<std::string> writes() {
    sync::MutexLock lock(mutex_);
    return std::exchange(writes_, {});
  }
  // The first write is held, later ones are not.
  void hold_one_write() {
    hold_.store(true);
    store_->set_hook([this](const StoreRequest& request) {
      return request.op == StoreOp::kWrite && hold_.exchange(false) ? held() : StoreVerdict{};
    });
  }

  // A sync of the store fails, and what was not synced is lost.
  void lose_a_sync() {
    StoreVerdict loses = failing(std::errc::io_error);
    loses.drop_unsynced = true;
    store_->set_hook([this, loses](const StoreRequest& request) {
      note_write(request);
      return request.op == StoreOp::kSync ? loses : StoreVerdict{};
    });
    EXPECT_FALSE(file_.sync().ok());
    note_writes();
  }

  sync::Atomic<bool> hold_{false};
  std::vector<std::string> writes_ GUARDED_BY(mutex_);
};

INSTANTIATE_TEST_SUITE_P(Strategies, AsyncMapping, kMappedAs, mapped_as_name);

// Fails if Userfault::open() does without what it was asked for.
TEST_P(AsyncMapping, IsRefusedWhereTheKernelLacksIt) {
  FaultService::refuse({map::Feature::kAsyncStores});
  const auto refused = file_.map(0, kPage, async());
  EXPECT_EQ(refused.code(), std::errc::not_supported);
  EXPECT_THAT(refused.error().message(), HasSubstr("Linux 6.7"));
  EXPECT_TRUE(file_.map(0, kPage).ok());
}

// Fails if MappingImpl::make() does not look at inode->space(): a full store would show at writeback alone.
TEST_P(AsyncMapping, IsRefusedWhereAStoreNeedsSpace) {
  make({.reserves_space = true}, 0);
  const auto refused = file_.map(0, kPage, async());
  EXPECT_EQ(refused.code(), std::errc::not_supported);
  EXPECT_THAT(refused.error().message(), HasSubstr("reserve_space"));
  EXPECT_TRUE(file_.map(0, kPage).ok());
  // Nobody ever stores through these.
  EXPECT_TRUE(
      file_.map(0, kPage, {.access = MapAccess::kRead, .shared = false, .async_stores = true})
          .ok());
  auto for_reading = cache_->open("f", OpenFlags::kRead);
  EXPECT_TRUE(for_reading->map(0, kPage, {.access = MapAccess::kRead, .async_stores = true}).ok());
}

// Fails, by what is at the store, if Run::told() does not look at what was stored, or StoreMarks::take() protects
// nothing again (kScanProtects); by the count of faults, if a sync takes pages out of sight.
TEST_P(AsyncMapping, EachStoreIsWrittenBackAndOnlyTheFirstIsAFault) {
  map_pages(2);
  store(1, 'a');
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored(), "ia");
  const std::uint64_t faults = shown();
  for (const char with : {'b', 'c', 'd'}) {
    store(1, with);
    ASSERT_TRUE(map_->sync().ok());
    EXPECT_EQ(stored(), std::string("i") + with);
  }
  EXPECT_EQ(shown(), faults);
  store(1, 'e');
  ASSERT_TRUE(map_->unmap().ok());
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored(), "ie") << "what is unmapped is dirty still";
  EXPECT_EQ(cache_->stats().dirty_pages, 0u) << "nobody can store into it any more";
}

// Fails if Run::submit() sends pages that are needless, or let_store() shows a page for a load without protection.
TEST_P(AsyncMapping, WhatIsOnlyLoadedIsNotWritten) {
  map_pages(8);
  note_writes();
  for (std::size_t page = 0; page < 8; ++page) EXPECT_EQ(load(at(page)), value('i'));
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_THAT(writes(), IsEmpty());
  for (const std::size_t page : {1, 2, 5}) store(page, 's');
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_THAT(writes(), ElementsAre("1+2", "5+1"));
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_THAT(writes(), IsEmpty());
  // Nor when it has to go, nor when it is cut or shot down.
  ASSERT_TRUE(map_->advise(0, 4 * kPage, Advice::kDontNeed).ok());
  EXPECT_THAT(writes(), IsEmpty());
  EXPECT_EQ(cache_->stats().cached_pages, 4u);
  store(6, 't');
  ASSERT_TRUE(file_.write_and_invalidate(0, 0).ok());
  EXPECT_THAT(writes(), ElementsAre("6+1"));
  EXPECT_EQ(cache_->stats().cached_pages, 0u);
  EXPECT_EQ(stored(), "issiisti");
}

// Fails if invalidate_pages() takes a page that was only loaded for dirty, or one that was stored into for clean.
TEST_P(AsyncMapping, WhatIsOnlyLoadedCanBeInvalidated) {
  map_pages(2);
  EXPECT_EQ(load(at(0)), value('i'));
  EXPECT_EQ(load(at(1)), value('i'));
  until_answered();
  store_->poke("f", filled(2 * kPage, 'n'));
  ASSERT_TRUE(file_.invalidate(0, 0).ok());
  EXPECT_EQ(cache_->stats().dirty_pages, 0u);
  EXPECT_EQ(load(at(0)), value('n'));
  EXPECT_EQ(load(at(1)), value('n'));
  store(1, 'x');
  until_answered();
  EXPECT_EQ(file_.invalidate(0, 0).code(), std::errc::device_or_resource_busy);
  EXPECT_EQ(cache_->stats().dirty_pages, 1u);
  EXPECT_EQ(load(at(1)), value('x'));
  until_answered();
  // Nothing was stored since: it is at the store.
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored(), "nx");
  EXPECT_EQ(file_.invalidate(0, 0).code(), std::error_code());
  EXPECT_EQ(cache_->stats().cached_pages, 0u);
}

// A page that a write made dirty is written, though nobody stores through the view that shows it. Fails if end_watch()
// makes every page quiet.
TEST_P(AsyncMapping, WhatIsWrittenOtherwiseIsWrittenBack) {
  map_pages(3);
  const auto data = filled(10, 'w');
  ASSERT_TRUE(file_.write(data, 0).ok());
  EXPECT_EQ(load(at(0)), value('w')) << "dirty before it is shown";
  EXPECT_EQ(load(at(1)), value('i'));
  ASSERT_TRUE(file_.write(data, kPage).ok());
  EXPECT_EQ(load(at(1)), value('w')) << "shown before it is dirty";
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored(), "wwi");
  ASSERT_TRUE(file_.write(filled(10, 'x'), kPage).ok());
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored(), "wxi");
}

// A read by File into the mapping changes the page for the program. Fails if it leaves the page quiet.
TEST_P(AsyncMapping, WhatIsReadIntoTheMappingIsWrittenBack) {
  map_pages(2);
  EXPECT_EQ(load(at(0)), value('i'));
  ASSERT_TRUE(file_.sync().ok());
  ASSERT_TRUE(file_.write(filled(10, 'w'), kPage).ok());
  ASSERT_TRUE(file_.read(std::span(at(0), 10), kPage).ok());
  EXPECT_EQ(load(at(0)), value('w'));
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored(), "ww");
}

// A store while the page is on its way to the store. Fails if end_writeback() makes the page clean.
TEST_P(AsyncMapping, AStoreDuringWritebackIsWrittenNext) {
  map_pages(2);
  store(0, 'a');
  hold_one_write();
  sync::Thread syncs = start_thread("syncs", [&] { EXPECT_TRUE(file_.sync().ok()); });
  until([&] { return store_->held() == 1; });
  store(0, 'b');
  store_->release_held();
  syncs.join();
  EXPECT_EQ(stored(), "ai");
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored(), "bi");
}

// A sync that begins after a store finds the page under the writeback of an earlier sync, which does not have the
// store. Fails if Run::told() leaves the page off the dirty list until its request ends, or keep_watching() leaves it
// under writeback.
TEST_P(AsyncMapping, ASyncDoesNotTakeAnotherOnesAnswer) {
  map_pages(2);
  store(0, 'a');
  hold_one_write();
  sync::Thread first = start_thread("first", [&] { EXPECT_TRUE(file_.sync().ok()); });
  until([&] { return store_->held() == 1; });
  store(0, 'b');
  const std::uint64_t waits = cache_->stats().page_waits.count;
  std::string then;
  sync::Thread second = start_thread("second", [&] {
    EXPECT_TRUE(map_->sync().ok());
    then = stored();
  });
  until([&] { return cache_->stats().page_waits.count > waits || store_->held() == 0; });
  store_->release_held();
  first.join();
  second.join();
  EXPECT_EQ(then, "bi");
}

// What was found stored is not forgotten when it cannot be written. Fails if end_writeback() leaves it quiet.
TEST_P(AsyncMapping, WhatCouldNotBeWrittenIsTriedAgain) {
  map_pages(2);
  EXPECT_EQ(load(at(1)), value('i'));
  ASSERT_TRUE(file_.sync().ok());
  store(1, 'a');
  store_->set_hook(when(StoreOp::kWrite, failing(std::errc::io_error)));
  EXPECT_FALSE(file_.sync().ok());
  EXPECT_EQ(load(at(1)), value('a'));
  store_->set_hook({});
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored(), "ia");
}

// What a failed sync of the store lost is written again, from a page that was never a fault's to store into. Fails if
// told() does not note that the page was stored into: it counts as lost.
TEST_P(AsyncMapping, WhatAFailedSyncLostIsWrittenAgain) {
  map_pages(2);
  EXPECT_EQ(load(at(1)), value('i'));
  store(1, 'a');
  lose_a_sync();
  const Status synced = file_.sync();
  ASSERT_TRUE(synced.ok()) << synced.error().message();
  EXPECT_EQ(static_cast<char>(store_->durable_contents("f")[kPage]), 'a');
}

// A page that is shown again, to be loaded, was not stored into for that. Else it would be written, and count as lost
// if the sync of the store fails then. Fails if let_watched_load() does not ask the view, or
// FileViews::begin_watching() or add() leaves no mark.
TEST_P(AsyncMapping, WhatIsShownAgainIsNotWritten) {
  map_pages(5);
  EXPECT_EQ(load(at(4)), value('i')) << "before the second mapping is made";
  Mapping another = file_.map(0, 5 * kPage, async()).value();
  EXPECT_EQ(load(at(0)), value('i'));
  EXPECT_EQ(load(another.data()), value('i')) << "through a second view";
  EXPECT_EQ(load(another.data() + 4 * kPage), value('i'));
  EXPECT_EQ(load(at(1)), value('i'));
  ASSERT_EQ(::madvise(at(1), kPage, MADV_DONTNEED), 0);
  EXPECT_EQ(load(at(1)), value('i')) << "after the kernel took it out of sight";
  EXPECT_EQ(load(at(3)), value('i')) << "through one of two";
  note_writes();
  lose_a_sync();
  EXPECT_THAT(writes(), IsEmpty());
  const Status synced = file_.sync();
  ASSERT_TRUE(synced.ok()) << synced.error().message();
  EXPECT_THAT(writes(), IsEmpty());
}

// But a store of before is not forgotten with that, and what a failed sync lost of it is written again.
TEST_P(AsyncMapping, AStoreBeforeThePageIsShownAgain) {
  map_pages(2);
  Mapping another = file_.map(0, 2 * kPage, async()).value();
  EXPECT_EQ(load(at(0)), value('i'));
  EXPECT_EQ(load(another.data() + kPage), value('i'));
  ASSERT_TRUE(file_.sync().ok());
  store(0, 'a');
  EXPECT_EQ(map::store(another.data() + kPage, 'b'), value('b'));
  ASSERT_EQ(::madvise(at(0), kPage, MADV_DONTNEED), 0);
  ASSERT_EQ(::madvise(another.data() + kPage, kPage, MADV_DONTNEED), 0);
  EXPECT_EQ(load(at(0)), value('a'));
  EXPECT_EQ(load(another.data() + kPage), value('b'));
  EXPECT_EQ(load(at(1)), value('b'));
  lose_a_sync();
  const Status synced = file_.sync();
  ASSERT_TRUE(synced.ok()) << synced.error().message();
  const std::vector<std::byte> durable = store_->durable_contents("f");
  EXPECT_EQ(static_cast<char>(durable[0]), 'a');
  EXPECT_EQ(static_cast<char>(durable[kPage]), 'b');
}

// A budget of 8 MiB, of which 3.2 may be dirty, and a file of 16, with stores everywhere, twice. Fails, by a hang, if
// the flusher leaves pages in sight where it is pressed; by the bytes, if Run::ask() asks before it hides.
TEST_P(AsyncMapping, AFileLargerThanTheBudget) {
  constexpr std::size_t kPages = 4096;
  map_pages(kPages);
  for (const std::size_t round : {1, 2}) {
    for (std::size_t i = 0; i < kPages; ++i) {
      const std::size_t page = i * 1031 % kPages;
      std::byte* const byte = at(page, round);
      *byte = static_cast<std::byte>(page % 251 + round);
      // One that is in sight, perhaps.
      std::byte* const again = at((page + kPages - 7 * 1031) % kPages, 100 + round);
      *again = static_cast<std::byte>(round);
    }
  }
  ASSERT_TRUE(file_.sync().ok());
  const std::vector<std::byte> bytes = store_->contents("f");
  std::size_t wrong = 0;
  for (std::size_t page = 0; page < kPages; ++page) {
    for (const std::size_t round : {1, 2}) {
      wrong += bytes[page * kPage + round] != static_cast<std::byte>(page % 251 + round);
      wrong += bytes[page * kPage + 100 + round] != static_cast<std::byte>(round);
    }
  }
  EXPECT_EQ(wrong, 0u);
}

// A store just before its page is taken out of sight. The pages are asked about in between all the time, from another
// thread. Fails if stop_watching() believes an answer that was given before the page was hidden.
TEST_P(AsyncMapping, StoresBesideWritebackOfBothKinds) {
  constexpr std::size_t kPages = 64;
  map_pages(kPages);
  sync::Atomic<bool> ends{false};
  sync::Thread syncs = start_thread("syncs", [&] {
    while (!ends.load()) EXPECT_TRUE(file_.sync().ok());
  });
  sync::Thread drops = start_thread("drops", [&] {
    while (!ends.load()) EXPECT_TRUE(file_.advise(0, 0, Advice::kDontNeed).ok());
  });
  std::vector<char> last(kPages, 'i');
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < 3000; ++i) {
    const std::size_t page = i * 29 % kPages;
    const char with = static_cast<char>('a' + i % 23);
    wrong += static_cast<char>(*at(page)) != last[page];
    *at(page) = static_cast<std::byte>(with);
    last[page] = with;
  }
  EXPECT_EQ(wrong, 0u);
  ends = true;
  syncs.join();
  drops.join();
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored(), std::string(last.begin(), last.end()));
}

// What is cut is gone, what is not stays. Fails if FilePages::hide() takes a page for quiet that was stored into.
TEST_P(AsyncMapping, CutsAndDirectWrites) {
  map_pages(6);
  for (std::size_t page = 0; page < 6; ++page) store(page, static_cast<char>('a' + page));
  ASSERT_TRUE(file_.sync().ok());
  for (std::size_t page = 0; page < 6; ++page) store(page, static_cast<char>('A' + page));
  ASSERT_TRUE(file_.punch(kPage, kPage).ok());
  EXPECT_EQ(load(at(1)), value(0));
  EXPECT_EQ(load(at(0)), value('A'));
  ASSERT_TRUE(file_.write(filled(kPage, 'd'), 2 * kPage, {.path = IoPath::kDirect}).ok());
  EXPECT_EQ(load(at(2)), value('d'));
  store(4, 'x');
  std::vector<std::byte> read(kPage);
  ASSERT_TRUE(file_.read(read, 4 * kPage, {.path = IoPath::kDirect}).ok());
  EXPECT_EQ(static_cast<char>(read[0]), 'x');
  ASSERT_TRUE(file_.collapse(3 * kPage, kPage).ok());
  EXPECT_EQ(load(at(3)), value('x'));
  EXPECT_EQ(load(at(5)), map::kBus);
  store(4, 'y');
  ASSERT_TRUE(file_.truncate(4 * kPage + 10).ok());
  ASSERT_TRUE(file_.sync().ok());
  const std::string first = stored();
  EXPECT_EQ(first, std::string("A\0dxy", 5));
  store(4, 'z');
  EXPECT_EQ(map::store(at(4, 20), 'q'), value('q')) << "behind the end, in the last page";
  ASSERT_TRUE(file_.truncate(6 * kPage).ok());
  EXPECT_EQ(load(at(4, 20)), value(0));
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored(), std::string("A\0dxz\0", 6));
}

// A store through either of two views of one page, of which one watches, or both. Fails if Run::ask() does not protect
// (the ordinary one), or FileViews::ask() asks one view alone.
TEST_P(AsyncMapping, SeveralViewsOfAPage) {
  map_pages(2);
  Mapping ordinary = file_.map(0, kPage).value();
  Mapping another = file_.map(0, kPage, async()).value();
  char with = 'a';
  // Through each a first time, and later on.
  for (std::byte* const byte : {at(0), ordinary.data(), another.data(), ordinary.data(), at(0),
                                another.data(), ordinary.data(), at(0), another.data()}) {
    ++with;
    EXPECT_EQ(map::store(byte, with), value(with));
    EXPECT_EQ(load(at(0)), value(with));
    ASSERT_TRUE(file_.sync().ok());
    EXPECT_EQ(stored(), std::string(1, with) + "i");
  }
  // The one that it was stored through goes, others stay.
  EXPECT_EQ(map::store(another.data(), 'z'), value('z'));
  ASSERT_TRUE(another.unmap().ok());
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored(), "zi");
}

// A view goes, through which a page was stored into that is under the writeback of a sync which does not have the
// store. Fails if FileViews::unmap() does not ask, or notes nothing.
TEST_P(AsyncMapping, AViewThatGoesDuringWriteback) {
  map_pages(2);
  Mapping another = file_.map(0, kPage, async()).value();
  EXPECT_EQ(load(at(0)), value('i'));
  EXPECT_EQ(map::store(another.data(), 'a'), value('a'));
  hold_one_write();
  sync::Thread syncs = start_thread("syncs", [&] { EXPECT_TRUE(file_.sync().ok()); });
  until([&] { return store_->held() == 1; });
  std::byte* const gone = another.data();
  EXPECT_EQ(map::store(gone, 'b'), value('b'));
  // Then it waits for the writeback.
  sync::Thread unmaps = start_thread("unmaps", [&] { EXPECT_TRUE(another.unmap().ok()); });
  until([&] { return load(gone) == map::kSegv; });
  store_->release_held();
  syncs.join();
  unmaps.join();
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored(), "bi");
}

// The program, or the kernel for want of memory, takes a page out of sight, and it comes back. Fails if end_watch()
// leaves such a page quiet.
TEST_P(AsyncMapping, APageThatTheKernelTakesOutOfSight) {
  map_pages(2);
  EXPECT_EQ(load(at(0)), value('i'));
  ASSERT_TRUE(file_.sync().ok());
  store(0, 'a');
  ASSERT_EQ(::madvise(at(0), kPage, MADV_DONTNEED), 0);
  EXPECT_EQ(load(at(0)), value('a'));
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored(), "ai");
  store(0, 'b');
  ASSERT_EQ(::madvise(at(0), kPage, MADV_DONTNEED), 0);
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored(), "bi");
}

// Fails if set_access() leaves in sight what was shown while nobody could store into it.
TEST_P(AsyncMapping, AMappingThatMayBeStoredIntoLaterOn) {
  store_->poke("f", filled(2 * kPage, 'i'));
  file_ = cache_->open("f", kRw).value();
  map(2, {.access = MapAccess::kRead, .async_stores = true});
  EXPECT_EQ(load(at(0)), value('i'));
  EXPECT_EQ(cache_->stats().dirty_pages, 0u);
  for (const char with : {'a', 'b'}) {
    ASSERT_TRUE(map_->protect(0, 0, MapAccess::kReadWrite).ok());
    store(0, with);
    ASSERT_TRUE(map_->protect(0, 0, MapAccess::kRead).ok());
    EXPECT_EQ(map::store(at(0), 'x'), map::kSegv);
    ASSERT_TRUE(file_.sync().ok());
    EXPECT_EQ(stored(), std::string(1, with) + "i");
  }
}

// The time stamps of a store are those of when it was noticed. Fails if Run::ask() tells nobody, or a load stamps.
TEST_P(AsyncMapping, TimeStamps) {
  map_pages(2);
  const TimeSpec old{1000, 0};
  ASSERT_TRUE(file_.set_times(nullptr, &old).ok());
  const auto mtime = [&] { return file_.stat()->mtime.seconds; };
  EXPECT_EQ(load(at(0)), value('i'));
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(mtime(), 1000);
  store(0, 'a');
  EXPECT_EQ(mtime(), 1000);
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_GT(mtime(), 1000);
  ASSERT_TRUE(file_.set_times(nullptr, &old).ok());
  store(0, 'b');
  ASSERT_TRUE(file_.advise(0, 0, Advice::kDontNeed).ok());
  EXPECT_GT(mtime(), 1000);
  for (const bool stores : {false, true}) {
    ASSERT_TRUE(file_.set_times(nullptr, &old).ok());
    map(2, kAsync);
    EXPECT_EQ(load(at(1)), value('i'));
    if (stores) store(1, 'c');
    ASSERT_TRUE(map_->unmap().ok());
    EXPECT_EQ(mtime() > 1000, stores);
  }
}

// Fails if FileViews::unmap() believes that all was stored into.
TEST_P(AsyncMapping, WhatWasOnlyLoadedIsNotWrittenWhenItIsUnmapped) {
  map_pages(4);
  note_writes();
  for (std::size_t page = 0; page < 4; ++page) EXPECT_EQ(load(at(page)), value('i'));
  store(2, 'a');
  ASSERT_TRUE(map_->unmap(0, 2 * kPage).ok());
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_THAT(writes(), ElementsAre("2+1"));
  EXPECT_EQ(cache_->stats().dirty_pages, 2u);
  store(3, 'b');
  ASSERT_TRUE(map_->unmap().ok());
  EXPECT_THAT(writes(), ElementsAre("3+1"));
  EXPECT_EQ(cache_->stats().dirty_pages, 0u);
  EXPECT_EQ(stored(), "iiab");
}

}  // namespace
}  // namespace quire::file
