// Mappings of files, by real faults, under every locking strategy: what a program loads and stores, and what
// everything else makes of it. Threads that wait are held where they are by the store, never by sleeps. Each test
// names the change to the code that makes it fail.
#include "quire/mapping.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <functional>
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
#include "quire/cache.h"
#include "quire/store_memory.h"

namespace quire::file {
namespace {

using map::Accessor;
using map::kBus;
using map::load;
using map::value;

constexpr MapOptions kReadOnly = {.access = MapAccess::kRead};

class MappingTest : public MappedFile {
 protected:
  // The file has a page of each letter, and all of it is mapped.
  void letters(const std::string& pages, std::size_t tail_bytes = kPage) {
    for (std::size_t i = 0; i < pages.size(); ++i) write(i * kPage, kPage, pages[i]);
    ASSERT_TRUE(file_.truncate((pages.size() - 1) * kPage + tail_bytes).ok());
    ASSERT_TRUE(file_.sync().ok());
    ASSERT_TRUE(file_.write_and_invalidate(0, 0).ok());
  }
  void write(std::uint64_t offset, std::size_t bytes, char with) {
    const auto data = filled(bytes, with);
    const Result<std::size_t> wrote = file_.write(data, offset);
    ASSERT_TRUE(wrote.ok() && *wrote == bytes) << wrote.error().message();
  }
  // The first byte of a page, by a read.
  char read(std::uint64_t offset) {
    std::byte byte{};
    const Result<std::size_t> got = file_.read({&byte, 1}, offset);
    EXPECT_TRUE(got.ok());
    return got.ok() && *got == 1 ? static_cast<char>(byte) : '$';
  }
  void store(std::size_t page, char with, std::size_t in_page = 0) {
    EXPECT_EQ(map::store(at(page, in_page), with), value(with));
  }
  std::string stored_first_bytes() {
    std::string first;
    const std::vector<std::byte> bytes = store_->contents("f");
    for (std::size_t i = 0; i < bytes.size(); i += kPage) first += static_cast<char>(bytes[i]);
    return first;
  }
  // Until the access gives that: a page that failed is tried again after a while.
  void until_loads(std::byte* address, char expected) {
    until([&] { return load(address) == value(expected); });
  }
};

INSTANTIATE_TEST_SUITE_P(Strategies, MappingTest, kMappedAs, mapped_as_name);

// Fails if a fault shows another page than the one of its address, or none.
TEST_P(MappingTest, LoadsSeeTheFile) {
  letters("abcdefghijklmnopqrstuvwxyzabcdefghijklmn");
  map(40);
  for (std::size_t page = 0; page < 40; ++page) {
    EXPECT_EQ(load(at(page, 77)), value('a' + static_cast<char>(page % 26)));
  }
  // Pages that are in frames since before the file was mapped.
  file_ = cache_->open("g", kRw).value();
  write(0, 3 * kPage, 'x');
  map(3);
  EXPECT_EQ(load(at(1)), value('x'));
  EXPECT_EQ(load(at(2)), value('x'));
}

// The three that user-space mappings which copy get wrong (UMap): store-then-pread, pwrite-then-load and
// truncate-then-load. Fails if a store goes to memory that is not the page's, or PageFault::let_store() finishes
// nothing (the store is not written back).
TEST_P(MappingTest, StoreThenPread) {
  letters("abc");
  map(3);
  store(0, 'A', 5);
  EXPECT_EQ(read(5), 'A');
  EXPECT_EQ(read(0), 'a');
  EXPECT_TRUE(map_->sync().ok());
  EXPECT_EQ(static_cast<char>(store_->contents("f")[5]), 'A');
}

// Of a page that is in sight, and of one that is not. Fails if a write goes to a frame of its own; or if a direct one
// leaves pages where they are, neither hidden nor punched out.
TEST_P(MappingTest, PwriteThenLoad) {
  letters("abc");
  map(3);
  EXPECT_EQ(load(at(1)), value('b'));
  for (const CallOptions& call : {CallOptions(), CallOptions{.path = IoPath::kDirect}}) {
    const char with = call.path == IoPath::kDirect ? 'D' : 'B';
    for (const std::size_t page : {1u, 2u}) {
      ASSERT_EQ(file_.write(filled(kPage, with), page * kPage, call).value(), kPage);
      EXPECT_EQ(load(at(page)), value(with)) << page;
    }
  }
  write(kPage, 10, 'p');
  EXPECT_EQ(load(at(1)), value('p'));
  EXPECT_EQ(load(at(1, 10)), value('D'));
}

// Fails if the memory stays as long as it was, or with kSkipTailZeroing.
TEST_P(MappingTest, TruncateThenLoad) {
  letters("abc");
  map(3);
  for (const std::size_t page : {1u, 2u})
    EXPECT_EQ(load(at(page)), value('a' + static_cast<int>(page)));
  ASSERT_TRUE(file_.truncate(kPage + 3).ok());
  EXPECT_EQ(load(at(1, 2)), value('b'));
  EXPECT_EQ(load(at(1, 3)), value(0)) << "behind the end of the file, in its last page";
  EXPECT_EQ(load(at(2)), kBus) << "beyond the last page";
  EXPECT_TRUE(map_->sync().ok());
  EXPECT_EQ(stored_first_bytes(), "ab");
}

// Fails if writeback leaves a page that can be stored into without a fault: the second store is lost.
TEST_P(MappingTest, EachStoreIsWrittenBack) {
  letters("ab");
  map(2);
  for (const char with : std::array{'x', 'y', 'z'}) {
    store(1, with);
    ASSERT_TRUE(file_.sync().ok());
    EXPECT_EQ(stored_first_bytes(), std::string("a") + with);
  }
  store(1, 'q');
  ASSERT_TRUE(map_->unmap().ok());
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored_first_bytes(), "aq") << "what is unmapped is dirty still";
}

// Two views of one page: a store through either is a first store after writeback. Fails with kFirstViewAlone
// (FileViews::for_each tells the first view alone).
TEST_P(MappingTest, TwoMappingsOfOneFile) {
  letters("ab");
  map(2);
  Mapping other = file_.map(kPage, kPage).value();
  store(1, 'x');
  EXPECT_EQ(load(other.data()), value('x'));
  EXPECT_EQ(map::store(other.data(), 'y'), value('y'));
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(map::store(other.data(), 'z'), value('z'));
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored_first_bytes(), "az");
  EXPECT_EQ(load(at(1)), value('z'));
  ASSERT_TRUE(file_.punch(kPage, kPage).ok());
  EXPECT_EQ(load(at(1)), value(0));
  EXPECT_EQ(load(other.data()), value(0));
}

