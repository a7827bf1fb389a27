#include "store/memory_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "quire/error.h"
#include "quire/store_memory.h"
#include "store/test_io.h"

namespace quire::store::testing {
namespace {

std::error_code code(std::errc e) {
  return std::make_error_code(e);
}

TEST(MemoryStore, WritesAreReadBack) {
  auto store = MemoryStore::create();
  Opened object(store, "dir/file");
  ASSERT_TRUE(object.result());
  EXPECT_TRUE(object.result()->created);
  const auto bytes = pattern(3 * kPage + 100, 1);
  EXPECT_FALSE(write(*store, object.handle(), 5, bytes));
  EXPECT_EQ(read(*store, object.handle(), 5, bytes.size()).bytes, bytes);
  EXPECT_EQ(object.stat().size_bytes, bytes.size() + 5);
  EXPECT_EQ(store->contents("dir/file").size(), bytes.size() + 5);
  EXPECT_EQ(store->contents("dir//file")[4], std::byte{0});
}

TEST(MemoryStore, ReadsPastTheEndAreShortAndHolesAreZero) {
  auto store = MemoryStore::create();
  Opened object(store, "f");
  EXPECT_FALSE(write(*store, object.handle(), 10 * kPage, pattern(10, 1)));
  EXPECT_EQ(read(*store, object.handle(), 10 * kPage, kPage).bytes.size(), 10u);
  EXPECT_EQ(read(*store, object.handle(), 11 * kPage, kPage).bytes.size(), 0u);
  EXPECT_EQ(read(*store, object.handle(), kPage, kPage).bytes, std::vector<std::byte>(kPage));
  EXPECT_EQ(object.stat().allocated_bytes, kPage);
}

TEST(MemoryStore, OpenErrors) {
  auto store = MemoryStore::create();
  EXPECT_EQ(store->open("none", OpenFlags::kRead, 0).code(), std::errc::no_such_file_or_directory);
  EXPECT_EQ(store->open("/x", kCreateFlags, 0).code(), Errc::kPathEscapes);
  EXPECT_EQ(store->open("x", OpenFlags::kCreate, 0).code(), std::errc::invalid_argument);
  EXPECT_EQ(store->open("x", OpenFlags::kRead | OpenFlags::kTruncate, 0).code(),
            std::errc::invalid_argument);
  Opened made(store, "x");
  EXPECT_EQ(store->open("x", kCreateFlags | OpenFlags::kExclusive, 0).code(),
            std::errc::file_exists);
  Opened again(store, "x");
  EXPECT_FALSE(again.result()->created);
  EXPECT_EQ(again.id(), made.id());
}

TEST(MemoryStore, HandlesGrantWhatTheyWereOpenedFor) {
  auto store = MemoryStore::create();
  Opened made(store, "x");
  Opened reader(store, "x", OpenFlags::kRead);
  EXPECT_EQ(write(*store, reader.handle(), 0, pattern(1, 1)), code(std::errc::bad_file_descriptor));
  EXPECT_EQ(truncate(*store, reader.handle(), 5), code(std::errc::bad_file_descriptor));
  EXPECT_EQ(read(*store, ObjectHandle{999}, 0, 1).error, code(std::errc::bad_file_descriptor));
}

TEST(MemoryStore, TruncateOnOpenAndLinks) {
  auto store = MemoryStore::create();
  Opened object(store, "a");
  EXPECT_FALSE(write(*store, object.handle(), 0, pattern(100, 1)));
  store->link("a", "b");
  Opened linked(store, "b", OpenFlags::kReadWrite | OpenFlags::kTruncate);
  EXPECT_EQ(linked.id(), object.id());
  EXPECT_EQ(linked.stat().links, 2u);
  EXPECT_EQ(object.stat().size_bytes, 0u);
  Opened other(store, "c");
  EXPECT_NE(other.id(), object.id());
}

TEST(MemoryStore, TruncateDropsAndGrowsWithZeros) {
  auto store = MemoryStore::create();
  Opened object(store, "a");
  EXPECT_FALSE(write(*store, object.handle(), 0, pattern(3 * kPage, 1)));
  EXPECT_FALSE(truncate(*store, object.handle(), 100));
  EXPECT_EQ(object.stat().allocated_bytes, kPage);
  EXPECT_FALSE(truncate(*store, object.handle(), 2 * kPage));
  auto expected = pattern(3 * kPage, 1);
  expected.resize(100);
  expected.resize(2 * kPage);
  EXPECT_EQ(store->contents("a"), expected);
  EXPECT_EQ(truncate(*store, object.handle(), ~std::uint64_t{0}), code(std::errc::file_too_large));
  EXPECT_FALSE(truncate(*store, object.handle(), limits::kFileSizeMaxBytes));
  EXPECT_EQ(object.stat().size_bytes, limits::kFileSizeMaxBytes);
  const ReadResult last =
      read(*store, object.handle(), limits::kFileSizeMaxBytes + 1 - kPage, kPage);
  EXPECT_FALSE(last.error) << "asked for whole";
  EXPECT_EQ(last.bytes, std::vector<std::byte>(kPage - 1));
  EXPECT_FALSE(truncate(*store, object.handle(), 0));
}

// What cut() should do, on a plain vector.
std::vector<std::byte> cut_model(std::vector<std::byte> bytes, Cut kind, std::size_t offset,
                                 std::size_t length) {
  const auto at = bytes.begin() + static_cast<std::ptrdiff_t>(offset);
  const auto end =
      bytes.begin() + static_cast<std::ptrdiff_t>(std::min(bytes.size(), offset + length));
  switch (kind) {
    case Cut::kPunch:
    case Cut::kZero:
      std::fill(at, std::max(at, end), std::byte{0});
      break;
    case Cut::kInsert:
      bytes.insert(at, length, std::byte{0});
      break;
    case Cut::kCollapse:
      bytes.erase(at, end);
      break;
  }
  return bytes;
}

TEST(MemoryStore, CutsMatchAModel) {
  const std::size_t size = 6 * kPage + 77;
  const struct {
    Cut kind;
    std::size_t offset, length;
  } cases[] = {{Cut::kPunch, 10, 20},
               {Cut::kPunch, 10, kPage},
               {Cut::kPunch, 0, kPage},
               {Cut::kPunch, kPage - 1, 2 * kPage + 2},
               {Cut::kPunch, 5 * kPage, 10 * kPage},
               {Cut::kZero, 100, 3 * kPage},
               {Cut::kZero, kPage, 2 * kPage},
               {Cut::kInsert, 0, kPage},
               {Cut::kInsert, 2 * kPage, 3 * kPage},
               {Cut::kInsert, 6 * kPage, kPage},
               {Cut::kCollapse, 0, kPage},
               {Cut::kCollapse, 2 * kPage, 4 * kPage}};
  for (const auto& c : cases) {
    SCOPED_TRACE(::testing::Message()
                 << static_cast<int>(c.kind) << " at " << c.offset << " + " << c.length);
    auto store = MemoryStore::create();
    Opened object(store, "a");
    const auto bytes = pattern(size, 3);
    EXPECT_FALSE(write(*store, object.handle(), 0, bytes));
    EXPECT_FALSE(sync(*store, object.handle()));
    EXPECT_FALSE(cut(*store, object.handle(), c.kind, c.offset, c.length));
    const auto expected = cut_model(bytes, c.kind, c.offset, c.length);
    EXPECT_EQ(store->contents("a"), expected);
    EXPECT_EQ(store->durable_contents("a"), bytes);
    EXPECT_FALSE(sync(*store, object.handle()));
    EXPECT_EQ(store->durable_contents("a"), expected);
  }
}

TEST(MemoryStore, CutsRefuseWhatFallocateRefuses) {
  auto store = MemoryStore::create();
  Opened object(store, "a");
  EXPECT_FALSE(write(*store, object.handle(), 0, pattern(4 * kPage, 3)));
  const auto invalid = code(std::errc::invalid_argument);
  EXPECT_EQ(cut(*store, object.handle(), Cut::kPunch, 0, 0), invalid);
  EXPECT_EQ(cut(*store, object.handle(), Cut::kInsert, 1, kPage), invalid);
  EXPECT_EQ(cut(*store, object.handle(), Cut::kInsert, 4 * kPage, kPage), invalid);
  EXPECT_EQ(cut(*store, object.handle(), Cut::kCollapse, kPage, 3 * kPage), invalid);
  EXPECT_EQ(
      cut(*store, object.handle(), Cut::kInsert, 0, limits::kFileSizeMaxBytes / kPage * kPage),
      code(std::errc::file_too_large));
}

TEST(MemoryStore, OnlyWhatWasSyncedSurvivesACrash) {
  auto store = MemoryStore::create();
  Opened object(store, "a");
  const auto first = pattern(2 * kPage, 1);
  EXPECT_FALSE(write(*store, object.handle(), 0, first));
  EXPECT_FALSE(sync(*store, object.handle(), SyncKind::kData));
  EXPECT_FALSE(write(*store, object.handle(), kPage, pattern(2 * kPage, 2)));
  EXPECT_EQ(store->durable_contents("a"), first);
  store->crash();
  EXPECT_EQ(store->contents("a"), first);

  EXPECT_FALSE(truncate(*store, object.handle(), 10));
  store->crash();
  EXPECT_EQ(store->contents("a"), first);

  Opened unsynced(store, "b");
  EXPECT_FALSE(write(*store, unsynced.handle(), 0, first));
  store->crash();
  EXPECT_TRUE(store->contents("b").empty());
}

TEST(MemoryStore, AFailedSyncMayLoseWhatWasWritten) {
  auto store = MemoryStore::create();
  Opened object(store, "a");
  EXPECT_FALSE(write(*store, object.handle(), 0, pattern(10, 1)));
  EXPECT_FALSE(sync(*store, object.handle()));
  EXPECT_FALSE(write(*store, object.handle(), 0, pattern(10, 2)));
  bool drop = false;
  store->set_hook([&](const StoreRequest& request) {
    StoreVerdict verdict;
    if (request.op == StoreOp::kSync) verdict.error = code(std::errc::io_error);
    verdict.drop_unsynced = drop;
    return verdict;
  });
  EXPECT_EQ(sync(*store, object.handle()), code(std::errc::io_error));
  EXPECT_EQ(store->contents("a"), pattern(10, 2));
  EXPECT_EQ(store->durable_contents("a"), pattern(10, 1));
  drop = true;
  EXPECT_EQ(sync(*store, object.handle()), code(std::errc::io_error));
  EXPECT_EQ(store->contents("a"), pattern(10, 1));
}

TEST(MemoryStore, TheHookSeesRequestsAndFailsThem) {
  auto store = MemoryStore::create();
  Opened object(store, "a");
  std::vector<StoreRequest> seen;
  store->set_hook([&](const StoreRequest& request) {
    seen.push_back(request);
    StoreVerdict verdict;
    if (request.op == StoreOp::kWrite) verdict.error = code(std::errc::io_error);
    return verdict;
  });
  EXPECT_EQ(write(*store, object.handle(), 8, pattern(16, 1)), code(std::errc::io_error));
  EXPECT_EQ(read(*store, object.handle(), 8, 16, IoMode::kAsync).bytes.size(), 0u);
  EXPECT_EQ(store->open("b", OpenFlags::kRead, 0).code(), std::errc::no_such_file_or_directory);
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0].path, "a");
  EXPECT_EQ(seen[0].offset, 8u);
  EXPECT_EQ(seen[0].length, 16u);
  EXPECT_EQ(seen[0].mode, IoMode::kWait);
  EXPECT_EQ(seen[1].op, StoreOp::kRead);
  EXPECT_EQ(seen[1].mode, IoMode::kAsync);
  EXPECT_EQ(seen[2].op, StoreOp::kOpen);
  EXPECT_EQ(object.stat().size_bytes, 0u);
}

