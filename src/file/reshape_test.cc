// Punch, zero, insert and collapse against whoever is at the pages already, by chosen interleavings and under
// all locking strategies. Each test names the change to the code that makes it fail.
#include "file/reshape.h"

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cache/fill.h"
#include "cache/page_write.h"
#include "file/shoot_down.h"
#include "file/test_cuts.h"

namespace quire::file {
namespace {

using sync::GateSide;

class Reshape : public testing::TestWithParam<Locking> {
 protected:
  void make(std::size_t initial_pages) {
    engine_.emplace(EngineOptions{.initial_bytes = initial_pages * kPage,
                                  .frames = 64,
                                  .dirty_max_pages = 16,
                                  .locking = GetParam()});
    // Nothing is written but by the test.
    engine_->pages->flusher().stop();
  }
  std::error_code cut(Cut kind, std::uint64_t offset, std::uint64_t length,
                      const sync::WaitLimit& limit = {}) {
    return file::cut(inode(), kind, offset, length, limit);
  }
  const std::shared_ptr<Inode>& inode() { return engine_->inode; }
  cache::PageValue value(std::uint64_t index) { return engine_->value(index); }
  std::uint64_t size() { return inode()->size_bytes(); }
  Bytes stored() { return engine_->store->contents("f"); }
  std::size_t held_requests() { return engine_->store->held(); }
  void release(std::size_t count = ~std::size_t{0}) { engine_->store->release_held(count); }
  // Pages of 'a', 'b', ... , written and on the store, and none of them cached.
  void write_letters(std::size_t pages) {
    for (std::size_t i = 0; i < pages; ++i) {
      engine_->write(i * kPage, kPage, static_cast<char>('a' + i));
    }
    engine_->sync();
    cache::drop_clean(*inode(), 0, kLast);
  }
  char letter(std::uint64_t page) {
    const Bytes got = engine_->read(page * kPage, kPage);
    EXPECT_EQ(got, Bytes(kPage, got.at(0))) << "page " << page << " is torn";
    return static_cast<char>(got.at(0));
  }
  // Counts the requests of a kind, and answers them as `verdict` says.
  void count(StoreOp op, StoreVerdict verdict = {}) {
    engine_->store->set_hook([this, op, verdict](const StoreRequest& request) {
      if (request.op != op) return StoreVerdict{};
      counted_.fetch_add(1);
      return verdict;
    });
  }
  // Somebody waits for the write range, or at the lock to block or, under `inode`, to write.
  bool waits_for_range() {
    return inode()->ranges().waiting_count() == 1 ||
           inode()->lock().waiting_count(GateSide::kBlock) == 1;
  }
  // The cache and the store, after a sync, have these bytes.
  void expect_all(const Bytes& bytes) {
    EXPECT_EQ(size(), bytes.size());
    EXPECT_TRUE(engine_->read(0, bytes.size() + kPage) == bytes);
    engine_->sync();
    EXPECT_TRUE(stored() == bytes);
    EXPECT_TRUE(engine_->store->durable_contents("f") == bytes);
    cache::drop_clean(*inode(), 0, kLast);
    EXPECT_TRUE(engine_->read(0, bytes.size() + kPage) == bytes);
  }