// A cut under way: who loads meanwhile waits for it and sees what is there afterwards. Fails if show() takes pages
// that are sealed, or the fault is not woken.
TEST_P(MappingTest, ALoadWaitsForACut) {
  letters("abcd");
  map(4);
  EXPECT_EQ(load(at(1)), value('b'));
  store_->set_hook(when(StoreOp::kCut, held()));
  sync::Thread cutter =
      start_thread("cutter", [&] { EXPECT_TRUE(file_.collapse(kPage, kPage).ok()); });
  until([&] { return store_->held() == 1; });
  const auto loads = Accessor::loads(at(1));
  const auto stores = Accessor::stores(at(2), 'D');
  until([&] { return service()->under_way() == 2; });
  EXPECT_FALSE(loads->done());
  EXPECT_FALSE(stores->done());
  store_->set_hook({});
  store_->release_held();
  cutter.join();
  EXPECT_EQ(loads->outcome(), value('c'));
  EXPECT_EQ(stores->outcome(), value('D'));
  EXPECT_EQ(load(at(3)), kBus);
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored_first_bytes(), "acD");
}

// Fails if an error of the store's ends in a hang or in zeros, or if a page that failed once fails for ever.
TEST_P(MappingTest, AReadErrorIsASignal) {
  letters("abcd");
  map(4);
  store_->set_hook(when(StoreOp::kRead, failing(std::errc::io_error)));
  EXPECT_EQ(load(at(2)), kBus);
  EXPECT_EQ(map_->last_error(), std::errc::io_error);
  EXPECT_EQ(map::store(at(2), 'x'), kBus);
  EXPECT_EQ(map_->last_error(), std::errc::io_error);
  store_->set_hook({});
  until_loads(at(2), 'c');
  store(2, 'x');
  EXPECT_EQ(read(2 * kPage), 'x');
}

// Only the page that cannot be read: its neighbours, which are read with it, can. Fails if filled() gives up on all.
TEST_P(MappingTest, OneBadPageDoesNotTakeItsNeighboursWithIt) {
  letters("abcd");
  map(4);
  store_->set_hook([](const StoreRequest& request) {
    const bool bad = request.op == StoreOp::kRead && request.offset <= 2 * kPage &&
                     request.offset + request.length > 2 * kPage;
    return bad ? failing(std::errc::io_error) : StoreVerdict{};
  });
  EXPECT_EQ(load(at(0)), value('a'));
  EXPECT_EQ(load(at(3)), value('d'));
  EXPECT_EQ(load(at(1)), value('b'));
  EXPECT_EQ(load(at(2)), kBus);
}

