// Reads and writes whose buffer lies in a mapping, by real faults: of the bytes themselves, of files that cross, of
// pages that are half there, and with cuts, truncates and eviction in between. Nothing of it may hang, and no call may
// end in a signal; each case ends by itself, or Watchdog ends it and says so. Threads are held where they are by the
// store, never by sleeps. (The same with stand-ins, under the simulation's schedules: mapped_io_sim_test.cc.)
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <functional>
#include <future>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "file/test_cuts.h"
#include "file/test_self_mapped.h"
#include "map/userfault_abi.h"
#include "quire/error.h"
#include "quire/mapping.h"
#include "sync/atomic.h"

namespace quire::file {
namespace {

const std::error_code kBadAddress = std::make_error_code(std::errc::bad_address);
const std::array<IoPath, 2> kPaths = {IoPath::kCached, IoPath::kDirect};

CallOptions by(IoPath path) {
  return {.path = path};
}

INSTANTIATE_TEST_SUITE_P(Strategies, SelfMapped, kMappedAs, mapped_as_name);

// Fails, by a hang, if a page is held over the copy of it to or from its own place.
TEST_P(SelfMapped, TheSamePageOntoItself) {
  for (const IoPath path : kPaths) {
    for (const bool there : {false, true}) {
      again();
      const auto page = memory(0, 2 * kPage, kPage);
      if (there) {
        ASSERT_TRUE(tested_[0].map.populate(2 * kPage, kPage, MapAccess::kReadWrite).ok());
      }
      EXPECT_EQ(file(0).read(page, 2 * kPage, by(path)).value(), kPage);
      EXPECT_EQ(seen(page), pattern(0, kPage, 2 * kPage));
      EXPECT_EQ(file(0).write(page, 2 * kPage, by(path)).value(), kPage);
      EXPECT_EQ(seen(page), pattern(0, kPage, 2 * kPage));
      EXPECT_EQ(contents(0), pattern(0, kBytes));
    }
  }
}

// From bytes of the file to others of it that they overlap, forwards and back. The bytes are those that were there
// when the call began. Fails if they are copied in place.
TEST_P(SelfMapped, OverlapByAFewBytes) {
  for (const IoPath path : kPaths) {
    const std::size_t length = 2 * kPage + 1024;
    const std::array<std::pair<std::size_t, std::size_t>, 4> places = {
        {{512, 1024}, {1024, 512}, {kPage, 2 * kPage}, {2 * kPage + 512, 512}}};
    for (const auto& [from, to] : places) {
      again();
      auto expected = pattern(0, kBytes);
      std::memcpy(expected.data() + to, pattern(0, length, from).data(), length);
      EXPECT_EQ(file(0).write(memory(0, from, length), to, by(path)).value(), length);
      EXPECT_EQ(contents(0), expected) << from << " to " << to;
      EXPECT_EQ(seen(memory(0, 0, kBytes)), expected);

      again();
      expected = pattern(0, kBytes);
      std::memcpy(expected.data() + to, pattern(0, length, from).data(), length);
      EXPECT_EQ(file(0).read(memory(0, to, length), from, by(path)).value(), length);
      EXPECT_EQ(seen(memory(0, 0, kBytes)), expected);
      EXPECT_EQ(contents(0), expected);
    }
  }
}

// Two files crossing, and a ring of three: each is read into, or written from, the mapping of the next one, at the same
// time, of the very pages that the next one's call is about. Fails, by a hang, if a page, a block or a write range is
// held over the copy.
TEST_P(SelfMapped, FilesThatCross) {
  const std::size_t length = 3 * kPage;
  for (const std::size_t files : {2u, 3u}) {
    for (unsigned kind = 0; kind < 8; ++kind) {
      SCOPED_TRACE(testing::Message() << files << " files, kind " << kind);
      for (unsigned i = 0; i < files; ++i) fill(i, std::string(3, static_cast<char>('A' + i)));
      std::vector<std::function<void()>> calls;
      for (unsigned i = 0; i < files; ++i) {
        calls.push_back([&, i] {
          const unsigned next = (i + 1) % static_cast<unsigned>(files);
          // All in one way, or each in another.
          const unsigned own = kind < 4 ? kind : kind + i;
          const CallOptions call = by(kPaths[own / 2 % 2]);
          const auto buffer = memory(next, 0, length);
          const auto moved =
              own % 2 == 0 ? file(i).read(buffer, 0, call) : file(i).write(buffer, 0, call);
          EXPECT_TRUE(moved.ok() && *moved == length) << said(moved);
        });
      }
      // Different calls may meet at one request. Under `inode` a call may have to wait for another's operation before
      // it comes to the store.
      at_once_from_threads(calls, kind < 4 && GetParam() != Locking::kInode ? files : 1);
      for (unsigned i = 0; i < files; ++i) {
        const std::string all = letters_of(contents(i));
        EXPECT_EQ(all.size(), 3u);
        EXPECT_EQ(all.find_first_not_of("ABC"), std::string::npos) << all;
        EXPECT_EQ(letters_of(memory(i, 0, length)), all) << "a mapping shows something else";
      }
    }
  }
}

// Of the pages that the buffer lies in some are in sight, some cached, some nowhere; and at the other end too. Fails if
// one is taken for another's, or is left out.
TEST_P(SelfMapped, HalfResidentBuffers) {
  for (const IoPath path : kPaths) {
    for (unsigned which = 0; which < 16; ++which) {
      SCOPED_TRACE(which);
      again();
      for (std::size_t page = 0; page < 4; ++page) {
        const bool there = (which >> page & 1) != 0;
        const std::size_t at = page * kPage;
        if (there && page % 2 == 0) {
          ASSERT_TRUE(tested_[1].map.populate(at, kPage, MapAccess::kRead).ok());
        } else if (there) {
          std::byte byte{};
          ASSERT_TRUE(file(1).read({&byte, 1}, at).ok());
        }
        ASSERT_TRUE(there || tested_[0].map.populate(at + kPage, kPage, MapAccess::kRead).ok());
      }
      const auto buffer = memory(1, 0, 4 * kPage);
      EXPECT_EQ(file(0).write(buffer, kPage, by(path)).value(), 4 * kPage);
      auto expected = pattern(0, kBytes);
      std::memcpy(expected.data() + kPage, pattern(1, 4 * kPage).data(), 4 * kPage);
      EXPECT_EQ(contents(0), expected);
      drop(1, which % 4 * kPage, kPage);
      EXPECT_EQ(file(2).read(buffer, 2 * kPage, by(path)).value(), 4 * kPage);
      expected = pattern(1, kBytes);
      std::memcpy(expected.data(), pattern(2, 4 * kPage, 2 * kPage).data(), 4 * kPage);
      EXPECT_EQ(contents(1), expected);
      EXPECT_EQ(seen(memory(1, 0, kBytes)), expected);
    }
  }
}

// A vector of two mappings, one of them of the file itself, and of plain memory, in turn. Fails if what a piece lies in
// is looked at once for all of them.
TEST_P(SelfMapped, VectorsOfMappingsAndPlainMemory) {
  for (const IoPath path : kPaths) {
    again();
    alignas(kPage) std::array<std::byte, 2 * kPage> plain{};
    const std::vector<std::byte> own = pattern(9, plain.size());
    std::copy(own.begin(), own.end(), plain.begin());
    const std::array<std::span<const std::byte>, 6> from = {
        memory(1, 512, 1024), std::span(plain).first(512),   memory(0, 6 * kPage, 1536),
        memory(2, 0, 0),      memory(2, kPage - 512, kPage), std::span(plain).subspan(kPage, 512)};
    std::vector<std::byte> together;
    for (const auto& part : from) together.insert(together.end(), part.begin(), part.end());
    again();
    auto expected = pattern(0, kBytes);
    std::memcpy(expected.data() + 512, together.data(), together.size());
    EXPECT_EQ(file(0).writev(from, 512, by(path)).value(), together.size());
    EXPECT_EQ(contents(0), expected);

    again();
    const std::array<std::span<std::byte>, 5> into = {
        memory(1, 512, 1024), std::span(plain).first(512), memory(0, 6 * kPage, 1536),
        memory(2, kPage - 512, kPage), std::span(plain).subspan(kPage, 512)};
    EXPECT_EQ(file(0).readv(into, 1024, by(path)).value(), together.size());
    std::size_t at = 1024;
    for (const auto& part : into) {
      EXPECT_EQ(seen(part), pattern(0, part.size(), at));
      at += part.size();
    }
    expected = pattern(2, kBytes);
    std::memcpy(expected.data() + kPage - 512, pattern(0, kPage, 1024 + 3072).data(), kPage);
    EXPECT_EQ(contents(2), expected);
  }
}

// The buffer's page is being cut when the call comes to it: it waits for the cut, and for nothing else, or leaves when
// its time is up. Fails, by a hang, if what the cut waits for is held; or if the copy does not see what the cut left.
TEST_P(SelfMapped, ABlockOfTheBuffer) {
  for (const IoPath path : kPaths) {
    for (const unsigned target : {0u, 1u}) {
      SCOPED_TRACE(target);
      again();
      store_->set_hook(when(StoreOp::kCut, held()));
      sync::Thread cutter =
          start_thread("cutter", [&] { EXPECT_TRUE(file(0).punch(0, kPage).ok()); });
      until([&] { return store_->held() == 1; });
      const auto soon = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
      const CallOptions leaves = {.deadline = soon, .path = path};
      EXPECT_EQ(file(target).write(memory(0, 0, kPage), 4 * kPage, leaves).code(), Errc::kTimedOut);
      sync::Atomic<unsigned> ended{0};
      sync::Thread writer = start_thread("writer", [&] {
        EXPECT_EQ(file(target).write(memory(0, 0, 2 * kPage), 4 * kPage, by(path)).value(),
                  2 * kPage);
        ended.fetch_add(1);
      });
      sync::Thread reader = start_thread("reader", [&] {
        EXPECT_EQ(file(2).read(memory(0, kPage - 512, 1024), kPage - 512, by(path)).value(), 1024u);
        ended.fetch_add(1);
      });
      // Nobody else is held up.
      EXPECT_EQ(file(2).write(memory(1, 0, kPage), 7 * kPage, by(path)).value(), kPage);
      EXPECT_EQ(ended.load(), 0u);
      store_->set_hook({});
      store_->release_held();
      cutter.join();
      writer.join();
      reader.join();
      const auto bytes = contents(target);
      // What the reader stored may have come first.
      std::vector<std::byte> page(kPage);
      const std::span written = std::span(bytes).subspan(4 * kPage, 2 * kPage);
      EXPECT_TRUE(std::equal(page.begin(), page.end() - 512, written.begin()));
      EXPECT_EQ(seen(written.subspan(kPage + 512)), pattern(0, kPage - 512, kPage + 512));
      EXPECT_EQ(seen(memory(0, kPage - 512, 1024)), pattern(2, 1024, kPage - 512));
    }
  }
}

// The buffer's file is truncated while a call goes through the buffer: some of its pages have been there, and are gone
// when the rest cannot be had. What was moved counts, and its bytes are right. Fails, by a signal in the call, if a
// page is made ready and then copied when others have been waited for.
TEST_P(SelfMapped, ATruncateOfTheBuffer) {
  for (const IoPath path : kPaths) {
    for (const bool write : {true, false}) {
      SCOPED_TRACE(testing::Message()
                   << "direct: " << (path == IoPath::kDirect) << ", write: " << write);
      again();
      // Two pages are there, the one between them is being read, and those behind are to come: for that they have to
      // wait for the truncate, which waits for the page that is being read.
      std::byte byte{};
      for (const std::size_t page : {0u, 2u})
        ASSERT_TRUE(file(0).read({&byte, 1}, page * kPage).ok());
      store_->set_hook([&](const StoreRequest& request) {
        return request.op == StoreOp::kRead && request.path == "f" ? held() : StoreVerdict{};
      });
      const auto buffer = memory(0, 0, 6 * kPage);
      sync::Atomic<bool> ended{false};
      Result<std::size_t> moved(0);
      sync::Thread mover = start_thread("mover", [&] {
        moved = write ? file(1).write(buffer, 0, by(path)) : file(1).read(buffer, 0, by(path));
        ended = true;
      });
      until([&] { return store_->held() >= 1; });
      const std::uint64_t waits = cache_->stats().page_waits.count;
      sync::Atomic<bool> cut{false};
      sync::Thread cutter = start_thread("cutter", [&] {
        EXPECT_TRUE(file(0).truncate(0).ok());
        cut = true;
      });
      // Under `inode` and `invalidate` the cut waits before it comes to a page.
      if (GetParam() == Locking::kGate || GetParam() == Locking::kRange) {
        until([&] { return cache_->stats().page_waits.count > waits; });
      }
      store_->set_hook({});
      until([&] {
        store_->release_held();
        return cut.load() && ended.load();
      });
      mover.join();
      cutter.join();
      if (!moved.ok()) {
        EXPECT_EQ(moved.code(), kBadAddress);
      } else if (write) {
        auto expected = pattern(1, kBytes);
        std::memcpy(expected.data(), pattern(0, *moved).data(), *moved);
        EXPECT_EQ(contents(1), expected);
      }
      EXPECT_EQ(file(0).stat()->size_bytes, 0u);
    }
  }
}

// The same without a chosen moment: a file that shrinks and grows all the time, under calls whose buffer it is.
TEST_P(SelfMapped, TruncatesOfTheBufferAtAnyTime) {
  sync::Atomic<bool> stop{false};
  sync::Thread cutter = start_thread("cutter", [&] {
    for (std::size_t i = 0; !stop.load(); ++i) {
      EXPECT_TRUE(file(0).truncate(i % kPages * kPage + i % 3 * 100).ok());
      EXPECT_TRUE(file(0).truncate(kBytes).ok());
    }
  });
  const std::vector<std::byte> zeros(kPage);
  std::vector<std::byte> got(kBytes);
  for (unsigned i = 0; i < 400; ++i) {
    const CallOptions call = by(kPaths[i % 2]);
    const auto wrote = file(1).write(memory(0, 0, kBytes), 0, call);
    EXPECT_TRUE(wrote.ok() || wrote.code() == kBadAddress) << said(wrote);
    const auto read = file(2).read(memory(0, 0, kBytes), 0, call);
    EXPECT_TRUE(read.ok() || read.code() == kBadAddress) << said(read);
  }
  stop = true;
  cutter.join();
  // Each byte is one of the file's, of the other's that was read into it, or zero.
  const auto bytes = contents(1);
  ASSERT_EQ(bytes.size(), kBytes);
  const std::array from = {pattern(0, kBytes), pattern(1, kBytes), pattern(2, kBytes)};
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < kBytes; ++i) {
    const auto is = [&](const std::vector<std::byte>& one) { return bytes[i] == one[i]; };
    if (bytes[i] != std::byte{0} && !std::any_of(from.begin(), from.end(), is)) ++wrong;
  }
  EXPECT_EQ(wrong, 0u);
}

// Files that are larger than the cache, each the other's buffer, while others read: what has been brought in goes
// before it is copied. Fails, by a hang or by wrong bytes, if a bounce waits for memory that waits for it.
TEST_P(SelfMapped, EvictionMeanwhile) {
  constexpr std::size_t kMany = 1536;  // 6 MiB; the cache has 8
  begin(kMany);
  sync::Atomic<bool> stop{false};
  sync::Thread others = start_thread("others", [&] {
    std::vector<std::byte> some(64 * kPage);
    for (std::size_t i = 0; !stop.load(); ++i) {
      EXPECT_TRUE(file(2).read(some, i * 64 % kMany * kPage).ok());
    }
  });
  for (const IoPath path : kPaths) {
    EXPECT_EQ(file(0).write(memory(1, 0, kMany * kPage), 0, by(path)).value(), kMany * kPage);
    EXPECT_TRUE(contents(0) == pattern(1, kMany * kPage));
    EXPECT_EQ(file(2).read(memory(0, 0, kMany * kPage), 0, by(path)).value(), kMany * kPage);
    EXPECT_TRUE(contents(0) == pattern(2, kMany * kPage));
  }
  stop = true;
  others.join();
  EXPECT_GT(cache_->stats().evicted_pages, kMany);
}

// Calls that are submitted. Fails if a worker does not look where its buffer lies.
TEST_P(SelfMapped, SubmittedCalls) {
  const auto submit = [&](unsigned i, const Op& op, IoPath path) {
    std::promise<Result<std::size_t>> promise;
    EXPECT_TRUE(
        file(i)
            .submit(
                op, [&](Result<std::size_t> r) { promise.set_value(std::move(r)); }, by(path))
            .ok());
    return promise.get_future().get();
  };
  for (const IoPath path : kPaths) {
    again();
    EXPECT_EQ(submit(0, ReadOp{memory(0, 0, kPage), kPage}, path).value(), kPage);
    EXPECT_EQ(seen(memory(0, 0, kPage)), pattern(0, kPage, kPage));
    EXPECT_EQ(submit(0, WriteOp{memory(0, kPage, kPage), 2 * kPage}, path).value(), kPage);
    EXPECT_EQ(submit(0, WriteOp{memory(1, 0, kPage), 3 * kPage}, path).value(), kPage);
    EXPECT_EQ(submit(0, AppendOp{memory(0, 7 * kPage, kPage)}, path).value(), kPage);
    auto expected = pattern(0, kBytes);
    for (const std::size_t page : {0u, 2u}) {
      std::memcpy(expected.data() + page * kPage, pattern(0, kPage, kPage).data(), kPage);
    }
    std::memcpy(expected.data() + 3 * kPage, pattern(1, kPage).data(), kPage);
    expected.insert(expected.end(), expected.begin() + 7 * kPage, expected.begin() + 8 * kPage);
    EXPECT_EQ(contents(0), expected);
  }
}

// A file that is appended to itself, by a page and by more than goes at once. Fails if its end is taken from before the
// copy, or the copy waits for the append.
TEST_P(SelfMapped, AppendsFromTheFileItself) {
  for (const IoPath path : kPaths) {
    constexpr std::size_t kMany = 300;  // more than a piece
    begin(kMany);
    auto expected = pattern(0, kMany * kPage);
    EXPECT_EQ(file(0).append(memory(0, 3 * kPage, kPage), by(path)).value(), expected.size());
    expected.insert(expected.end(), expected.begin() + 3 * kPage, expected.begin() + 4 * kPage);
    EXPECT_EQ(file(0).append(memory(0, 0, kMany * kPage), by(path)).value(), expected.size());
    expected.insert(expected.end(), expected.begin(), expected.begin() + kMany * kPage);
    EXPECT_TRUE(contents(0) == expected);
    File appends = cache_->open("f", OpenFlags::kReadWrite | OpenFlags::kAppend).value();
    EXPECT_EQ(appends.write(memory(0, kPage, kPage), 0, by(path)).value(), kPage);
    expected.insert(expected.end(), expected.begin() + kPage, expected.begin() + 2 * kPage);
    EXPECT_TRUE(contents(0) == expected);
    EXPECT_TRUE(appends.close().ok());
  }
}

// An append whose buffer cannot be read to its end cuts off what is missing, but not what another stored there
// meanwhile through a mapping, himself or by a read() into it. Fails if a first store, of a view that watches too, or
// PageFault's copy is no change to AppendPlaces.
TEST_P(SelfMapped, AnAppendThatEndsEarlyLeavesWhatOthersStored) {
  constexpr std::size_t kMany = 256;  // two pieces
  begin(kMany);
  enum Company { kNobody, kStores, kReads, kStoresUnheard };
  ASSERT_TRUE(file(2).write(filled(1, 's'), 0).ok());
  StoreVerdict fails = failing(std::errc::io_error);
  fails.hold = true;
  for (const IoPath path : kPaths) {
    for (const Company company : {kNobody, kStores, kReads, kStoresUnheard}) {
      if (company == kStoresUnheard && !map::kernel_offers(map::abi::kFeatureWpAsync)) continue;
      const Mapping unheard =
          company == kStoresUnheard
              ? file(0)
                    .map(0, kMany * kPage,
                         {.async_stores = true, .in_thread = GetParam().in_thread})
                    .value()
              : Mapping();
      ASSERT_TRUE(file(0).truncate(0).ok());
      drop(1);
      store_->set_hook([&](const StoreRequest& request) {
        const bool in_second = request.path == "g" && request.offset >= 200 * kPage;
        return request.op == StoreOp::kRead && in_second ? fails : StoreVerdict{};
      });
      sync::Atomic<bool> ended{false};
      sync::Thread appender = start_thread("appender", [&] {
        EXPECT_EQ(file(0).append(memory(1, 0, kMany * kPage), by(path)).code(), kEio);
        ended = true;
      });
      until([&] { return store_->held() >= 1; });
      EXPECT_EQ(file(0).stat()->size_bytes, kMany * kPage);
      constexpr std::size_t kThere = 250 * kPage;
      if (company == kStores) {
        EXPECT_EQ(map::store(memory(0, kThere, 1).data(), 's'), map::value('s'));
      } else if (company == kReads) {
        EXPECT_EQ(file(2).read(memory(0, kThere, 1), 0).value(), 1u);
      } else if (company == kStoresUnheard) {
        std::byte* const there = unheard.data() + kThere;
        EXPECT_EQ(map::load(there), map::value(0));
        EXPECT_EQ(map::store(there, 's'), map::value('s'));
      }
      until([&] {
        store_->release_held();
        return ended.load();
      });
      appender.join();
      store_->set_hook({});
      const std::vector<std::byte> now = contents(0);
      EXPECT_EQ(now.size() == kMany * kPage, company != kNobody) << now.size() << ' ' << company;
      EXPECT_TRUE(company == kNobody || now.at(kThere) == std::byte{'s'}) << company;
    }
  }
}

// A mapping that may not be stored into is no buffer for a read. Fails, by SIGSEGV in the call, if that is not looked
// at.
TEST_P(SelfMapped, ABufferThatMayNotBeStoredInto) {
  for (const IoPath path : kPaths) {
    again();
    ASSERT_TRUE(tested_[0].map.protect(kPage, kPage, MapAccess::kRead).ok());
    const auto got = file(1).read(memory(0, 0, 3 * kPage), 0, by(path));
    EXPECT_TRUE(got.ok() && *got == kPage) << said(got);
    EXPECT_EQ(file(1).read(memory(0, kPage, kPage), 0, by(path)).code(), kBadAddress);
    EXPECT_EQ(seen(memory(0, 0, kPage)), pattern(1, kPage));
    EXPECT_EQ(seen(memory(0, kPage, 2 * kPage)), pattern(0, 2 * kPage, kPage));
    EXPECT_EQ(file(1).write(memory(0, kPage, kPage), 0, by(path)).value(), kPage);
    ASSERT_TRUE(tested_[0].map.protect(0, 0, MapAccess::kReadWrite).ok());
  }
}

// A store of the program's own that writes from a mapping while it is called for a cut of what is mapped: the copy
// would wait for its own thread. Fails, by a hang, if want() does not look who asks.
TEST_P(SelfMapped, AStoreThatCopiesFromWhatIsBeingCut) {
  again();
  std::optional<std::error_code> code;
  store_->set_hook([&](const StoreRequest& request) {
    if (request.op == StoreOp::kCut) code = file(1).write(memory(0, 0, kPage), 0).code();
    return StoreVerdict{};
  });
  EXPECT_TRUE(file(0).punch(0, kPage).ok());
  store_->set_hook({});
  EXPECT_EQ(code, std::make_error_code(std::errc::resource_deadlock_would_occur));
  EXPECT_EQ(contents(1), pattern(1, kBytes));
}

// A page of the buffer cannot be read: what came before it was moved. Fails if the error is lost, or is a signal.
TEST_P(SelfMapped, ABufferThatCannotBeRead) {
  for (const IoPath path : kPaths) {
    again();
    store_->set_hook([](const StoreRequest& request) {
      const bool bad = request.op == StoreOp::kRead && request.path == "f" &&
                       request.offset <= 2 * kPage && request.offset + request.length > 2 * kPage;
      return bad ? failing(std::errc::io_error) : StoreVerdict{};
    });
    EXPECT_EQ(file(1).write(memory(0, 0, 4 * kPage), 0, by(path)).value(), 2 * kPage);
    EXPECT_EQ(file(1).write(memory(0, 2 * kPage, kPage), 0, by(path)).code(), kEio);
    EXPECT_EQ(file(1).read(memory(0, 2 * kPage, 100), 0, by(path)).code(),
              path == IoPath::kDirect ? std::make_error_code(std::errc::invalid_argument) : kEio);
    store_->set_hook({});
    auto expected = pattern(1, kBytes);
    std::memcpy(expected.data(), pattern(0, 2 * kPage).data(), 2 * kPage);
    EXPECT_EQ(contents(1), expected);
  }
}

// A page that failed is there again when something has been read into it. Fails without note_had().
TEST_P(SelfMapped, WhatIsReadIntoAPageThatFailedIsThere) {
  again();
  std::byte* const byte = memory(0, 2 * kPage, 1).data();
  store_->set_hook([](const StoreRequest& request) {
    const bool bad = request.op == StoreOp::kRead && request.path == "f";
    return bad ? failing(std::errc::io_error) : StoreVerdict{};
  });
  EXPECT_EQ(map::load(byte), map::kBus);
  store_->set_hook({});
  EXPECT_EQ(file(1).read(memory(0, 2 * kPage, kPage), 0).value(), kPage);
  EXPECT_EQ(map::load(byte), map::value(static_cast<char>(pattern(1, 1)[0])));
}

// A strict cache refuses direct IO from bytes to themselves, were it one byte of them, and nothing else. Fails without
// refused(), or if that looks at pages.
TEST_P(SelfMapped, StrictRefusesTrueOverlapsAlone) {
  deadlock_ = Deadlock::kStrict;
  begin();
  const std::error_code deadlock = std::make_error_code(std::errc::resource_deadlock_would_occur);
  const CallOptions direct = by(IoPath::kDirect);
  const auto both = [&](std::size_t from, std::size_t to, std::size_t length, bool meets) {
    SCOPED_TRACE(testing::Message() << length << " from " << from << " to " << to);
    const auto wrote = file(0).write(memory(0, from, length), to, direct);
    const auto got = file(0).read(memory(0, to, length), from, direct);
    if (meets) {
      EXPECT_EQ(wrote.code(), deadlock);
      EXPECT_EQ(got.code(), deadlock);
    } else {
      EXPECT_TRUE(wrote.ok() && *wrote == length) << said(wrote);
      EXPECT_TRUE(got.ok() && *got == length) << said(got);
    }
  };
  both(0, 0, kPage, true);
  both(kPage, kPage, 512, true);
  both(0, 512, 1024, true);
  both(512, 0, 1024, true);
  both(3 * kPage, 3 * kPage + 512, 1024, true);
  // Beside each other in one page.
  both(0, 512, 512, false);
  both(512, 0, 512, false);
  both(kPage - 512, kPage, 512, false);
  both(0, kPage, kPage, false);
  // Through the cache, or of another file.
  EXPECT_EQ(file(0).write(memory(0, 0, kPage), 0).value(), kPage);
  EXPECT_EQ(file(0).read(memory(0, 0, kPage), 512).value(), kPage);
  EXPECT_EQ(file(0).write(memory(1, 0, kPage), 0, direct).value(), kPage);
  EXPECT_EQ(file(1).read(memory(0, 0, kPage), 0, direct).value(), kPage);
  EXPECT_EQ(file(0).append(memory(0, 0, kPage), direct).value(), kBytes);
  deadlock_ = Deadlock::kBounce;
}

}  // namespace
}  // namespace quire::file