// Fails if a hook that is being asked ends when another one is set.
TEST(MemoryStore, TheHookCanBeReplacedWhileItIsAsked) {
  auto store = MemoryStore::create();
  Opened object(store, "a");
  auto alive = std::make_shared<int>(0);
  const std::weak_ptr<int> asked = alive;
  store->set_hook([&store, &asked, alive = std::move(alive)](const StoreRequest&) {
    store->set_hook({});
    return StoreVerdict{.error =
                            code(asked.expired() ? std::errc::bad_address : std::errc::io_error)};
  });
  EXPECT_EQ(write(*store, object.handle(), 0, pattern(10, 1)), code(std::errc::io_error));
  EXPECT_TRUE(asked.expired());
  EXPECT_FALSE(write(*store, object.handle(), 0, pattern(10, 1)));
}

TEST(MemoryStore, HeldRequestsAreCarriedOutInOrderWhenReleased) {
  auto store = MemoryStore::create();
  Opened object(store, "a");
  store->set_hook([](const StoreRequest&) { return StoreVerdict{.hold = true}; });
  const auto one = pattern(10, 1);
  const auto two = pattern(10, 2);
  const Store::ConstBuffer buffers[] = {one, two};
  Done first, second;
  store->write(object.handle(), 0, {buffers, 1}, IoMode::kWait, first);
  store->write(object.handle(), 0, {buffers + 1, 1}, IoMode::kAsync, second);
  EXPECT_EQ(store->held(), 2u);
  EXPECT_FALSE(first.answered());
  EXPECT_EQ(store->release_held(1), 1u);
  EXPECT_TRUE(first.answered());
  EXPECT_FALSE(second.answered());
  EXPECT_EQ(store->contents("a"), one);
  EXPECT_EQ(store->release_held(), 1u);
  EXPECT_FALSE(second.wait());
  EXPECT_EQ(store->contents("a"), two);
  EXPECT_EQ(store->release_held(), 0u);
}

