// Reservations over a memory store with a stated capacity, under all locking strategies: that space runs out at
// the write and nowhere else, and that what is not needed is given back. Each test names the change that
// makes it fail. At its end every test's Engine looks whether the book agrees with the store.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "cache/test_pages.h"
#include "file/parked_reserve.h"
#include "file/reserve.h"
#include "file/test_cache.h"
#include "file/test_cuts.h"
#include "file/test_engine.h"
#include "file/test_no_memory.h"
#include "sync/lock_rank.h"
#include "sync/waker.h"

namespace quire::file {
namespace {

constexpr std::uint64_t kChunk = SpaceBook::kChunkPages;
const std::error_code kFull = std::make_error_code(std::errc::no_space_on_device);

class Reserve : public testing::TestWithParam<Locking> {
 protected:
  void make(std::uint64_t capacity_pages = ~std::uint64_t{0} / kPage,
            std::size_t initial_bytes = 0) {
    engine_.reset();
    engine_ = std::make_unique<Engine>(EngineOptions{.initial_bytes = initial_bytes,
                                                     .frames = 96,
                                                     .dirty_max_pages = 48,
                                                     .locking = GetParam(),
                                                     .reserves_space = true,
                                                     .capacity_bytes = capacity_pages * kPage});
    engine_->pages->flusher().stop();
    asked_ = 0;
    engine_->store->set_hook([this](const StoreRequest& request) {
      if (request.op == StoreOp::kReserve) ++asked_;
      return StoreVerdict{};
    });
  }
  void TearDown() override {
    if (engine_ != nullptr) {
      EXPECT_EQ(engine_->pages->counters().writeback_errors.load(), 0u);
    }
    engine_.reset();
  }

  Inode& inode() { return *engine_->inode; }
  SpaceBook& book() { return *engine_->inode->space(); }
  void write(std::uint64_t page, std::uint64_t pages, char with) {
    engine_->write(page * kPage, pages * kPage, with);
  }
  Transfer try_write(std::uint64_t page, std::uint64_t pages, char with,
                     const sync::WaitLimit& limit = {}) {
    std::uint64_t offset = page * kPage;
    return engine_->try_write(&offset, pages * kPage, with, limit);
  }
  void expect_trim() { EXPECT_FALSE(trim(engine_->inode, {})); }
  std::uint64_t allocated() { return allocated_pages(inode()); }
  // Another object takes all the room that is left.
  void take_the_rest() {
    auto other = engine_->store->open("other", kRw, 0644).value();
    std::uint64_t page = 0;
    for (;; ++page) {
      const Asked asked(
          [&](IoDone& done) { engine_->store->reserve(other.handle, page * kPage, kPage, done); });
      if (asked.error) break;
    }
    EXPECT_TRUE(engine_->store->close(other.handle).ok());
  }

