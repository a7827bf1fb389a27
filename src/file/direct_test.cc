// Direct reads and writes against whoever is at the pages already, by chosen interleavings and under all
// locking strategies. Each test names the change to the code that makes it fail. (Where time must pass:
// direct_sim_test.cc. The public calls: direct_api_test.cc.)
#include "file/direct.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "file/bounce.h"
#include "file/reshape.h"
#include "file/test_direct.h"

namespace quire::file {
namespace {

using sync::GateSide;

INSTANTIATE_TEST_SUITE_P(Strategies, Direct,
                         testing::Values(Locking::kGate, Locking::kRange, Locking::kInvalidate,
                                         Locking::kInode),
                         [](const auto& tested) { return std::string(cache::name(tested.param)); });

// Fails if the pages are not dropped, or if direct_read does not flush.
TEST_P(Direct, SeesAndIsSeenByTheCache) {
  make(4);
  (void)engine_->read(0, 4 * kPage);
  write_direct(kPage, 2 * kPage, 'd');
  EXPECT_TRUE(value(1).absent() && value(2).absent());
  EXPECT_FALSE(value(0).absent() || value(3).absent());
  EXPECT_EQ(engine_->read(kPage, 2 * kPage), filled(2 * kPage, 'd'));
  engine_->write(2 * kPage, kPage, 'b');
  EXPECT_EQ(read_direct(2 * kPage, kPage), filled(kPage, 'b'));
  EXPECT_EQ(read_direct(0, kPage), filled(kPage, 'i'));
}

// Part of a page: the rest of it, dirty in the cache, is written before the page goes, and survives. Fails
// without ShotDown::write() in WriteCall::shoot_down.
TEST_P(Direct, WriteOfAPartKeepsWhatIsDirtyBeside) {
  make(1);
  engine_->write(0, kPage, 'a');
  write_direct(512, 512, 'd');
  EXPECT_TRUE(value(0).absent());
  auto want = filled(kPage, 'a');
  std::fill_n(want.begin() + 512, 512, std::byte{'d'});
  EXPECT_EQ(engine_->read(0, kPage), want);
}

// read-inserts-after-dio-invalidate, aio-dio-stale-at-completion: the store has the write and has not answered.
// A reader who misses, and readahead, may not add the old bytes; after the answer they are not there.
// Fails if the piece gives up its block before its request ends: if shoot_down() ends by held_.reset().
TEST_P(Direct, ReadInsertsAfterDioInvalidate) {
  make(2);
  (void)engine_->read(0, kPage);
  store().set_hook(when(StoreOp::kWrite, held()));
  sync::Thread writer = start_thread("writer", [&] { write_direct(0, kPage, 'd'); });
  until([&] { return store().held() == 1; });
  EXPECT_TRUE(value(0).absent());
  will_need(inode(), 0, 0);
  EXPECT_TRUE(value(0).absent()) << "readahead added a page of a blocked range";
  std::vector<std::byte> got;
  sync::Thread reader = start_thread("reader", [&] { got = engine_->read(0, kPage); });
  until([&] { return an_adder_waits() || !value(0).absent(); });
  EXPECT_TRUE(value(0).absent()) << "a reader added a page of a blocked range";
  store().set_hook({});
  store().release_held();
  writer.join();
  reader.join();
  EXPECT_EQ(got, filled(kPage, 'd'));
  EXPECT_EQ(engine_->read(0, kPage), filled(kPage, 'd'));
}

// The same when the writer has left: the block is the operation's, and goes with the store's answer, in the
// thread that brings it. Fails if WriteCall::held_ is the caller's alone.
TEST_P(Direct, LeftBehindItKeepsOthersOutUntilTheAnswer) {
  make(1);
  (void)engine_->read(0, kPage);
  store().set_hook(when(StoreOp::kWrite, held()));
  {
    auto data = filled(kPage, 'd');
    EXPECT_EQ(direct_write(data, 0, at_once()).error, Errc::kTimedOut);
    // The caller's memory is the caller's again.
    std::fill(data.begin(), data.end(), std::byte{'x'});
  }
  EXPECT_EQ(direct_write(filled(kPage, 'e'), 0, at_once()).error, Errc::kTimedOut);
  std::vector<std::byte> got;
  sync::Thread reader = start_thread("reader", [&] { got = engine_->read(0, kPage); });
  until([&] { return an_adder_waits() || !value(0).absent(); });
  EXPECT_TRUE(value(0).absent());
  store().set_hook({});
  store().release_held();
  reader.join();
  EXPECT_EQ(got, filled(kPage, 'd')) << "the store had the caller's memory";
  EXPECT_EQ(waiting(), 0u);
  write_direct(0, kPage, 'f');
}

// A read is left: what the store brings afterwards goes nowhere near the caller's memory, and a truncate
// waits for it. Fails if a call that can be left takes the caller's memory: if `bounced` is false.
TEST_P(Direct, AReadThatIsLeftLeavesTheBufferAlone) {
  make(2);
  store().set_hook(when(StoreOp::kRead, held()));
  std::vector<std::byte> out(kPage, std::byte{'x'});
  const std::span<std::byte> buffer = out;
  EXPECT_EQ(direct_read(engine_->inode, {&buffer, 1}, kPage, 0, at_once()).error, Errc::kTimedOut);
  EXPECT_EQ(file::truncate(engine_->inode, 0, at_once()), Errc::kTimedOut);
  store().set_hook({});
  store().release_held();
  EXPECT_EQ(out, filled(kPage, 'x'));
  engine_->truncate(0);
}

// Copied through the cache's memory, in pieces of a sixteenth of it, the bytes are the same. Fails if the
// pieces of either are copied in another order, or from where another ended.
TEST_P(Direct, CopiedBytesAreTheSame) {
  make(0);
  std::vector<std::byte> data(11 * kPage);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 7 + i / kPage);
  ASSERT_LT(Bounce::bytes_max(*engine_->pages), data.size());
  const Transfer moved = direct_write(data, 512, can_be_left());
  EXPECT_FALSE(moved.error);
  EXPECT_EQ(moved.bytes, data.size());
  EXPECT_EQ(read_direct(512, data.size() + kPage, can_be_left()), data);
  EXPECT_EQ(engine_->read(512, data.size() + kPage), data);
  EXPECT_EQ(read_direct(0, 512), filled(512, 0));
}

// Vectored: pieces of memory of any size, empty ones too.
TEST_P(Direct, Vectored) {
  make(0);
  const auto a = filled(100, 'a');
  const auto b = filled(5000, 'b');
  const std::vector<std::span<const std::byte>> from = {a, {}, b};
  for (const bool leave : {false, true}) {
    std::uint64_t offset = 0;
    const auto limit = leave ? can_be_left() : sync::WaitLimit{};
    EXPECT_EQ(file::direct_write(engine_->inode, from, 5050, &offset, limit).bytes, 5050u);
    std::vector<std::byte> c(70, std::byte{'x'});
    std::vector<std::byte> d(8000, std::byte{'x'});
    const std::vector<std::span<std::byte>> to = {{}, c, d};
    EXPECT_EQ(direct_read(engine_->inode, to, 8070, 0, limit).bytes, 5050u);
    EXPECT_EQ(c, filled(70, 'a'));
    EXPECT_EQ(std::vector(d.begin(), d.begin() + 30), filled(30, 'a'));
    EXPECT_EQ(std::vector(d.begin() + 30, d.begin() + 4980), filled(4950, 'b'));
  }
}

// What is dirty cannot be written: neither is the direct write, and the dirty page stays. Fails if
// shoot_down() drops whatever came of write().
TEST_P(Direct, NeverDropsADirtyPageItCouldNotWrite) {
  make(2);
  engine_->write(0, 100, 'a');
  store().set_hook([](const StoreRequest& request) {
    const bool bad = request.op == StoreOp::kWrite && request.length == kPage;
    return bad ? failing(std::errc::io_error) : StoreVerdict{};
  });
  const Transfer moved = direct_write(filled(512, 'd'), 512);
  EXPECT_EQ(moved.error, kEio);
  EXPECT_EQ(moved.bytes, 0u);
  EXPECT_TRUE(value(0).dirty());
  EXPECT_FALSE(value(0).sealed());
  store().set_hook({});
  engine_->sync();
  EXPECT_EQ(store().durable_contents("f")[99], std::byte{'a'});
}

// partial-dio-fault: the store fails the second piece. What went before counts; of the failed piece nothing is
// cached, for nobody knows what the store has there; the third was not begun. Fails if the bytes before the
// failure are forgotten, or if the pages of the piece come back (if drop() comes after the request).
TEST_P(Direct, PartialDioFault) {
  constexpr std::size_t kPiece = limits::kDirectPieceBytes;
  make(0);
  engine_->write(kPiece, kPage, 'o');
  int writes = 0;
  store().set_hook([&](const StoreRequest& request) {
    if (request.op != StoreOp::kWrite || request.length < kPiece) return StoreVerdict{};
    return ++writes == 2 ? failing(std::errc::no_space_on_device) : StoreVerdict{};
  });
  const Transfer moved = direct_write(filled(3 * kPiece, 'd'), 0);
  EXPECT_EQ(moved.bytes, kPiece);
  EXPECT_EQ(moved.error, std::errc::no_space_on_device);
  EXPECT_EQ(writes, 2);
  EXPECT_TRUE(value(cache::page_index(kPiece)).absent());
  EXPECT_EQ(inode().size_bytes(), kPiece + kPage);
  EXPECT_EQ(read_direct(0, kPage), filled(kPage, 'd'));
  EXPECT_EQ(read_direct(kPiece, kPage), filled(kPage, 'o'));
  EXPECT_EQ(waiting(), 0u);
}

// A store that fails a write past the end may have made the object longer. What it left there is not found
// when the file grows over it. Fails without mend().
TEST_P(Direct, WhatAFailedExtensionLeftIsCutOff) {
  make(1);
  store().set_hook([&](const StoreRequest& request) {
    if (request.op != StoreOp::kWrite) return StoreVerdict{};
    auto longer = filled(4 * kPage, 'x');
    std::fill_n(longer.begin(), kPage, std::byte{'i'});
    store().poke("f", std::move(longer));
    return failing(std::errc::io_error);
  });
  EXPECT_EQ(direct_write(filled(3 * kPage, 'd'), kPage).error, kEio);
  store().set_hook({});
  EXPECT_EQ(inode().size_bytes(), kPage);
  engine_->write(3 * kPage, kPage, 'b');
  EXPECT_EQ(engine_->read(kPage, 2 * kPage), filled(2 * kPage, 0));
}

// torn-dio: two that overlap. The second waits for all of the first, pieces that it has not begun too; so the
// bytes of the overlap are of one. Fails if the write range is given back between pieces, or is that of the
// piece.
TEST_P(Direct, OverlappingWritesDoNotMix) {
  constexpr std::size_t kPiece = limits::kDirectPieceBytes;
  make(3 * kPiece / kPage);  // neither extends the file
  store().set_hook(when(StoreOp::kWrite, held()));
  sync::Thread first = start_thread("first", [&] { write_direct(0, 2 * kPiece, 'a'); });
  until([&] { return store().held() == 1; });
  sync::Thread second = start_thread("second", [&] { write_direct(kPiece, 2 * kPiece, 'b'); });
  until([&] { return waiting() == 1 || store().held() == 2; });
  EXPECT_EQ(store().held(), 1u) << "the second began while the first was under way";
  store().release_held();
  until([&] { return store().held() == 1; });
  EXPECT_EQ(waiting(), 1u) << "between its pieces";
  store().set_hook({});
  store().release_held();
  first.join();
  second.join();
  EXPECT_EQ(read_direct(kPiece, 2 * kPiece), filled(2 * kPiece, 'b'));
}

// Two that share a page and no byte: a store promises nothing for two requests within one page at once. Fails if
// direct_write takes the bytes and not the pages.
TEST_P(Direct, WritesWithinOnePageQueue) {
  make(1);
  store().set_hook(when(StoreOp::kWrite, held()));
  sync::Thread a = start_thread("a", [&] { write_direct(0, 512, 'a'); });
  until([&] { return store().held() == 1; });
  sync::Thread b = start_thread("b", [&] { write_direct(512, 512, 'b'); });
  until([&] { return waiting() == 1 || store().held() == 2; });
  EXPECT_EQ(store().held(), 1u);
  store().set_hook({});
  store().release_held();
  a.join();
  b.join();
  EXPECT_EQ(read_direct(0, 512), filled(512, 'a'));
  EXPECT_EQ(read_direct(512, 512), filled(512, 'b'));
}

// A large write keeps readers out of the pages of one piece, not of the whole: between two pieces they come in.
// (Under `inode` they wait for all of it.) Fails if shoot_down() takes the pages of the whole write.
TEST_P(Direct, LargeWritesBlockPieceByPiece) {
  constexpr std::size_t kPiece = limits::kDirectPieceBytes;
  make(2 * kPiece / kPage + 1);
  (void)engine_->read(kPiece, kPage);
  store().set_hook(when(StoreOp::kWrite, held()));
  sync::Thread writer = start_thread("writer", [&] { write_direct(0, 2 * kPiece, 'd'); });
  until([&] { return store().held() == 1; });
  EXPECT_FALSE(value(cache::page_index(kPiece)).absent()) << "the second piece is not begun";
  if (GetParam() != Locking::kInode) {
    EXPECT_EQ(engine_->read(kPiece, kPage), filled(kPage, 'i'));
  }
  store().set_hook({});
  store().release_held();
  writer.join();
  EXPECT_TRUE(value(cache::page_index(kPiece)).absent());
}

// direct-read-straddles-truncate: the store has the read of a range that a truncate would cut. The truncate
// waits, and the read gives what was there. Fails without the write range in ReadLocks::lock.
TEST_P(Direct, ReadStraddlesNoTruncate) {
  make(3);
  store().set_hook(when(StoreOp::kRead, held()));
  std::vector<std::byte> got;
  sync::Thread reader = start_thread("reader", [&] { got = read_direct(0, 3 * kPage); });
  until([&] { return store().held() == 1; });
  sync::Thread cutter = start_thread("cutter", [&] { engine_->truncate(kPage); });
  until([&] { return waiting() == 1 || inode().size_bytes() == kPage; });
  EXPECT_EQ(inode().size_bytes(), 3 * kPage);
  store().set_hook({});
  store().release_held();
  reader.join();
  cutter.join();
  EXPECT_EQ(got, filled(3 * kPage, 'i'));
  EXPECT_EQ(read_direct(0, 3 * kPage), filled(kPage, 'i'));
}

// Two direct reads of one range share it. Fails if ReadLocks::lock takes it exclusively (the test then hangs).
TEST_P(Direct, ReadsShareTheRange) {
  make(1);
  store().set_hook(when(StoreOp::kRead, held()));
  const auto read = [&] { EXPECT_EQ(read_direct(0, kPage), filled(kPage, 'i')); };
  sync::Thread a = start_thread("a", read);
  sync::Thread b = start_thread("b", read);
  until([&] { return store().held() == 2; });
  store().set_hook({});
  store().release_held();
  a.join();
  b.join();
}

// A direct read beside a buffered write to other bytes of the page: the write waits, so the store is asked for
// nothing that is being written. Fails if ReadLocks::lock takes the bytes and not the pages.
TEST_P(Direct, ReadKeepsWritersOfThePageAway) {
  make(1);
  store().set_hook(when(StoreOp::kRead, held()));
  sync::Thread reader =
      start_thread("reader", [&] { EXPECT_EQ(read_direct(0, 512), filled(512, 'i')); });
  until([&] { return store().held() == 1; });
  sync::Thread writer = start_thread("writer", [&] { engine_->write(512, 512, 'b'); });
  until([&] { return waiting() == 1 || store().held() == 2; });
  EXPECT_EQ(waiting(), 1u);
  store().set_hook({});
  store().release_held();
  reader.join();
  writer.join();
}

// A failed sync may have lost what the cache knows: a direct read does not show that. Fails without
// rewrite_failed() in direct_read.
TEST_P(Direct, ReadAfterAFailedSync) {
  make(0);
  engine_->write(0, kPage, 'a');
  StoreVerdict lost = failing(std::errc::io_error);
  lost.drop_unsynced = true;
  lost.hold = true;
  store().set_hook(when(StoreOp::kSync, lost));
  ASSERT_FALSE(write_back(inode(), {}));
  begin_sync(engine_->inode);
  store().release_held();
  store().set_hook({});
  ASSERT_TRUE(inode().unsynced().rewrite_needed());
  EXPECT_EQ(read_direct(0, kPage), filled(kPage, 'a'));
}

// A sync that fails after a direct write has lost it: that is said by every sync until the page is written
// again as a whole, which a direct write does too. Fails without note_written(), the second half without
// add_and_cure() in note_overwritten().
TEST_P(Direct, ASyncThatFailsAfterwards) {
  make(0);
  write_direct(0, 2 * kPage, 'a');
  StoreVerdict lost = failing(std::errc::io_error);
  lost.drop_unsynced = true;
  store().set_hook(when(StoreOp::kSync, lost));
  EXPECT_EQ(sync_all(engine_->inode, SyncKind::kAll, {}), kEio);
  store().set_hook({});
  EXPECT_EQ(sync_all(engine_->inode, SyncKind::kAll, {}), kEio);
  write_direct(0, kPage + 512, 'b');
  EXPECT_EQ(sync_all(engine_->inode, SyncKind::kAll, {}), kEio) << "half a page cures nothing";
  write_direct(0, 2 * kPage, 'c');
  engine_->sync();
  EXPECT_EQ(store().durable_contents("f"), filled(2 * kPage, 'c'));
}

// A sync has failed; a direct write is storing the page that it was about; another sync waits to write the page
// again. The direct write cures it. Fails if rewrite_page() and lose() go by what was to be written again before.
TEST_P(Direct, WhatIsCuredWhileASyncWaitsForItIsNotLost) {
  make(0);
  write_direct(0, kPage, 'a');
  StoreVerdict lost = failing(std::errc::io_error);
  lost.drop_unsynced = true;
  lost.hold = true;
  store().set_hook(when(StoreOp::kSync, lost));
  begin_sync(engine_->inode);
  ASSERT_EQ(store().held(), 1u);
  store().set_hook(when(StoreOp::kWrite, held()));
  sync::Thread writer = start_thread("writer", [&] { write_direct(0, kPage, 'b'); });
  until([&] { return store().held() == 2; });
  store().set_hook({});
  store().release_held(1);
  ASSERT_TRUE(inode().unsynced().rewrite_needed());
  sync::Thread syncer = start_thread("syncer", [&] { engine_->sync(); });
  until([&] { return waiting() == 1; });
  store().release_held();
  writer.join();
  syncer.join();
  engine_->sync();
  EXPECT_EQ(store().durable_contents("f"), filled(kPage, 'b'));
}

// The last page of a file that ends off the store's alignment is being written back; somebody makes the object
// longer, and the store refuses the write, which no longer ends it. The sync tries again. Fails if flush() is
// flush_all().
TEST_P(Direct, ExtendingPastATailInWriteback) {
  const std::function<void()> extenders[] = {
      [this] {
        const AlignedPage page('d');
        const Transfer moved = direct_write(page.bytes(), kPage);
        EXPECT_FALSE(moved.error) << moved.error.message();
      },
      [this] { engine_->truncate(2 * kPage); },
      [this] { EXPECT_FALSE(clear(engine_->inode, Cut::kZero, 200, 2 * kPage, false, {})); },
  };
  for (const auto& extend : extenders) {
    make(0, 64, 512);
    engine_->write(0, 100, 'a');
    store().set_hook(when(StoreOp::kWrite, held()));
    sync::Thread syncer = start_thread("syncer", [&] { engine_->sync(); });
    until([&] { return store().held() == 1; });
    store().set_hook({});
    extend();
    EXPECT_EQ(store().contents("f").size(), 2 * kPage);
    store().release_held();
    syncer.join();
    EXPECT_EQ(inode().dirty().unwritten(), 0u);
    const auto durable = store().durable_contents("f");
    ASSERT_EQ(durable.size(), 2 * kPage);
    EXPECT_EQ(std::vector(durable.begin(), durable.begin() + 100), filled(100, 'a'));
    EXPECT_EQ(durable[100], std::byte{0});
  }
}

// The same while the direct write has made the object longer and the file has not been told: the sync waits for
// it. Fails without wait_extenders().
TEST_P(Direct, ExtendingPastATailInWritebackWithoutAnAnswer) {
  make(0, 64, 512);
  engine_->write(0, 100, 'a');
  store().set_hook(when(StoreOp::kWrite, held()));
  sync::Atomic<bool> synced{false};
  sync::Thread syncer = start_thread("syncer", [&] {
    engine_->sync();
    synced.store(true);
  });
  until([&] { return store().held() == 1; });
  StoreVerdict late = held();
  late.hold_answer_only = true;
  store().set_hook(when(StoreOp::kWrite, late));
  const AlignedPage page('d');
  sync::Thread writer =
      start_thread("writer", [&] { EXPECT_FALSE(direct_write(page.bytes(), kPage).error); });
  until([&] { return store().held() == 2; });
  store().set_hook({});
  store().release_held(1);
  until([&] { return waiting() == 1 || synced.load(); });
  store().release_held();
  syncer.join();
  writer.join();
  EXPECT_EQ(store().durable_contents("f").size(), 2 * kPage);
}

// size-vs-writeback: the size is published when the bytes are at the store, not before. Fails if set_size_bytes()
// comes before submit().
TEST_P(Direct, SizeAfterData) {
  make(1);
  store().set_hook(when(StoreOp::kWrite, held()));
  sync::Thread writer = start_thread("writer", [&] { write_direct(kPage, kPage, 'd'); });
  until([&] { return store().held() == 1; });
  EXPECT_EQ(inode().size_bytes(), kPage);
  store().release_held();
  writer.join();
  EXPECT_EQ(inode().size_bytes(), 2 * kPage);
}

// append-aio-vs-truncate: an append whose caller has left ends before the truncate begins that came after it;
// the size is what the truncate says. Fails if the write range is not the request's (if HeldWrite is not owned
// by HeldPiece).
TEST_P(Direct, AppendThatWasLeftAgainstATruncate) {
  make(1);
  store().set_hook(when(StoreOp::kWrite, held()));
  EXPECT_EQ(direct_write(filled(kPage, 'd'), kAtEnd, at_once()).error, Errc::kTimedOut);
  sync::Thread cutter = start_thread("cutter", [&] { engine_->truncate(0); });
  until([&] { return waiting() == 1 || inode().size_bytes() == 0; });
  EXPECT_EQ(inode().size_bytes(), kPage);
  store().release_held();
  cutter.join();
  EXPECT_EQ(inode().size_bytes(), 0u);
  EXPECT_TRUE(store().contents("f").empty());
}

// Appends of both kinds never overlap. Fails if an append takes its offset before the lock.
TEST_P(Direct, AppendsQueue) {
  make(0);
  store().set_hook(when(StoreOp::kWrite, held()));
  sync::Thread a = start_thread("a", [&] { write_direct(kAtEnd, kPage, 'a'); });
  until([&] { return store().held() == 1; });
  sync::Thread b = start_thread("b", [&] { write_direct(kAtEnd, kPage, 'b'); });
  sync::Thread c = start_thread("c", [&] { (void)engine_->write(kAtEnd, kPage, 'c'); });
  until([&] { return waiting() == 2; });
  store().set_hook({});
  store().release_held();
  a.join();
  b.join();
  c.join();
  EXPECT_EQ(inode().size_bytes(), 3 * kPage);
  EXPECT_EQ(read_direct(0, kPage), filled(kPage, 'a'));
}

// extend-zeroing: a direct write some way past the end of a file whose last page is dirty in the cache. Between
// the old end and the new bytes there are zeros, in the cache, at the store, and after a sync. Fails if the
// tail page that is shot down is written past the end of the file, or if the size is set before it is.
TEST_P(Direct, ExtendZeroing) {
  for (const std::uint64_t at : {std::uint64_t{1024}, std::uint64_t{2 * kPage}}) {
    make(0);
    engine_->write(0, 100, 'a');
    write_direct(at, 512, 'd');
    EXPECT_EQ(inode().size_bytes(), at + 512);
    std::vector<std::byte> want(at + 512);
    std::fill_n(want.begin(), 100, std::byte{'a'});
    std::fill_n(want.begin() + static_cast<std::ptrdiff_t>(at), 512, std::byte{'d'});
    EXPECT_EQ(engine_->read(0, 4 * kPage), want);
    EXPECT_EQ(read_direct(0, 4 * kPage), want);
    engine_->sync();
    EXPECT_EQ(store().durable_contents("f"), want);
  }
}

// A direct read of a file whose end the store has not been told yet. Fails without fill_zero() in read_piece.
TEST_P(Direct, ReadsZerosWhereTheObjectIsShorter) {
  make(0);
  engine_->write(3 * kPage, kPage, 'b');
  for (const bool leave : {false, true}) {
    std::vector<std::byte> out(2 * kPage, std::byte{'x'});
    const std::span<std::byte> buffer = out;
    const auto limit = leave ? can_be_left() : sync::WaitLimit{};
    EXPECT_EQ(direct_read(engine_->inode, {&buffer, 1}, 2 * kPage, kPage, limit).bytes, 2 * kPage);
    EXPECT_EQ(out, filled(2 * kPage, 0));
  }
}

// A page is being filled with what the store had before: the write waits for that, and drops it. Fails if a
// sealer passes over filling pages.
TEST_P(Direct, WriteAgainstAReadThatFills) {
  make(1);
  StoreVerdict late = held();
  late.hold_answer_only = true;
  store().set_hook(when(StoreOp::kRead, late));
  sync::Thread reader = start_thread("reader", [&] { (void)engine_->read(0, kPage); });
  until([&] { return store().held() == 1; });
  sync::Thread writer = start_thread("writer", [&] { write_direct(0, kPage, 'd'); });
  until([&] {
    return value(0).waiters() || inode().lock().waiting_count(GateSide::kBlock) == 1 ||
           store().contents("f") == filled(kPage, 'd');
  });
  EXPECT_EQ(store().contents("f"), filled(kPage, 'i'));
  store().set_hook({});
  store().release_held();
  reader.join();
  writer.join();
  EXPECT_EQ(engine_->read(0, kPage), filled(kPage, 'd'));
}

// A page's writeback is under way with older bytes than the direct write's: it ends before. Fails if
// begin_seal() takes pages under writeback.
TEST_P(Direct, WriteAgainstAWritebackInFlight) {
  make(1);
  engine_->write(0, kPage, 'a');
  store().set_hook(when(StoreOp::kWrite, held()));
  sync::Thread syncer = start_thread("syncer", [&] { engine_->sync(); });
  until([&] { return store().held() == 1; });
  sync::Thread writer = start_thread("writer", [&] { write_direct(0, kPage, 'd'); });
  until([&] { return value(0).waiters() || store().held() == 2; });
  EXPECT_EQ(store().held(), 1u);
  store().set_hook({});
  store().release_held();
  syncer.join();
  writer.join();
  EXPECT_EQ(store().contents("f"), filled(kPage, 'd'));
}

// Stamps change with the write, as for a buffered one. Fails without stamp_change() in write_piece.
TEST_P(Direct, StampsChange) {
  make(1);
  ASSERT_TRUE(inode().set_times(nullptr, &kLongAgo).ok());
  write_direct(0, kPage, 'd');
  EXPECT_NE(inode().stamps().mtime, kLongAgo);
  EXPECT_FALSE(inode().changed_behind(store().stat(engine_->opened.handle).value()));
}

}  // namespace
}  // namespace quire::file