TEST(MemoryStore, AnAnswerAloneCanBeHeld) {
  auto store = MemoryStore::create();
  Opened object(store, "a");
  EXPECT_FALSE(write(*store, object.handle(), 0, pattern(10, 1)));
  store->set_hook([](const StoreRequest& request) {
    const bool reads = request.op == StoreOp::kRead;
    return StoreVerdict{.hold = reads, .hold_answer_only = reads};
  });
  std::vector<std::byte> memory(10);
  const Store::Buffer buffer = memory;
  Done done;
  store->read(object.handle(), 0, {&buffer, 1}, IoMode::kAsync, done);
  EXPECT_FALSE(write(*store, object.handle(), 0, pattern(10, 2)));
  EXPECT_FALSE(done.answered());
  EXPECT_EQ(store->release_held(), 1u);
  EXPECT_EQ(done.bytes(), 10u);
  EXPECT_EQ(memory, pattern(10, 1));
}

TEST(MemoryStore, ARequestMayFailWhenItHasChangedThings) {
  auto store = MemoryStore::create();
  Opened object(store, "a");
  ASSERT_FALSE(write(*store, object.handle(), 0, pattern(2 * kPage, 1)));
  const auto bad = code(std::errc::io_error);
  store->set_hook(
      [&](const StoreRequest&) { return StoreVerdict{.error = bad, .change_then_fail = true}; });
  EXPECT_EQ(cut(*store, object.handle(), Cut::kCollapse, 0, kPage), bad);
  EXPECT_EQ(store->contents("a").size(), kPage);
  store->set_hook({});
}