// Fails if a first store takes no space: the sync fails then, and not the store.
TEST_P(MappingTest, AFullStoreIsASignalAtTheStore) {
  make({.capacity_bytes = 4 * kPage, .reserves_space = true});
  ASSERT_TRUE(file_.truncate(8 * kPage).ok());
  map(8);
  for (std::size_t page = 0; page < 4; ++page) store(page, static_cast<char>('a' + page));
  EXPECT_EQ(map::store(at(6), 'x'), kBus);
  EXPECT_EQ(map_->last_error(), std::errc::no_space_on_device);
  EXPECT_TRUE(file_.sync().ok());
  EXPECT_EQ(cache_->stats().writeback_errors, 0u);
  until_loads(at(6), 0);
  ASSERT_TRUE(file_.punch(0, 2 * kPage).ok());
  until([&] { return map::store(at(6), 'x') == value('x'); });
  EXPECT_TRUE(file_.sync().ok());
  EXPECT_EQ(read(6 * kPage), 'x');
}

// What lies behind the end of the file in its last page stays there. Fails with kSkipTailSettling for each way to make
// the file longer, and if writeback writes whole pages.
TEST_P(MappingTest, WhatIsStoredBehindTheEndDoesNotSurface) {
  const std::array<std::function<void()>, 5> grow = {
      [&] { EXPECT_TRUE(file_.truncate(2 * kPage).ok()); },
      [&] { write(kPage + 5, 10, 'w'); },
      [&] { write(300, 10, 'w'); },
      [&] { EXPECT_TRUE(file_.allocate(0, 2 * kPage).ok()); },
      [&] { EXPECT_TRUE(file_.zero(kPage, kPage).ok()); },
  };
  make({.reserves_space = true});
  for (std::size_t i = 0; i < grow.size(); ++i) {
    SCOPED_TRACE(i);
    map_.reset();
    ASSERT_TRUE(file_.truncate(0).ok());
    letters("a", 100);
    map(2);
    store(0, 's', 99);
    store(0, 'j', 100);
    store(0, 'j', 4095);
    EXPECT_EQ(load(at(0, 4095)), value('j')) << "as POSIX has it";
    EXPECT_EQ(load(at(1)), kBus);
    ASSERT_TRUE(file_.sync().ok());
    EXPECT_EQ(store_->contents("f").size(), 100u);
    grow[i]();
    EXPECT_EQ(read(99), 's');
    EXPECT_EQ(read(100), '\0');
    if (i != 2) {
      EXPECT_EQ(read(4095), '\0');
      until_loads(at(1), read(kPage));
    }
    EXPECT_EQ(load(at(0, 100)), value(0));
  }
}

// Fails if an access that found the file too short is not asked about again once it has grown.
TEST_P(MappingTest, TheFileGrowsWhileItIsMapped) {
  letters("a");
  map(100);
  EXPECT_EQ(load(at(50)), kBus);
  for (std::size_t page = 1; page < 100; ++page) write(page * kPage, kPage, 'b');
  EXPECT_EQ(load(at(50)), value('b'));
  store(99, 'z');
  EXPECT_EQ(read(99 * kPage), 'z');
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(store_->contents("f").size(), 100 * kPage);
  EXPECT_EQ(static_cast<char>(store_->contents("f")[99 * kPage]), 'z');
}

// Fails if a mapping has no open of its own.
TEST_P(MappingTest, OutlivesItsFile) {
  letters("ab");
  map(2);
  ASSERT_TRUE(file_.close().ok());
  store(1, 'x');
  EXPECT_EQ(load(at(0)), value('a'));
  EXPECT_EQ(cache_->close().code(), Errc::kOpenFiles);
  ASSERT_TRUE(map_->sync().ok());
  EXPECT_EQ(stored_first_bytes(), "ax");
  store(0, 'y');
  ASSERT_TRUE(map_->unmap().ok());
  EXPECT_FALSE(map_->is_mapped());
  EXPECT_EQ(stored_first_bytes(), "yx") << "as closing a file does";
  file_ = cache_->open("f", kRw).value();
}