  std::unique_ptr<Engine> engine_;
  std::atomic<int> asked_{0};
};

INSTANTIATE_TEST_SUITE_P(Strategies, Reserve, kStrategies, strategy_name);

// Fails without the reserve() in store_bytes(): the write succeeds then, and the sync does not.
TEST_P(Reserve, SpaceRunsOutAtTheWrite) {
  make(4);
  write(0, 4, 'a');
  const Transfer refused = try_write(4, 1, 'b');
  EXPECT_EQ(refused.error, kFull);
  EXPECT_EQ(refused.bytes, 0u);
  EXPECT_EQ(inode().size_bytes(), 4 * kPage);
  EXPECT_EQ(inode().resident_pages(), 4u);
  write(1, 3, 'c');  // what has space can be written again
  engine_->sync();
  expect_trim();
  EXPECT_EQ(book().fresh_pages(), 0u);
  write(0, 4, 'd');
  engine_->sync();
  EXPECT_EQ(engine_->store->contents("f"), filled(4 * kPage, 'd'));
}

// Of a write that does not fit, as much is written as there is space for. Fails if reserve() does not ask for
// less.
TEST_P(Reserve, AsMuchAsThereIsSpaceFor) {
  make(5);
  const Transfer moved = try_write(1, 9, 'a');
  EXPECT_EQ(moved.error, kFull);
  EXPECT_EQ(moved.bytes, 5 * kPage);
  EXPECT_EQ(inode().size_bytes(), 6 * kPage);
  engine_->sync();
  EXPECT_EQ(allocated(), 5u);
}

// From the second page on a writer gets a chunk, and the store is asked once for it; what was not needed goes
// when the file is trimmed. Fails if look_ahead() or the truncate in TrimCall::next() is left out.
TEST_P(Reserve, TakesAChunkAheadAndGivesItBack) {
  make(2 * kChunk);
  write(0, 1, 'a');
  EXPECT_EQ(allocated(), 1u);
  for (std::uint64_t page = 1; page < 6; ++page) write(page, 1, 'a');
  EXPECT_EQ(asked_, 2);
  EXPECT_EQ(allocated(), kChunk);
  EXPECT_EQ(engine_->pages->counters().reserved_pages.load(), kChunk);
  engine_->sync();
  EXPECT_EQ(book().fresh_pages(), kChunk - 6);
  write(6, 1, 'b');
  EXPECT_EQ(asked_, 2);
  expect_trim();  // with a dirty page
  EXPECT_EQ(allocated(), 7u);
  EXPECT_EQ(book().fresh_pages(), 1u);
  take_the_rest();
  engine_->sync();
  EXPECT_EQ(book().fresh_pages(), 0u);
}

// Where a chunk does not fit, what is needed does. Fails if reserve() takes the first refusal for an answer.
TEST_P(Reserve, AChunkThatDoesNotFitIsNotNeeded) {
  make(10);
  for (std::uint64_t page = 0; page < 10; ++page) write(page, 1, 'a');
  EXPECT_EQ(try_write(10, 1, 'a').error, kFull);
  engine_->sync();
  EXPECT_EQ(allocated(), 10u);
}

// A page in the middle of nowhere takes a page. Fails if every writer is taken for a sequential one.
TEST_P(Reserve, SparseFilesStaySparse) {
  make();
  engine_->truncate(std::uint64_t{1} << 40);
  write(100'000, 1, 'a');
  write(50'000, 1, 'b');
  write(200'000, 1, 'c');
  EXPECT_EQ(allocated(), 3u);
  write(50'001, 1, 'b');
  EXPECT_GT(allocated(), 4u);
  engine_->sync();
  expect_trim();
  EXPECT_EQ(allocated(), 4u);
  expect_no_spare_space(inode());
}

// What the file had before costs one look a chunk, and nothing more. Fails if covers() or next() forgets what
// had space.
TEST_P(Reserve, WhatHasSpaceIsAskedForOnce) {
  make(3 * kChunk, 2 * kChunk * kPage);
  for (const std::uint64_t page : {7u, 3u, 200u, 3u, 8u}) write(page, 1, 'a');
  EXPECT_EQ(asked_, 1);
  write(kChunk + 9, 1, 'b');
  write(kChunk - 1, 2, 'b');
  EXPECT_EQ(asked_, 2);
  EXPECT_EQ(allocated(), 2 * kChunk);
  EXPECT_EQ(book().fresh_pages(), 0u);
  engine_->sync();
  expect_trim();
  EXPECT_EQ(allocated(), 2 * kChunk);
}

// What cuts take away is free for others at once, and must be asked for again. Fails if done() of a cut does not
// tell the book: then the write after it is not refused, and the sync is.
TEST_P(Reserve, CutsReturnWhatTheyTake) {
  for (const bool punches : {true, false}) {
    make(6);
    engine_->truncate(20 * kPage);
    write(0, 6, 'a');
    EXPECT_EQ(try_write(8, 1, 'b').error, kFull);
    if (punches) {
      EXPECT_FALSE(clear(engine_->inode, Cut::kPunch, 2 * kPage, 4 * kPage, true, {}));
    } else {
      engine_->truncate(4 * kPage);
      engine_->truncate(20 * kPage);
    }
    EXPECT_EQ(allocated(), 4u);
    take_the_rest();
    const std::uint64_t cut = punches ? 2 : 4;
    EXPECT_EQ(try_write(cut, 1, 'c').error, kFull);
    EXPECT_EQ(try_write(cut, 2, 'c').bytes, 0u);
    write(0, 2, 'd');
    engine_->sync();
  }
}

// The ends of a punch in the middle of pages are stored into like any others, but where there is nothing but zeros:
// what makes room must not need any. Fails without the reserve() in clear_part(): then three pages more are dirty and
// the sync fails; and if clear_part() does not look for zeros.
TEST_P(Reserve, TheEdgesOfAPunchThatLieInHolesNeedNoSpace) {
  make(3);
  engine_->truncate(20 * kPage);
  write(0, 3, 'a');
  EXPECT_FALSE(clear(engine_->inode, Cut::kPunch, 5 * kPage + 100, 9 * kPage, true, {}));
  EXPECT_FALSE(clear(engine_->inode, Cut::kZero, 7 * kPage + 100, 7 * kPage + 200, true, {}));
  EXPECT_EQ(engine_->pages->dirty().taken(), 3u);
  EXPECT_FALSE(clear(engine_->inode, Cut::kPunch, kPage + 100, 2 * kPage - 100, true, {}));
  engine_->sync();
}

// Space that a caller asked for is his. Fails without kept() in AllocateCall::done(), or in note_space().
TEST_P(Reserve, WhatWasAllocatedStays) {
  make();
  EXPECT_FALSE(allocate(engine_->inode, 0, 8 * kPage, true, {}));
  write(0, 1, 'a');
  write(1, 1, 'a');
  engine_->sync();
  expect_trim();
  EXPECT_EQ(allocated(), 8u);
  // Also what was ours before he asked.
  engine_->truncate(0);
  engine_->truncate(kChunk * kPage);
  write(10, 1, 'b');
  write(11, 1, 'b');
  EXPECT_FALSE(allocate(engine_->inode, 20 * kPage, 24 * kPage, false, {}));
  EXPECT_FALSE(clear(engine_->inode, Cut::kZero, 30 * kPage, 33 * kPage, true, {}));
  engine_->sync();
  expect_trim();
  EXPECT_EQ(allocated(), 2u + 4u + 3u);
}

// Space behind the end that somebody else asked for, before we came; and ours among it, which was not needed.
// Fails if answered() takes all for ours, if look_ahead() goes on behind it, or if TrimCall truncates in spite
// of it.
TEST_P(Reserve, SpaceBehindTheEndIsKept) {
  make();
  const Asked asked([&](IoDone& done) {
    engine_->store->reserve(engine_->opened.handle, 3 * kPage, 5 * kPage, done);
  });
  ASSERT_FALSE(asked.error);
  write(0, 1, 'a');
  write(1, 1, 'a');
  EXPECT_EQ(allocated(), 7u);
  engine_->store->set_hook(when(StoreOp::kReserve, held()));
  EXPECT_EQ(try_write(2, 1, 'a', at_once()).error, Errc::kTimedOut);
  engine_->store->set_hook({});
  engine_->store->release_held();
  EXPECT_EQ(allocated(), 8u);
  expect_trim();
  EXPECT_EQ(allocated(), 7u);
  write(2, 3, 'a');
  engine_->sync();
  expect_trim();
  EXPECT_EQ(allocated(), 8u);
}

// A shift finds nothing of ours where it shifts. Fails if ShiftCall gives nothing back: then that lies where
// nobody looks for it.
TEST_P(Reserve, ShiftsMoveNoReservation) {
  for (const Cut kind : {Cut::kInsert, Cut::kCollapse}) {
    make();
    engine_->truncate(300 * kPage);
    write(280, 1, 'e');
    write(10, 1, 'a');
    write(11, 1, 'a');
    EXPECT_EQ(allocated(), 3 + kChunk - 12);
    EXPECT_FALSE(shift(engine_->inode, kind, 4 * kPage, 3 * kPage, {}));
    EXPECT_EQ(allocated(), 3u);
    EXPECT_EQ(book().fresh_pages(), 0u);
    const std::uint64_t moved = kind == Cut::kInsert ? 13 : 7;
    EXPECT_EQ(engine_->read(moved * kPage, 2 * kPage), filled(2 * kPage, 'a'));
    write(moved + 2, 1, 'b');
    engine_->sync();
    expect_trim();
    EXPECT_EQ(allocated(), 4u);
    expect_no_spare_space(inode());
  }
}

// An append that is on its way to the store takes its space with it; a trim leaves it alone. Fails if
// spare_pages() does not look whether a page is dirty, or forgets those under writeback.
TEST_P(Reserve, TrimAgainstWriteback) {
  make(kChunk + 2);
  write(0, 1, 'a');
  write(1, 2, 'a');
  ASSERT_EQ(allocated(), kChunk);
  engine_->store->set_hook(when(StoreOp::kWrite, held()));
  sync::Thread syncer = start_thread("syncer", [&] { engine_->sync(); });
  until([&] { return engine_->store->held() == 1; });
  expect_trim();
  EXPECT_EQ(allocated(), 3u);
  take_the_rest();
  engine_->store->set_hook({});
  engine_->store->release_held();
  syncer.join();
  EXPECT_EQ(engine_->store->contents("f"), filled(3 * kPage, 'a'));
}

// reservation-balance: a writer comes to a page that is reserved while it is being given back. He waits, and
// asks again. Fails if TrimCall::prepare() takes no write range: he then finds the page covered, the trim
// takes its space away, others have it, and the sync fails.
TEST_P(Reserve, ReservationBalance) {
  make(kChunk + 2);
  engine_->truncate(2 * kChunk * kPage);
  write(10, 1, 'a');
  write(11, 1, 'a');
  ASSERT_EQ(allocated(), kChunk - 10);
  engine_->store->set_hook(when(StoreOp::kRelease, held()));
  sync::Thread trimmer = start_thread("trimmer", [&] { expect_trim(); });
  until([&] { return engine_->store->held() == 1; });
  EXPECT_EQ(try_write(12, 1, 'b', at_once()).error, Errc::kTimedOut);
  Transfer moved;
  sync::Thread writer = start_thread("writer", [&] { moved = try_write(12, 1, 'b'); });
  engine_->store->set_hook({});
  engine_->store->release_held();
  trimmer.join();
  writer.join();
  EXPECT_FALSE(moved.error);
  expect_trim();
  EXPECT_EQ(allocated(), 3u);
  take_the_rest();
  engine_->sync();
}

// A cut waits while the store is asked about its pages: else it would free what is then taken for reserved.
// Fails if write_at() does not hold whole chunks while it asks.
TEST_P(Reserve, ACutWaitsForTheAnswer) {
  make(kChunk + 2);
  engine_->truncate(kChunk * kPage);
  write(0, 1, 'a');
  engine_->store->set_hook(when(StoreOp::kReserve, held()));
  sync::Thread writer = start_thread("writer", [&] { write(1, 1, 'b'); });
  until([&] { return engine_->store->held() == 1; });
  EXPECT_EQ(clear(engine_->inode, Cut::kPunch, 7 * kPage, 9 * kPage, true, at_once()),
            Errc::kTimedOut);
  engine_->store->set_hook({});
  engine_->store->release_held();
  writer.join();
  EXPECT_FALSE(clear(engine_->inode, Cut::kPunch, 7 * kPage, 9 * kPage, true, {}));
  EXPECT_FALSE(book().covers({7, 8}));
  EXPECT_TRUE(book().covers({9, 10}));
}

// Whoever gives up leaves the request to itself, with what it holds; nothing was stored, and what it got is not
// lost. Fails if the range is given back by the caller.
TEST_P(Reserve, AWriterMayLeave) {
  make(kChunk + 2);
  engine_->truncate(kChunk * kPage);
  engine_->store->set_hook(when(StoreOp::kReserve, held()));
  EXPECT_EQ(try_write(3, 2, 'a', at_once()).error, Errc::kTimedOut);
  EXPECT_EQ(inode().resident_pages(), 0u);
  EXPECT_EQ(clear(engine_->inode, Cut::kPunch, 3 * kPage, 5 * kPage, true, at_once()),
            Errc::kTimedOut);
  engine_->store->set_hook({});
  engine_->store->release_held();
  EXPECT_EQ(inode().wait_idle({}), sync::WaitStatus::kReady);
  EXPECT_TRUE(book().covers({3, 5}));
  EXPECT_EQ(allocated(), 2u);
  expect_trim();
  EXPECT_EQ(allocated(), 0u);
}

// An error of the store's is the writer's. Fails if reserve() hides it.
TEST_P(Reserve, OtherErrorsAreTold) {
  make();
  engine_->store->set_hook(when(StoreOp::kReserve, failing(std::errc::io_error)));
  EXPECT_EQ(try_write(0, 1, 'a').error, kEio);
  engine_->store->set_hook({});
  write(0, 1, 'a');
  engine_->sync();
}

// A store that reserves nothing for a file after all: writes go on without, and nobody asks again for it. Fails if
// EOPNOTSUPP is the writer's.
TEST_P(Reserve, AStoreThatCannotIsLeftAlone) {
  make();
  std::atomic<int> refused{0};
  engine_->store->set_hook([&](const StoreRequest& request) {
    if (request.op != StoreOp::kReserve) return StoreVerdict{};
    ++refused;
    return failing(std::errc::operation_not_supported);
  });
  write(0, 3, 'a');
  write(2 * kChunk, 1, 'a');
  EXPECT_EQ(refused, 1);
  EXPECT_TRUE(engine_->pages->reserving()) << "another file may be of another kind";
  engine_->sync();
}

// After a sync that failed nobody knows what the store has kept. Fails without doubt() in SyncCall::ended().
TEST_P(Reserve, AFailedSyncCastsDoubt) {
  make(4);
  write(0, 2, 'a');
  engine_->sync();
  write(2, 2, 'b');
  StoreVerdict lost = failing(std::errc::io_error);
  lost.drop_unsynced = true;
  engine_->store->set_hook(when(StoreOp::kSync, lost));
  EXPECT_EQ(sync_all(engine_->inode, SyncKind::kAll, {}), kEio);
  engine_->store->set_hook({});
  EXPECT_FALSE(book().covers({2, 3}));
  engine_->sync();
  EXPECT_EQ(engine_->store->contents("f").size(), 4 * kPage);
}

// A direct write takes its space itself; what was reserved there is used. Fails if note_overwritten() does not
// tell the book.
TEST_P(Reserve, DirectWritesUseWhatIsReserved) {
  make();
  write(0, 1, 'a');
  write(1, 1, 'a');
  engine_->write_direct(2 * kPage, 2 * kPage, 'd');
  EXPECT_EQ(book().fresh(PageRange{0, kChunk}).back(), (PageRange{4, kChunk}));
  engine_->sync();
  expect_trim();
  EXPECT_EQ(allocated(), 4u);
  auto expected = filled(2 * kPage, 'a');
  const auto direct = filled(2 * kPage, 'd');
  expected.insert(expected.end(), direct.begin(), direct.end());
  EXPECT_EQ(engine_->store->contents("f"), expected);
}

class ReserveInCache : public CacheOverFront {
 protected:
  void make_reserving(std::uint64_t capacity_pages) {
    make_over({.capacity_bytes = capacity_pages * kPage, .reserves_space = true});
  }
  std::unique_ptr<FileImpl> open_file(const std::string& path) {
    return impl_->open(path, kRw, 0644).value();
  }
  static Result<std::size_t> write_file(FileImpl& file, std::uint64_t page, std::uint64_t pages) {
    const auto data = filled(pages * kPage, 'w');
    const std::span<const std::byte> piece = data;
    std::uint64_t offset = page * kPage;
    return file.writev({&piece, 1}, &offset, {});
  }
  std::uint64_t store_pages(const std::string& path) {
    const auto opened = memory_->open(path, OpenFlags::kRead, 0).value();
    EXPECT_TRUE(memory_->close(opened.handle).ok());
    return opened.stat.allocated_bytes / kPage;
  }
};

// The close gives back what is not needed, before the time stamps are told, so that nobody takes it for a change
// by another program. Fails without the trim in InodeTable::close().
TEST_F(ReserveInCache, ClosingTrims) {
  make_reserving(2 * kChunk);
  auto file = open_file("f");
  for (std::uint64_t page = 0; page < 3; ++page) ASSERT_TRUE(write_file(*file, page, 1).ok());
  EXPECT_EQ(store_pages("f"), kChunk);
  EXPECT_EQ(impl_->stats().reserved_pages, kChunk);
  const FileStat before = file->stat().value();
  ASSERT_TRUE(file->close().ok());
  EXPECT_EQ(store_pages("f"), 3u);
  EXPECT_EQ(impl_->stats().reserved_pages, 0u);
  EXPECT_EQ(impl_->pages().counters().space_chunks.load(), 0u);
  EXPECT_TRUE(stored("f", 'w', 3));
  file = open_file("f");
  EXPECT_EQ(file->stat()->mtime, before.mtime);
  EXPECT_FALSE(logged("changed by another program"));
  ASSERT_TRUE(file->close().ok());
}

// A writer who finds the store full gets what others do not need. Fails without trim_all() in write_part().
TEST_F(ReserveInCache, AFullStoreIsTrimmedFirst) {
  make_reserving(kChunk + 4);
  auto idle = open_file("idle");
  for (std::uint64_t page = 0; page < 3; ++page) ASSERT_TRUE(write_file(*idle, page, 1).ok());
  auto file = open_file("f");
  EXPECT_EQ(write_file(*file, 0, 4).value(), 4 * kPage);
  const auto moved = write_file(*file, 4, kChunk - 3);
  ASSERT_TRUE(moved.ok()) << moved.error().message();
  EXPECT_EQ(*moved, (kChunk - 3) * kPage);
  EXPECT_EQ(write_file(*file, kChunk + 1, 1).code(), kFull);
  EXPECT_TRUE(write_file(*idle, 1, 2).ok());
  EXPECT_TRUE(impl_->sync({}).ok());
  EXPECT_TRUE(file->close().ok());
  EXPECT_TRUE(idle->close().ok());
  EXPECT_EQ(store_pages("f"), kChunk + 1);
  EXPECT_EQ(store_pages("idle"), 3u);
}

// What a program stored into memory that it mapped is taken whatever the store says of space: that there is none, or
// that it cannot tell. Fails if store_bytes() gives up for an error, whichever, though the bytes are welcome.
TEST_F(ReserveInCache, WhatWasStoredIsTakenWithoutSpace) {
  make_reserving(2 * kChunk);
  for (const std::errc error : {std::errc::no_space_on_device, std::errc::io_error}) {
    auto file = open_file("f");
    ASSERT_TRUE(file->truncate(0, {}).ok());
    ASSERT_TRUE(file->truncate(2 * kPage, {}).ok());
    memory_->set_hook(when(StoreOp::kReserve, failing(error)));
    EXPECT_EQ(write_file(*file, 0, 1).code(), error);
    EXPECT_EQ(file->write_stored(filled(kPage, 's'), kPage, {}).value(), kPage);
    memory_->set_hook({});
    EXPECT_TRUE(file->sync(0, kLast, SyncKind::kAll, {}).ok());
    auto expected = filled(kPage, 0);
    expected.insert(expected.end(), kPage, std::byte{'s'});
    EXPECT_EQ(memory_->contents("f"), expected);
    EXPECT_TRUE(file->close().ok());
  }
}

// Another program writes to a file that has more space than it needs. Fails without looks_changed() in trim(): what
// that does to the object then hides what was done to it before, and the cache's pages stay.
TEST_F(ReserveInCache, ATrimHidesNobodysChange) {
  make_reserving(2 * kChunk);
  auto file = open_file("f");
  for (std::uint64_t page = 0; page < 3; ++page) ASSERT_TRUE(write_file(*file, page, 1).ok());
  EXPECT_TRUE(file->sync(0, kLast, SyncKind::kAll, {}).ok());
  EXPECT_EQ(impl_->stats().reserved_pages, kChunk - 3);
  memory_->poke("f", filled(3 * kPage, 'o'));
  EXPECT_TRUE(file->close().ok());
  file = open_file("f");
  auto bytes = filled(3 * kPage, 0);
  EXPECT_EQ(file->read(bytes, 0, {}).value(), 3 * kPage);
  EXPECT_EQ(bytes, filled(3 * kPage, 'o'));
  EXPECT_TRUE(file->close().ok());
}

// Said once, and the files are as if their store had never promised anything.
TEST_F(ReserveInCache, AStoreThatCannotIsNamedOnce) {
  make_reserving(2 * kChunk);
  memory_->set_hook(when(StoreOp::kReserve, failing(std::errc::operation_not_supported)));
  for (const char* const path : {"f", "g"}) {
    auto file = open_file(path);
    EXPECT_TRUE(write_file(*file, 0, 2).ok());
    EXPECT_TRUE(file->close().ok());
  }
  const std::string said = "cannot reserve space";
  until([&] { return logged(said); });
  const std::lock_guard lock(mutex_);
  const std::size_t first = log_.find(said);
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(log_.find(said, first + 1), std::string::npos);
}

// A first store comes when there is no memory to ask the store with. Fails, by the end of the program, if begin()
// throws.
TEST_P(Reserve, WithoutMemoryAFirstStoreGetsAnError) {
  make(2 * kChunk, 2 * kPage);
  sync::SleepingWaker waker;
  ParkedReserve parked(engine_->inode, waker);
  for (const std::size_t left : {0u, 1u}) {
    const NoMemory once(left, 1);
    ASSERT_TRUE(parked.begin(kChunk));
    EXPECT_EQ(parked.error(), std::errc::not_enough_memory);
    EXPECT_EQ(NoMemory::refusals_left(), 0u);
  }
  bool ended = parked.begin(kChunk);
  while (!ended) {
    ASSERT_EQ(waker.park({}), sync::WaitStatus::kReady);
    ended = parked.resume();
  }
  EXPECT_FALSE(parked.error());
  EXPECT_TRUE(book().covers({kChunk, kChunk + 1}));
  expect_trim();
}

}  // namespace
}  // namespace quire::file