TEST(MemoryStore, CapacityIsCountedInPages) {
  auto store = MemoryStore::create({.capacity_bytes = 4 * kPage});
  Opened object(store, "a");
  const auto full = code(std::errc::no_space_on_device);
  EXPECT_FALSE(write(*store, object.handle(), 0, pattern(3 * kPage, 1)));
  EXPECT_EQ(write(*store, object.handle(), 2 * kPage, pattern(3 * kPage, 2)), full);
  EXPECT_EQ(store->contents("a"), pattern(3 * kPage, 1));
  EXPECT_FALSE(write(*store, object.handle(), kPage, pattern(kPage, 2)));
  EXPECT_FALSE(write(*store, object.handle(), 10 * kPage, pattern(1, 2)));
  EXPECT_EQ(write(*store, object.handle(), 20 * kPage, pattern(1, 2)), full);
  EXPECT_FALSE(cut(*store, object.handle(), Cut::kPunch, 0, kPage));
  EXPECT_FALSE(write(*store, object.handle(), 20 * kPage, pattern(1, 2)));
  EXPECT_EQ(write(*store, object.handle(), 0, pattern(1, 2)), full);
  store->set_capacity(5 * kPage);
  EXPECT_FALSE(write(*store, object.handle(), 0, pattern(1, 2)));
  EXPECT_FALSE(truncate(*store, object.handle(), 0));
  EXPECT_FALSE(write(*store, object.handle(), 0, pattern(5 * kPage, 2)));
  store->set_capacity(0);
  EXPECT_FALSE(write(*store, object.handle(), 0, pattern(5 * kPage, 3)));
  EXPECT_EQ(write(*store, object.handle(), 5 * kPage, pattern(1, 3)), full);
}