// Parts that are unmapped are nobody's, others stay. Fails if unmap() forgets the file with the first part.
TEST_P(MappingTest, PartsCanBeUnmapped) {
  letters("abcd");
  map(4);
  std::byte* const base = map_->data();
  store(3, 'z');
  ASSERT_TRUE(map_->unmap(kPage, 2 * kPage).ok());
  EXPECT_EQ(load(at(0)), value('a'));
  EXPECT_EQ(load(at(1)), map::kSegv);
  EXPECT_EQ(load(at(2)), map::kSegv);
  store(3, 'y');
  ASSERT_TRUE(map_->unmap(0, kPage).ok());
  EXPECT_TRUE(map_->is_mapped());
  ASSERT_TRUE(file_.sync().ok());
  store(3, 'x');
  ASSERT_TRUE(map_->unmap(3 * kPage, kPage).ok());
  EXPECT_FALSE(map_->is_mapped());
  EXPECT_EQ(load(base + 3 * kPage), map::kSegv);
  EXPECT_EQ(read(3 * kPage), 'x');
}

// The place of a part that was unmapped may be another mapping's by now. Fails if the first one, when the rest of it
// goes, takes that out of the table as well: an access there is then asked about for ever.
TEST_P(MappingTest, APartsPlaceMayBeAnothers) {
  letters("abcd");
  map(4);
  std::byte* const hole = at(1);
  ASSERT_TRUE(map_->unmap(kPage, 2 * kPage).ok());
  std::vector<Mapping> others;
  while (others.empty() || others.back().data() != hole) {
    ASSERT_LT(others.size(), 1000u) << "no mapping comes to lie in the hole";
    others.push_back(file_.map(2 * kPage, 2 * kPage).value());
  }
  ASSERT_TRUE(map_->unmap().ok());
  EXPECT_EQ(load(hole), value('c'));
  EXPECT_EQ(file_.write({hole, kPage}, 0).value(), kPage) << "a buffer that is a mapping still";
  EXPECT_EQ(read(0), 'c');
}

// Fails if most() is not looked at, or set_access() not called.
TEST_P(MappingTest, Protect) {
  letters("ab");
  map(2, kReadOnly);
  EXPECT_EQ(load(at(0)), value('a'));
  EXPECT_EQ(map::store(at(0), 'x'), map::kSegv);
  ASSERT_TRUE(map_->protect(0, kPage, MapAccess::kReadWrite).ok());
  store(0, 'x');
  EXPECT_EQ(map::store(at(1), 'x'), map::kSegv);
  EXPECT_EQ(read(0), 'x');
  ASSERT_TRUE(map_->protect(0, 0, MapAccess::kRead).ok());
  EXPECT_EQ(map::store(at(0), 'y'), map::kSegv);

  File reader = cache_->open("f", OpenFlags::kRead).value();
  EXPECT_EQ(reader.map(0, kPage).code(), std::errc::permission_denied);
  Mapping view = reader.map(0, kPage, kReadOnly).value();
  EXPECT_EQ(load(view.data()), value('x'));
  EXPECT_EQ(view.protect(0, 0, MapAccess::kReadWrite).code(), std::errc::permission_denied);
  EXPECT_EQ(view.populate(0, 0, MapAccess::kReadWrite).code(), std::errc::not_supported);
}

// Fails if any of these is taken.
TEST_P(MappingTest, BadRequestsAreRefused) {
  letters("ab");
  EXPECT_EQ(file_.map(0, 0).code(), std::errc::invalid_argument);
  EXPECT_EQ(file_.map(1, kPage).code(), std::errc::invalid_argument);
  EXPECT_EQ(file_.map(kPage, limits::kFileSizeMaxBytes).code(), std::errc::value_too_large);
  const auto privately = file_.map(0, kPage, {.access = MapAccess::kReadWrite, .shared = false});
  EXPECT_EQ(privately.code(), std::errc::not_supported);
  EXPECT_NE(privately.error().message().find("copy"), std::string::npos);
  Mapping readable = file_.map(0, kPage, {.access = MapAccess::kRead, .shared = false}).value();
  EXPECT_EQ(load(readable.data()), value('a'));
  write(0, 1, 'A');
  EXPECT_EQ(load(readable.data()), value('A')) << "private ones for reading show the file too";
  ASSERT_TRUE(file_.punch(0, kPage).ok());
  EXPECT_EQ(load(readable.data()), value(0));
  EXPECT_EQ(readable.protect(0, 0, MapAccess::kReadWrite).code(), std::errc::permission_denied);
  EXPECT_EQ(readable.protect(kPage, 1, MapAccess::kRead).code(), std::errc::invalid_argument);
  EXPECT_EQ(readable.unmap(0, kPage + 1).code(), std::errc::invalid_argument);
  EXPECT_EQ(File().map(0, kPage).code(), Errc::kClosed);
  Mapping nothing;
  EXPECT_EQ(nothing.sync().code(), std::errc::invalid_argument);
  EXPECT_TRUE(nothing.unmap().ok());
}