  std::optional<Engine> engine_;
  sync::Atomic<int> counted_{0};
};

INSTANTIATE_TEST_SUITE_P(Strategies, Reshape, kStrategies, strategy_name);

// `zero` past the end: the store zeroes, and refuses to make the object longer. What it zeroed is read from it.
// Fails if failed() takes every refusal for one before anything was changed.
TEST_P(Reshape, ZeroThatTheStoreRefusesToGrowHasZeroed) {
  make(0);
  write_letters(3);
  (void)engine_->read(0, 3 * kPage);
  ASSERT_FALSE(value(1).absent());
  count(StoreOp::kTruncate, failing(std::errc::file_too_large));
  EXPECT_EQ(clear(inode(), Cut::kZero, kPage, 5 * kPage, false, {}), std::errc::file_too_large);
  engine_->store->set_hook({});
  EXPECT_EQ(counted_.load(), 1);
  EXPECT_EQ(size(), 3 * kPage);
  EXPECT_EQ(engine_->read(0, 3 * kPage), stored());
  EXPECT_EQ(letter(0), 'a');
  EXPECT_EQ(letter(1), 0);
}

// Over pages that are absent, clean and dirty, within pages and over their edges, up to the end of the file
// and past it. Fails if the edges are rounded another way, or if done() drops too little or too much, or
// publishes another size.
TEST_P(Reshape, CutsMatchAModel) {
  struct Case {
    Cut kind;
    std::size_t offset, length;
  };
  const Case cases[] = {
      {Cut::kPunch, 100, 200},
      {Cut::kPunch, 0, kPage},
      {Cut::kPunch, kPage - 1, 2},
      {Cut::kPunch, kPage + 100, 3 * kPage},
      {Cut::kPunch, 2 * kPage, 3 * kPage + 1},
      {Cut::kPunch, 5 * kPage + 50, 1},
      {Cut::kPunch, 5 * kPage + 50, 10 * kPage},
      {Cut::kPunch, 5 * kPage, kPage},
      {Cut::kPunch, 9 * kPage, kPage},
      {Cut::kZero, 100, 4 * kPage},
      {Cut::kZero, 4 * kPage, 4 * kPage},
      {Cut::kInsert, 0, kPage},
      {Cut::kInsert, 2 * kPage, 3 * kPage},
      {Cut::kInsert, 5 * kPage, kPage},
      {Cut::kCollapse, 0, kPage},
      {Cut::kCollapse, kPage, 4 * kPage},
      {Cut::kCollapse, 4 * kPage, kPage},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(testing::Message()
                 << "cut " << static_cast<int>(c.kind) << " of " << c.length << " at " << c.offset);
    make(0);
    write_letters(5);
    engine_->write(5 * kPage, 100, 'f');  // a tail
    (void)engine_->read(kPage, kPage);
    engine_->write(2 * kPage + 10, 10, 'x');
    engine_->write(4 * kPage, kPage, 'y');
    const Bytes before = engine_->read(0, 6 * kPage);
    ASSERT_EQ(before.size(), 5 * kPage + 100);
    ASSERT_FALSE(cut(c.kind, c.offset, c.length));
    expect_all(cut_model(before, c.kind, c.offset, c.length));
  }
}

// Fails if grows() forgets keep_size, or done() or next() the new size.
TEST_P(Reshape, ZeroExtendsUnlessTheSizeIsKept) {
  make(1);
  ASSERT_FALSE(clear(inode(), Cut::kZero, 100, 3 * kPage + 7, true, {}));
  EXPECT_EQ(size(), kPage);
  Bytes expected = filled(kPage, 'i');
  std::fill(expected.begin() + 100, expected.end(), std::byte{0});
  expect_all(expected);
  ASSERT_FALSE(clear(inode(), Cut::kZero, 2 * kPage, 3 * kPage + 7, false, {}));
  expected.resize(3 * kPage + 7);
  expect_all(expected);
  ASSERT_FALSE(clear(inode(), Cut::kZero, 3 * kPage + 8, 3 * kPage + 9, false, {}));
  expected.resize(3 * kPage + 9);
  expect_all(expected);
}

// invalidate-zeroes-partial: a part of a page is zeroed, and nothing else, whatever state the page is in;
// the store is asked for no cut. Fails if clear_part() zeroes to the end of the page, or if the whole pages
// are rounded outwards.
TEST_P(Reshape, InvalidateZeroesPartial) {
  make(4);
  (void)engine_->read(kPage, kPage);      // 0 absent, 1 clean
  engine_->write(2 * kPage, kPage, 'd');  // 2 dirty
  engine_->write(4 * kPage, 50, 't');     // 4 the tail, dirty
  Bytes expected = engine_->read(kPage, 3 * kPage + 50);
  expected.insert(expected.begin(), kPage, std::byte{'i'});
  cache::drop_clean(*inode(), 0, 0);
  count(StoreOp::kCut);
  for (const std::uint64_t page : {0u, 1u, 2u, 4u}) {
    ASSERT_FALSE(cut(Cut::kPunch, page * kPage + 10, 20));
    std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(page * kPage + 10), 20,
                std::byte{0});
  }
  EXPECT_EQ(counted_.load(), 0);
  expect_all(expected);
}

// sub-page-punch vs buffered write: somebody stores into another part of the page; both are there in the
// end. Fails if clear_part() does not take the page as a writer does: if begin_write() takes pages that are
// being written.
TEST_P(Reshape, SubPagePunchVsBufferedWrite) {
  make(1);
  ASSERT_FALSE(engine_->pages->dirty().take(1, {}));
  cache::PageWrite page(*inode());
  ASSERT_FALSE(page.begin(0, 200, 300, {}));
  sync::lock_rank::handed_over(sync::Rank::kPage, inode()->find(0));
  sync::Atomic<bool> punched{false};
  sync::Thread puncher = start_thread("puncher", [&] {
    EXPECT_FALSE(cut(Cut::kPunch, 100, 100));
    punched.store(true);
  });
  until([&] { return value(0).waiters() || punched.load(); });
  EXPECT_FALSE(punched.load()) << "two at once in one page";
  std::memset(page.bytes() + 200, 'w', 100);
  page.finish(0);
  puncher.join();
  Bytes expected = filled(kPage, 'i');
  std::fill_n(expected.begin() + 100, 100, std::byte{0});
  std::fill_n(expected.begin() + 200, 100, std::byte{'w'});
  expect_all(expected);
}

// A write into the range waits for the whole cut, one beside it for nothing. Fails if prepare() locks other
// bytes than those that are cut (hangs).
TEST_P(Reshape, AWriteIntoTheRangeWaits) {
  make(4);
  count(StoreOp::kCut, held());
  sync::Thread puncher =
      start_thread("puncher", [&] { EXPECT_FALSE(cut(Cut::kPunch, kPage, 2 * kPage)); });
  until([&] { return held_requests() == 1; });
  sync::Thread writer = start_thread("writer", [&] { engine_->write(2 * kPage, kPage, 'w'); });
  until([&] { return waits_for_range(); });
  release();
  puncher.join();
  writer.join();
  EXPECT_EQ(letter(1), 0);
  EXPECT_EQ(letter(2), 'w');
  EXPECT_EQ(letter(3), 'i');
}

// size-vs-writeback: the end of the file was dirty and is punched away; the store must be told how long the
// file is, or it will be shorter when it is opened next. And not while it has the answer to a later size.
// Fails without settles_.
TEST_P(Reshape, SizeVsWriteback) {
  for (const Cut kind : {Cut::kPunch, Cut::kZero}) {
    make(0);
    engine_->write(0, 2 * kPage + 100, 'w');
    ASSERT_FALSE(cut(kind, kPage, 2 * kPage));
    EXPECT_EQ(stored().size(), 2 * kPage + 100);
    Bytes expected = filled(kPage, 'w');
    expected.resize(2 * kPage + 100);
    expect_all(expected);
  }
}

// While the store is told the size nobody makes the file longer. Fails if prepare() locks to the end of the
// range alone where that is the end of the file.
TEST_P(Reshape, SizeVsWritebackOfAnAppend) {
  make(0);
  engine_->write(0, 2 * kPage, 'w');
  count(StoreOp::kTruncate, held());
  sync::Thread puncher =
      start_thread("puncher", [&] { EXPECT_FALSE(cut(Cut::kPunch, kPage, kPage)); });
  until([&] { return held_requests() == 1; });
  sync::Thread appender = start_thread("appender", [&] {
    EXPECT_EQ(engine_->write(kAtEnd, kPage, 'n'), 2 * kPage);
    EXPECT_FALSE(write_back(*inode(), {}));
  });
  until([&] { return waits_for_range(); });
  release();
  puncher.join();
  appender.join();
  Bytes expected = filled(kPage, 'w');
  expected.resize(2 * kPage);
  expected.resize(3 * kPage, std::byte{'n'});
  expect_all(expected);
}

// The store's object is shorter than the file, and a shift beyond its end refused. Fails without settles_.
TEST_P(Reshape, TheStoresSizeIsSettledBeforeAShift) {
  make(4);
  (void)engine_->read(0, 4 * kPage);
  engine_->store->poke("f", filled(kPage, 'i'));
  ASSERT_FALSE(cut(Cut::kInsert, 2 * kPage, kPage));
  EXPECT_EQ(stored().size(), 5 * kPage);
  EXPECT_EQ(size(), 5 * kPage);
}

// A page is under writeback: its blocks are not given back before the request has ended. Fails if
// begin_seal() takes pages under writeback.
TEST_P(Reshape, PunchVsWriteback) {
  make(2);
  engine_->write(0, kPage, 'w');
  std::vector<StoreOp> order;
  engine_->store->set_hook([&](const StoreRequest& request) {
    order.push_back(request.op);
    return request.op == StoreOp::kWrite ? held() : StoreVerdict{};
  });
  sync::Thread syncer = start_thread("syncer", [&] { EXPECT_FALSE(write_back(*inode(), {})); });
  until([&] { return held_requests() == 1; });
  sync::Atomic<bool> punched{false};
  sync::Thread puncher = start_thread("puncher", [&] {
    EXPECT_FALSE(cut(Cut::kPunch, 0, kPage));
    punched.store(true);
  });
  until([&] { return value(0).waiters() || punched.load(); });
  EXPECT_EQ(order, std::vector{StoreOp::kWrite});
  release();
  syncer.join();
  puncher.join();
  EXPECT_EQ(letter(0), 0);
}

// pinned-page-across-punch: who reads a page keeps the cut waiting, as long as the cut's caller allows, and
// then nothing has changed; it never answers EBUSY. Fails if wait_users() does not wait.
TEST_P(Reshape, PinnedPageAcrossPunch) {
  make(2);
  {
    cache::PinnedRun run;
    ASSERT_FALSE(cache::fill_run(*inode(), 0, 1, {}, run));
    EXPECT_EQ(cut(Cut::kPunch, 0, kPage, at_once()), Errc::kTimedOut);
    EXPECT_EQ(cut(Cut::kCollapse, 0, kPage, at_once()), Errc::kTimedOut);
    EXPECT_FALSE(value(0).sealed());
    EXPECT_EQ(stored(), filled(2 * kPage, 'i'));
  }
  EXPECT_FALSE(cut(Cut::kPunch, 0, kPage));
  EXPECT_EQ(letter(0), 0);
}

// The caller leaves while the store works: the cut keeps its locks, and is finished by whoever ends the
// request. Fails if run() gives the locks back when the caller leaves, or if done() is left to the caller.
TEST_P(Reshape, LeftBehindItIsFinishedByTheStore) {
  for (const Cut kind : {Cut::kPunch, Cut::kZero, Cut::kInsert, Cut::kCollapse}) {
    make(0);
    write_letters(4);
    const Bytes before = engine_->read(0, 4 * kPage);
    count(StoreOp::kCut, held());
    EXPECT_EQ(cut(kind, kPage, kPage, at_once()), Errc::kTimedOut);
    EXPECT_EQ(cut(kind, kPage, kPage, at_once()), Errc::kTimedOut);
    EXPECT_EQ(held_requests(), 1u);
    EXPECT_TRUE(value(2).sealed() || kind == Cut::kPunch || kind == Cut::kZero);
    engine_->store->set_hook({});
    release();
    expect_all(cut_model(before, kind, kPage, kPage));
  }
}

// collapse-vs-truncate: the truncate waits, and cuts what the collapse left. Fails (hangs) if ShiftCall locks
// less than to the end.
TEST_P(Reshape, CollapseVsTruncate) {
  make(0);
  write_letters(4);
  count(StoreOp::kCut, held());
  sync::Thread collapser =
      start_thread("collapser", [&] { EXPECT_FALSE(cut(Cut::kCollapse, kPage, kPage)); });
  until([&] { return held_requests() == 1; });
  sync::Thread truncater = start_thread("truncater", [&] { engine_->truncate(2 * kPage); });
  until([&] { return waits_for_range(); });
  release();
  collapser.join();
  truncater.join();
  Bytes expected = filled(2 * kPage, 'a');
  std::fill_n(expected.begin() + kPage, kPage, std::byte{'c'});
  expect_all(expected);
}

// truncate-vs-collapse: the file is shorter when the collapse has its locks, and it is refused without
// asking the store. Fails if prepare() looks at the size before it has the range alone.
TEST_P(Reshape, TruncateVsCollapse) {
  make(0);
  write_letters(4);
  int cuts = 0;
  engine_->store->set_hook([&](const StoreRequest& request) {
    if (request.op == StoreOp::kCut) ++cuts;
    return request.op == StoreOp::kTruncate ? held() : StoreVerdict{};
  });
  sync::Thread truncater = start_thread("truncater", [&] { engine_->truncate(2 * kPage); });
  until([&] { return held_requests() == 1; });
  sync::Thread collapser =
      start_thread("collapser", [&] { EXPECT_EQ(cut(Cut::kCollapse, kPage, kPage), kInvalid); });
  until([&] { return waits_for_range(); });
  release();
  truncater.join();
  collapser.join();
  EXPECT_EQ(cuts, 0);
  EXPECT_EQ(size(), 2 * kPage);
}

// append-aio-vs-fallocate: an append that waits for a cut goes to the end that the cut made. Fails (hangs) if
// ShiftCall locks less than to the end.
TEST_P(Reshape, AppendAioVsFallocate) {
  const auto against = [&](StoreOp op, std::uint64_t end, auto act) {
    make(2);
    count(op, held());
    sync::Thread cutter = start_thread("cutter", [&] { EXPECT_FALSE(act()); });
    until([&] { return held_requests() == 1; });
    std::uint64_t went_to = 0;
    sync::Thread appender =
        start_thread("appender", [&] { went_to = engine_->write(kAtEnd, 100, 'n'); });
    until([&] { return waits_for_range(); });
    engine_->store->set_hook({});
    release();
    cutter.join();
    appender.join();
    EXPECT_EQ(went_to, end);
    engine_->sync();
    EXPECT_EQ(stored().size(), end + 100);
    EXPECT_EQ(stored()[end], std::byte{'n'});
  };
  against(StoreOp::kCut, 3 * kPage,
          [&] { return clear(inode(), Cut::kZero, 0, 3 * kPage, false, {}); });
  against(StoreOp::kCut, 3 * kPage, [&] { return cut(Cut::kInsert, kPage, kPage); });
  against(StoreOp::kCut, kPage, [&] { return cut(Cut::kCollapse, 0, kPage); });
}

// Two that make the file longer by a part of a page (whole pages at its end are locked to the end anyway), and
// have no byte in common: the longer one wins, whichever is first. Fails if ClearCall locks no more than its
// range where it makes the file longer (under `inode` the second begins after the first).
TEST_P(Reshape, ThoseWhoExtendWaitForEachOther) {
  make(2);
  count(StoreOp::kTruncate, held());
  sync::Thread nearer = start_thread("nearer", [&] {
    EXPECT_FALSE(clear(inode(), Cut::kZero, 3 * kPage, 3 * kPage + 10, false, {}));
  });
  until([&] { return held_requests() == 1; });
  engine_->store->set_hook({});
  sync::Atomic<bool> extended{false};
  sync::Thread farther = start_thread("farther", [&] {
    EXPECT_FALSE(clear(inode(), Cut::kZero, 8 * kPage, 8 * kPage + 10, false, {}));
    extended.store(true);
  });
  until([&] { return waits_for_range() || extended.load(); });
  EXPECT_FALSE(extended.load());
  release();
  nearer.join();
  farther.join();
  Bytes expected = filled(2 * kPage, 'i');
  expected.resize(8 * kPage + 10);
  expect_all(expected);
}

// A read of pages that move waits for the shift and sees what is there afterwards; one of the pages in
// front waits for nothing under `gate` and `range` where it hits. Fails if lock_pages() begins no Block.
TEST_P(Reshape, AReadOfWhatMovesWaits) {
  make(0);
  write_letters(4);
  count(StoreOp::kCut, held());
  sync::Thread collapser =
      start_thread("collapser", [&] { EXPECT_FALSE(cut(Cut::kCollapse, kPage, kPage)); });
  until([&] { return held_requests() == 1; });
  sync::Thread reader = start_thread("reader", [&] { EXPECT_EQ(letter(2), 'd'); });
  until([&] { return inode()->lock().waiting_count(GateSide::kAdd) == 1; });
  release();
  collapser.join();
  reader.join();
  EXPECT_EQ(size(), 3 * kPage);
}

// ... and if the shift fails midway he gets the error, and not what is there then. Fails if read_at() does not
// look when it has copied.
TEST_P(Reshape, AReaderWhoWaitedForAShiftThatFails) {
  make(0);
  write_letters(4);
  StoreVerdict late = failing_midway(std::errc::io_error);
  late.hold = true;
  count(StoreOp::kCut, late);
  sync::Thread collapser =
      start_thread("collapser", [&] { EXPECT_EQ(cut(Cut::kCollapse, kPage, kPage), kEio); });
  until([&] { return held_requests() == 1; });
  sync::Thread reader = start_thread("reader", [&] {
    SharedReadahead readahead(0);
    Bytes page(kPage);
    EXPECT_EQ(read_at(*inode(), readahead, page, 2 * kPage, {}).error, kEio);
  });
  until([&] { return inode()->lock().waiting_count(GateSide::kAdd) == 1; });
  release();
  collapser.join();
  reader.join();
  EXPECT_TRUE(inode()->broken());
}

// What a sync has taken moves with the bytes: the sync fails after an insert, the page is no longer cached,
// and lost where it is now; writing it there cures it. Fails if done() does not move what is unsynced.
TEST_P(Reshape, ASyncThatFailsAfterAShiftKnowsThePlace) {
  make(8);
  engine_->write(5 * kPage, kPage, 'w');
  StoreVerdict late = failing(std::errc::io_error);
  late.hold = true;
  engine_->store->set_hook(when(StoreOp::kSync, late));
  ASSERT_FALSE(write_back(*inode(), {}));
  begin_sync(inode());
  ASSERT_EQ(held_requests(), 1u);
  ASSERT_FALSE(cut(Cut::kInsert, 4 * kPage, 2 * kPage));
  engine_->store->set_hook({});
  release();
  EXPECT_EQ(sync_all(inode(), SyncKind::kAll, {}), kEio);
  std::uint64_t first = 0;
  EXPECT_EQ(inode()->unsynced().lost(0, kLast, &first), 1u);
  EXPECT_EQ(first, 7u);
  engine_->write(7 * kPage, kPage, 'w');
  engine_->sync();
}

// Fails if forget_range() is not called.
TEST_P(Reshape, PunchingALostPageCuresIt) {
  make(4);
  engine_->write(kPage, kPage, 'w');
  ASSERT_FALSE(write_and_invalidate(inode(), 0, kLast, {}));
  engine_->store->set_hook(when(StoreOp::kSync, failing(std::errc::io_error)));
  EXPECT_EQ(sync_all(inode(), SyncKind::kAll, {}), kEio);
  engine_->store->set_hook({});
  EXPECT_EQ(sync_all(inode(), SyncKind::kAll, {}), kEio);
  ASSERT_FALSE(cut(Cut::kPunch, kPage, kPage));
  engine_->sync();
}

// A punch that fails after it zeroed some: what was clean is what the store has, what was dirty is kept.
// Fails without drop_clean() in failed(): then a byte changes when its page is evicted.
TEST_P(Reshape, PunchFailsMidway) {
  make(3);
  (void)engine_->read(0, 3 * kPage);
  engine_->write(kPage, kPage, 'w');
  engine_->store->set_hook(when(StoreOp::kCut, failing_midway(std::errc::io_error)));
  EXPECT_EQ(cut(Cut::kPunch, 0, 2 * kPage), kEio);
  engine_->store->set_hook({});
  EXPECT_EQ(letter(0), 0);
  EXPECT_EQ(letter(1), 'w');
  engine_->sync();
  cache::drop_clean(*inode(), 0, kLast);
  EXPECT_EQ(letter(1), 'w');
  EXPECT_EQ(letter(2), 'i');
}

// A store that refuses: nothing has changed, no page was dropped, the file is sound. Fails if refused() does
// not know the error.
TEST_P(Reshape, ARefusalChangesNothing) {
  for (const Cut kind : {Cut::kPunch, Cut::kZero, Cut::kInsert, Cut::kCollapse}) {
    make(4);
    (void)engine_->read(0, 4 * kPage);
    engine_->write(2 * kPage, kPage, 'w');
    const Bytes before = engine_->read(0, 4 * kPage);
    engine_->store->set_hook(when(StoreOp::kCut, failing(std::errc::operation_not_supported)));
    EXPECT_EQ(cut(kind, kPage, 2 * kPage), std::errc::operation_not_supported);
    engine_->store->set_hook({});
    EXPECT_EQ(inode()->resident_pages(), 4u);
    EXPECT_FALSE(inode()->broken());
    expect_all(before);
  }
}

// What is dirty behind the shift cannot be written: nothing is asked of the store, nothing has changed.
// Fails if prepare() passes over the error of write().
TEST_P(Reshape, AShiftWhosePagesCannotBeWritten) {
  make(4);
  engine_->write(2 * kPage, kPage, 'w');
  int cuts = 0;
  engine_->store->set_hook([&](const StoreRequest& request) {
    if (request.op == StoreOp::kCut) ++cuts;
    return request.op == StoreOp::kWrite ? failing(std::errc::no_space_on_device) : StoreVerdict{};
  });
  EXPECT_EQ(cut(Cut::kInsert, kPage, kPage), std::errc::no_space_on_device);
  EXPECT_EQ(cuts, 0);
  EXPECT_FALSE(inode()->broken());
  engine_->store->set_hook({});
  EXPECT_EQ(size(), 4 * kPage);
  EXPECT_EQ(letter(2), 'w');
}

// mtime and ctime change. Fails without stamp_change() in done() and clear_part().
TEST_P(Reshape, CutsStamp) {
  make(4);
  const TimeSpec old{1000, 0};
  const auto stamps_after = [&](Cut kind, std::uint64_t offset, std::uint64_t length) {
    EXPECT_TRUE(inode()->set_times(nullptr, &old).ok());
    EXPECT_FALSE(cut(kind, offset, length));
    return inode()->stamps().mtime;
  };
  EXPECT_NE(stamps_after(Cut::kPunch, 10, 10), old);
  EXPECT_NE(stamps_after(Cut::kPunch, 0, kPage), old);
  EXPECT_NE(stamps_after(Cut::kZero, 0, kPage), old);
  EXPECT_NE(stamps_after(Cut::kInsert, 0, kPage), old);
  EXPECT_NE(stamps_after(Cut::kCollapse, 0, kPage), old);
}

}  // namespace
}  // namespace quire::file