TEST(MemoryStore, ReservedSpaceIsThereWhenItIsWritten) {
  auto store = MemoryStore::create({.capacity_bytes = 4 * kPage, .reserves_space = true});
  Opened object(store, "a");
  Opened other(store, "b");
  const auto full = code(std::errc::no_space_on_device);
  EXPECT_FALSE(reserve(*store, object.handle(), 0, 3 * kPage));
  EXPECT_FALSE(reserve(*store, object.handle(), kPage, kPage));
  EXPECT_EQ(object.stat().size_bytes, 0u);
  EXPECT_EQ(object.stat().allocated_bytes, 3 * kPage);
  EXPECT_EQ(reserve(*store, other.handle(), 0, 2 * kPage), full);
  EXPECT_FALSE(write(*store, other.handle(), 0, pattern(kPage, 1)));
  EXPECT_EQ(write(*store, other.handle(), kPage, pattern(kPage, 1)), full);
  EXPECT_FALSE(write(*store, object.handle(), 0, pattern(3 * kPage, 1)));
  EXPECT_FALSE(truncate(*store, object.handle(), kPage));
  EXPECT_FALSE(reserve(*store, object.handle(), 2 * kPage, 2 * kPage));
  EXPECT_EQ(write(*store, other.handle(), kPage, pattern(1, 1)), full);
  // Setting the size it has gives back what was reserved beyond it.
  EXPECT_FALSE(truncate(*store, object.handle(), kPage));
  EXPECT_FALSE(write(*store, other.handle(), kPage, pattern(1, 1)));

  auto plain = MemoryStore::create();
  Opened unreserved(plain, "a");
  EXPECT_FALSE(plain->traits().reserves_space);
  EXPECT_EQ(reserve(*plain, unreserved.handle(), 0, kPage),
            code(std::errc::operation_not_supported));
}