// More than the cache holds, by loads and by stores. Fails if eviction leaves a page in sight, or if a fault that waits
// for memory is not woken.
TEST_P(MappingTest, MoreThanTheCacheHolds) {
  constexpr std::size_t kPages = 4096;  // 16 MiB; the cache has 8
  ASSERT_TRUE(file_.truncate(kPages * kPage).ok());
  map(kPages);
  for (std::size_t page = 0; page < kPages; ++page) {
    std::uint64_t stamp = page * 7 + 1;
    std::memcpy(at(page, 8), &stamp, sizeof stamp);
  }
  for (std::size_t page = 0; page < kPages; ++page) {
    std::uint64_t stamp = 0;
    std::memcpy(&stamp, at(page, 8), sizeof stamp);
    ASSERT_EQ(stamp, page * 7 + 1);
  }
  EXPECT_GT(cache_->stats().evicted_pages, kPages / 4);
}

// Reads and writes whose buffer is a mapping: of other bytes, of the same bytes, of two files crossing. Fails, by a
// hang, if the bytes are copied while the read or write holds its locks.
TEST_P(MappingTest, BuffersThatAreMappings) {
  letters("abcd");
  map(4);
  EXPECT_EQ(file_.write({at(0), kPage}, 2 * kPage).value(), kPage);
  EXPECT_EQ(load(at(2, 9)), value('a'));
  EXPECT_EQ(file_.write({at(1), kPage}, kPage).value(), kPage) << "onto itself";
  EXPECT_EQ(load(at(1)), value('b'));
  EXPECT_EQ(file_.read({at(0), kPage}, 3 * kPage).value(), kPage);
  EXPECT_EQ(read(0), 'd');
  const CallOptions direct{.path = IoPath::kDirect};
  EXPECT_EQ(file_.write({at(1), 2 * kPage}, 2 * kPage, direct).value(), 2 * kPage);
  EXPECT_EQ(load(at(2)), value('b'));
  EXPECT_EQ(load(at(3)), value('a'));
  EXPECT_EQ(file_.read({at(3), kPage}, 3 * kPage, direct).value(), kPage) << "onto itself";
  EXPECT_EQ(load(at(3)), value('a'));
}

// Fails if a buffer that cannot be had ends in a signal inside the call.
TEST_P(MappingTest, ABufferThatCannotBeHadIsAnError) {
  letters("abcd");
  map(8);
  EXPECT_EQ(file_.write({at(6), kPage}, 0).code(), std::errc::bad_address);
  const Result<std::size_t> part = file_.write({at(3), 3 * kPage}, 0);
  ASSERT_TRUE(part.ok());
  EXPECT_EQ(*part, kPage);
  EXPECT_EQ(read(0), 'd');
}