TEST(MemoryStore, MisalignedRequestsAreRefused) {
  auto store = MemoryStore::create({.io_alignment_bytes = 512});
  Opened object(store, "a");
  const auto invalid = code(std::errc::invalid_argument);
  EXPECT_FALSE(write(*store, object.handle(), 0, pattern(1000, 1)));  // ends at the end
  EXPECT_EQ(write(*store, object.handle(), 0, pattern(100, 1)), invalid);
  EXPECT_EQ(write(*store, object.handle(), 100, pattern(512, 1)), invalid);
  EXPECT_FALSE(write(*store, object.handle(), 512, pattern(488, 1)));
  EXPECT_EQ(read(*store, object.handle(), 0, 100).error, invalid);
  EXPECT_EQ(read(*store, object.handle(), 0, 1024).bytes.size(), 1000u);

  AlignedBytes memory(1024);
  const Store::Buffer off = memory.span().subspan(8, 512);
  Done done;
  store->read(object.handle(), 0, {&off, 1}, IoMode::kWait, done);
  EXPECT_EQ(done.wait(), invalid);
  const Store::ConstBuffer pieces[] = {memory.span().first(100), memory.span().subspan(512, 512)};
  Done odd_piece;
  store->write(object.handle(), 1024, pieces, IoMode::kWait, odd_piece);
  EXPECT_EQ(odd_piece.wait(), invalid);
}

TEST(MemoryStore, PokeChangesBytesAndStamps) {
  auto store = MemoryStore::create();
  Opened object(store, "a");
  EXPECT_FALSE(write(*store, object.handle(), 0, pattern(100, 1)));
  const ObjectStat before = object.stat();
  store->poke("a", pattern(2 * kPage, 2));
  const ObjectStat after = object.stat();
  EXPECT_GT(after.mtime, before.mtime);
  EXPECT_GT(after.ctime, before.ctime);
  EXPECT_EQ(after.size_bytes, 2 * kPage);
  EXPECT_EQ(store->contents("a"), pattern(2 * kPage, 2));
  EXPECT_EQ(store->durable_contents("a"), pattern(2 * kPage, 2));
  store->poke("new", pattern(3, 3));
  EXPECT_EQ(store->contents("new"), pattern(3, 3));
}

TEST(MemoryStore, TimeStampsAreSetAndKept) {
  auto store = MemoryStore::create();
  Opened object(store, "a");
  const TimeSpec then{1000, 5};
  ASSERT_TRUE(store->set_times(object.handle(), &then, {2000, 6}));
  EXPECT_EQ(object.stat().atime, then);
  EXPECT_EQ(object.stat().mtime, (TimeSpec{2000, 6}));
  ASSERT_TRUE(store->set_times(object.handle(), nullptr, {3000, 7}));
  EXPECT_EQ(object.stat().atime, then);
  EXPECT_FALSE(write(*store, object.handle(), 0, pattern(1, 1)));
  EXPECT_GT(object.stat().mtime, (TimeSpec{3000, 7}));
  EXPECT_EQ(object.stat().mode, static_cast<std::uint32_t>(S_IFREG | 0644));
}

TEST(MemoryStore, LatencyInBothModes) {
  auto store = MemoryStore::create({.latency = std::chrono::microseconds(50)});
  {
    Opened object(store, "a");
    constexpr std::size_t kRequests = 64;
    const auto bytes = pattern(kPage, 1);
    const Store::ConstBuffer buffer = bytes;
    std::vector<Done> done(kRequests);
    for (std::size_t i = 0; i < kRequests; ++i) {
      store->write(object.handle(), i * kPage, {&buffer, 1}, IoMode::kAsync, done[i]);
    }
    for (Done& d : done) EXPECT_FALSE(d.wait());
    EXPECT_EQ(object.stat().size_bytes, kRequests * kPage);
    EXPECT_EQ(read(*store, object.handle(), kPage, kPage, IoMode::kAsync).bytes, bytes);
    EXPECT_EQ(read(*store, object.handle(), kPage, kPage, IoMode::kWait).bytes, bytes);
    EXPECT_FALSE(sync(*store, object.handle()));
  }
}

}  // namespace
}  // namespace quire::store::testing