// Fails if an engine thread, or the child, touches what is the parent's.
TEST_P(MappingTest, TheChildOfAForkHasNoViews) {
  letters("ab");
  map(2);
  store(0, 'x');
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const bool gone = load(map_->data()) == map::kSegv;
    map_.reset();
    ::_exit(gone ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(load(at(0)), value('x'));
  store(1, 'y');
}

// Fails if the first store sets no stamps, or a load does.
TEST_P(MappingTest, AFirstStoreIsAChange) {
  letters("ab");
  map(2);
  const TimeSpec old{1000, 0};
  ASSERT_TRUE(file_.set_times(nullptr, &old).ok());
  EXPECT_EQ(load(at(0)), value('a'));
  EXPECT_EQ(file_.stat()->mtime.seconds, 1000);
  store(0, 'x');
  EXPECT_GT(file_.stat()->mtime.seconds, 1000);
}

// Fails if populate() leaves pages that take a fault, or waits for nothing.
TEST_P(MappingTest, Populate) {
  letters("abcdefghijklmnopqrst");
  map(20);
  ASSERT_TRUE(map_->populate(0, 0, MapAccess::kRead).ok());
  store_->set_hook(when(StoreOp::kRead, failing(std::errc::io_error)));
  for (std::size_t page = 0; page < 20; ++page) {
    EXPECT_EQ(load(at(page)), value('a' + static_cast<char>(page)));
  }
  store_->set_hook({});
  ASSERT_TRUE(map_->populate(4 * kPage, kPage, MapAccess::kReadWrite).ok());
  EXPECT_EQ(cache_->stats().dirty_pages, 1u);
  ASSERT_TRUE(file_.truncate(10 * kPage).ok());
  EXPECT_EQ(map_->populate(0, 0, MapAccess::kRead).code(), std::errc::bad_address);
}

// What a fault shows, by the calls of the kernel. Fails if show_around() asks for what leads up to the page by itself,
// or gives up where something in front is in sight; if advise() does not reach the faults.
TEST_P(MappingTest, AFaultShowsItsBlockByOneCall) {
  letters("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv");
  map(48);
  ASSERT_TRUE(map_->populate(0, 0, MapAccess::kRead).ok());
  ASSERT_TRUE(map_->unmap().ok());
  map(48);
  map::Userfault& userfault = service()->userfault();
  const auto calls_of = [&](std::size_t page) {
    const std::uint64_t before = userfault.calls(map::Call::kResolve);
    EXPECT_EQ(load(at(page)), value('a' + static_cast<char>(page % 26)));
    return userfault.calls(map::Call::kResolve) - before;
  };
  EXPECT_EQ(calls_of(7), 1u);
  for (const std::size_t page : {0u, 6u, 8u, 15u}) EXPECT_EQ(calls_of(page), 0u) << page;
  ASSERT_TRUE(map_->advise(0, 0, Advice::kRandom).ok());
  EXPECT_EQ(calls_of(20), 1u);
  EXPECT_EQ(calls_of(21), 1u);
  ASSERT_TRUE(map_->advise(0, 0, Advice::kNormal).ok());
  EXPECT_EQ(calls_of(17), 1u) << "from 16 on, up to 20";
  EXPECT_EQ(calls_of(25), 2u) << "16 is in sight; then from 25 on";
  EXPECT_EQ(calls_of(22), 2u);
}

class RefusedFeatures : public MappingTest {};
INSTANTIATE_TEST_SUITE_P(Strategies, RefusedFeatures,
                         testing::Values(MappedAs{}, MappedAs{Locking::kRange, true}),
                         mapped_as_name);

// Everything goes on where userfaultfd is refused. Fails if the error does not say what to do.
TEST_P(RefusedFeatures, NoUserfault) {
  letters("ab");
  FaultService::refuse({map::Feature::kUserfault});
  const Result<Mapping> refused = file_.map(0, kPage);
  EXPECT_EQ(refused.code(), std::errc::operation_not_permitted);
  EXPECT_NE(refused.error().message().find("userfaultfd"), std::string::npos);
  EXPECT_EQ(read(kPage), 'b');
  write(0, kPage, 'x');
  EXPECT_TRUE(file_.sync().ok());
}

// Kernels before 6.4: a load counts as a store where stores are allowed. Fails if look() does not take
// Stop::kUnsupported for a store.
TEST_P(RefusedFeatures, NoPagesForLoadsAlone) {
  FaultService::refuse({map::Feature::kResolveProtected});
  letters("abc");
  map(3);
  EXPECT_EQ(load(at(1)), value('b'));
  EXPECT_EQ(cache_->stats().dirty_pages, 1u);
  store(1, 'x');
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored_first_bytes(), "axc");
  store(1, 'y');
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(stored_first_bytes(), "ayc");
  Mapping reader = file_.map(0, 3 * kPage, kReadOnly).value();
  EXPECT_EQ(load(reader.data() + 2 * kPage), value('c'));
  EXPECT_EQ(cache_->stats().dirty_pages, 0u);
}

// Kernels before 6.6. Fails if a page that failed is not mapped again.
TEST_P(RefusedFeatures, NoPoison) {
  FaultService::refuse({map::Feature::kPoison});
  letters("abcd");
  map(4);
  store_->set_hook(when(StoreOp::kRead, failing(std::errc::io_error)));
  EXPECT_EQ(load(at(2)), kBus);
  EXPECT_EQ(map_->last_error(), std::errc::io_error);
  store_->set_hook({});
  // While it is mapped again the signal may be another (docs/decisions/015-sigbus-without-poison.md).
  until([&] { return load(at(2)) == value('c'); });
  EXPECT_EQ(load(at(1)), value('b'));
}

}  // namespace
}  // namespace quire::file
