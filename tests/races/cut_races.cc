// Races of cuts: with readers, readahead, writers, appends, advice, writeback and each other.
#include <algorithm>
#include <cstring>
#include <optional>

#include "file/buffered.h"
#include "file/resize.h"
#include "races/race.h"

namespace quire::races {
namespace {

constexpr const char* kOneBlockAtATime =
    "a Block is alone there: the truncate waits for the collapse at the file's lock";
constexpr const char* kWholeOperations =
    "one operation that changes the file at a time: the other has not begun";

std::error_code punch(QuietEngine& engine, std::uint64_t offset, std::uint64_t length) {
  return file::clear(engine.inode, Cut::kPunch, offset, offset + length, true, {});
}

// Readahead has taken the old bytes from the store and not yet brought them when a punch comes. The punch
// waits for the filling pages, and what they brought is gone. Fails with kSealSkipsFilling: seal_page()
// passes over pages that are being filled.
RACE(PunchVsReadahead, kSealSkipsFilling,
     {Locking::kInvalidate,
      "who adds pages keeps the lock until they are filled, and a cut waits for it"}) {
  QuietEngine engine(locking, 4);
  engine.store->set_hook(when(StoreOp::kRead, held_answer()));
  file::will_need(*engine.inode, 0, 3);
  ASSERT_EQ(engine.value(1).state(), cache::PageState::kFilling);
  bool punched = false;
  sync::Thread puncher = start_thread("puncher", [&] {
    EXPECT_FALSE(punch(engine, kPage, kPage));
    punched = true;
  });
  until([&] {
    return punched || engine.value(1).waiters() || engine.waiting(GateSide::kBlock) == 1;
  });
  engine.release();
  puncher.join();
  engine.expect_all(pages_of("i ii"));
}

// The other half: the store works on the punch, and readahead comes, of advise() and of a reader. It gives up,
// and brings nothing back. Fails with kCutBeginsNoBlock: lock_pages() begins no Block.
RACE(ReadaheadIntoPunch, kCutBeginsNoBlock,
     {Locking::kInode, "readahead begins no operation beside a cut"}) {
  QuietEngine engine(locking, 4);
  engine.store->set_hook(when(StoreOp::kCut, held()));
  sync::Thread puncher =
      start_thread("puncher", [&] { EXPECT_FALSE(punch(engine, kPage, kPage)); });
  until([&] { return engine.store->held() == 1; });
  file::will_need(*engine.inode, 1, 2);
  engine.release();
  puncher.join();
  engine.expect_all(pages_of("i ii"));
}

// A reader has a page pinned, and a truncate takes it away. The store is not changed before the reader is
// gone. Fails with kSealIgnoresPins: wait_users() waits for nobody.
RACE(PinnedPageAcrossTruncate, kSealIgnoresPins) {
  QuietEngine engine(locking, 2);
  std::optional<cache::PinnedRun> pinned(std::in_place);
  ASSERT_FALSE(cache::fill_run(*engine.inode, 1, 1, {}, *pinned));
  bool cut = false;
  sync::Thread cutter = start_thread("cutter", [&] {
    engine.truncate(0);
    cut = true;
  });
  until([&] { return cut || (engine.value(1).sealed() && engine.value(1).waiters()); });
  EXPECT_FALSE(cut);
  EXPECT_EQ(engine.store->contents("f").size(), 2 * kPage);
  EXPECT_EQ(engine.inode->size_bytes(), 2 * kPage);
  pinned.reset();
  cutter.join();
  EXPECT_TRUE(engine.store->contents("f").empty());
}

// A write that is past its look at the size has stored its first page and waits for its second to be read. A
// truncate must not come between the two: the write is cut away as a whole. Fails with kCutTakesNoRange:
// lock_bytes() takes no write range.
RACE(TruncateOvertakesWrite, kCutTakesNoRange, {Locking::kInode, kWholeOperations}) {
  QuietEngine engine(locking, 2);
  engine.store->set_hook(when(StoreOp::kRead, held()));
  sync::Thread writer = start_thread("writer", [&] { engine.write(0, kPage + 100, 'w'); });
  until([&] { return engine.store->held() == 1; });
  bool cut = false;
  sync::Thread cutter = start_thread("cutter", [&] {
    engine.truncate(0);
    cut = true;
  });
  until([&] { return cut || engine.somebody_waits_to_change() || engine.value(1).waiters(); });
  engine.release();
  writer.join();
  cutter.join();
  engine.expect_all({});
}

// A write of all of the tail page that lies in the file waits at the file's lock; meanwhile an append to that
// page comes, is written back and evicted. Its bytes stay. Fails with kTrustFirstCovers: add_new() does not
// look again at how much of the page lies in the file.
RACE(ExtendZeroingVsAppend, kTrustFirstCovers, {Locking::kInode, kWholeOperations}) {
  QuietEngine engine(locking, 0);
  engine.store->poke("f", filled(100, 'a'));
  engine.inode->set_size_bytes(100);
  cache::CacheLock::Operation operation;
  std::optional<cache::CacheLock::Block> block(std::in_place);
  ASSERT_EQ(operation.begin(engine.inode->lock(), sync::RwMode::kWrite, {}),
            sync::WaitStatus::kReady);
  ASSERT_EQ(block->begin(engine.inode->lock(), 0, kLastPage, {}), sync::WaitStatus::kReady);
  operation.hand_over();
  block->hand_over();
  sync::Thread writer = start_thread("writer", [&] { engine.write(0, 100, 'w'); });
  until([&] { return engine.waiting(GateSide::kAdd) + engine.waiting(GateSide::kBlock) == 1; });
  // What an append, its writeback and its eviction leave.
  Bytes expected = filled(200, 'b');
  std::fill_n(expected.begin(), 100, std::byte{'a'});
  engine.store->poke("f", expected);
  engine.inode->set_size_bytes(200);
  block.reset();
  operation.end();
  writer.join();
  std::fill_n(expected.begin(), 100, std::byte{'w'});
  engine.expect_all(expected);
}

// A part of a page is punched while somebody stores into the part beside it: nothing else becomes zero. Fails
// with kClearPartToTheEnd: clear_part() zeroes up to the end of the page.
RACE(InvalidateZeroesPartial, kClearPartToTheEnd) {
  QuietEngine engine(locking, 2);
  sync::Thread writer = start_thread("writer", [&] { engine.write(200, 100, 'w'); });
  EXPECT_FALSE(punch(engine, 100, 100));
  EXPECT_FALSE(punch(engine, kPage - 10, 20));
  writer.join();
  Bytes expected = filled(2 * kPage, 'i');
  std::fill_n(expected.begin() + 100, 100, std::byte{0});
  std::fill_n(expected.begin() + 200, 100, std::byte{'w'});
  std::fill_n(expected.begin() + kPage - 10, 20, std::byte{0});
  engine.expect_all(expected);
}

// A part of a page is punched while a writer, who is in the middle of it, stores into another part. Both are
// there in the end. Fails with kWriteTakesWriting: begin_write() takes a page that is being written.
RACE(SubPagePunchVsBufferedWrite, kWriteTakesWriting, {Locking::kInode, kWholeOperations}) {
  QuietEngine engine(locking, 1);
  sync::Thread puncher = start_thread("puncher", [&] { EXPECT_FALSE(punch(engine, 100, 100)); });
  engine.write_slowly(200, 300, 'w');
  puncher.join();
  Bytes expected = filled(kPage, 'i');
  std::fill_n(expected.begin() + 100, 100, std::byte{0});
  std::fill_n(expected.begin() + 200, 100, std::byte{'w'});
  engine.expect_all(expected);
}

// The store refuses a truncate. Nobody has seen the size that it would have had, nor lost a page. Fails with
// kPublishSizeFirst: the size is set before the store has answered.
RACE(TruncateFailsInStore, kPublishSizeFirst) {
  QuietEngine engine(locking, 0);
  engine.write(0, 2 * kPage, 'a');
  engine.store->set_hook(when(StoreOp::kTruncate, held_and_failing(std::errc::io_error)));
  sync::Thread cutter = start_thread(
      "cutter", [&] { EXPECT_EQ(file::truncate(engine.inode, 10, {}), std::errc::io_error); });
  until([&] { return engine.store->held() == 1; });
  Bytes got;
  bool read = false;
  sync::Thread reader = start_thread("reader", [&] {
    got = engine.read(kPage, kPage);
    read = true;
  });
  until([&] { return read || engine.value(1).waiters() || engine.waiting(GateSide::kAdd) == 1; });
  engine.release();
  cutter.join();
  reader.join();
  EXPECT_EQ(got, filled(kPage, 'a'));
  engine.expect_all(filled(2 * kPage, 'a'));
}

// A file is cut short within a page and grows again. What was cut away is zeros for whoever reads meanwhile and
// afterwards, cached or not, clean or dirty. Fails with kSkipTailZeroing: truncate leaves what was behind the
// new end in the last page.
RACE(PostEofExposure, kSkipTailZeroing) {
  for (const bool dirty : {false, true}) {
    QuietEngine engine(locking, 2);
    (void)engine.read(0, 2 * kPage);
    const char before = dirty ? 'b' : 'i';
    if (dirty) engine.write(0, 2 * kPage, before);
    bool grown = false;
    sync::Thread reader = start_thread("reader", [&] {
      for (int i = 0; i < 3; ++i) {
        const bool after = grown;
        const Bytes got = engine.read(0, kPage);
        const auto zeros = std::count(got.begin() + std::min<std::ptrdiff_t>(100, std::ssize(got)),
                                      got.end(), std::byte{0});
        EXPECT_TRUE(zeros == 0 || zeros == std::ssize(got) - 100) << "a torn tail";
        EXPECT_TRUE(!after || zeros == std::ssize(got) - 100) << "what was cut away";
      }
    });
    engine.truncate(100);
    engine.write(kPage, kPage, 'n');
    grown = true;
    reader.join();
    Bytes expected = filled(100, before);
    expected.resize(kPage);
    expected.resize(2 * kPage, std::byte{'n'});
    engine.expect_all(expected);
  }
}

// The store works on a collapse, and a truncate comes. It waits, and cuts what the collapse left. Fails with
// kShiftLocksItsRange: a shift locks the bytes that it takes out, not all that it moves.
RACE(CollapseVsTruncate, kShiftLocksItsRange, {Locking::kInvalidate, kOneBlockAtATime},
     {Locking::kInode, kWholeOperations}) {
  QuietEngine engine(locking, 0);
  engine.write_letters(4);
  engine.store->set_hook(when(StoreOp::kCut, held()));
  sync::Thread collapser = start_thread("collapser", [&] {
    EXPECT_FALSE(file::shift(engine.inode, Cut::kCollapse, kPage, kPage, {}));
  });
  until([&] { return engine.store->held() == 1; });
  bool cut = false;
  sync::Thread cutter = start_thread("cutter", [&] {
    engine.truncate(2 * kPage);
    cut = true;
  });
  until([&] { return cut || engine.somebody_waits_to_change(); });
  engine.release();
  collapser.join();
  cutter.join();
  engine.expect_all(pages_of("ac"));
}

// An append waits for an insert, and goes to the end that the insert made. Fails with kAppendTrustsOldSize: the
// append takes the size from before it waited.
RACE(AppendAioVsFallocate, kAppendTrustsOldSize, {Locking::kInode, kWholeOperations}) {
  QuietEngine engine(locking, 0);
  engine.write_letters(2);
  engine.store->set_hook(when(StoreOp::kCut, held()));
  sync::Thread inserter = start_thread(
      "inserter", [&] { EXPECT_FALSE(file::shift(engine.inode, Cut::kInsert, kPage, kPage, {})); });
  until([&] { return engine.store->held() == 1; });
  std::uint64_t went_to = 0;
  sync::Thread appender =
      start_thread("appender", [&] { went_to = engine.write(file::kAtEnd, kPage, 'n'); });
  until([&] { return engine.somebody_waits_to_change(); });
  engine.release();
  inserter.join();
  appender.join();
  EXPECT_EQ(went_to, 3 * kPage);
  engine.expect_all(pages_of("a bn"));
}

// Two that make the file longer by a part of a page, and have no byte in common: the longer one wins, whichever
// is first. Fails with kZeroGrowsInItsRange: who zeroes past the end locks no more than that range.
RACE(ExtendVsExtend, kZeroGrowsInItsRange, {Locking::kInode, kWholeOperations}) {
  QuietEngine engine(locking, 1);
  const auto zero_at = [&](std::uint64_t offset) {
    EXPECT_FALSE(file::clear(engine.inode, Cut::kZero, offset, offset + 10, false, {}));
  };
  engine.store->set_hook(when(StoreOp::kTruncate, held()));
  sync::Thread nearer = start_thread("nearer", [&] { zero_at(2 * kPage); });
  until([&] { return engine.store->held() == 1; });
  engine.store->set_hook({});
  bool extended = false;
  sync::Thread farther = start_thread("farther", [&] {
    zero_at(4 * kPage);
    extended = true;
  });
  until([&] { return extended || engine.somebody_waits_to_change(); });
  engine.release();
  nearer.join();
  farther.join();
  Bytes expected = filled(kPage, 'i');
  expected.resize(4 * kPage + 10);
  engine.expect_all(expected);
}

// An insert fails when the store has moved some of the bytes. Who reads what should have moved gets an error
// until the file has been mended, never bytes from the wrong place. Fails with kShiftFailsUnnoticed: the file
// is not put into the error state.
RACE(InsertFailsMidway, kShiftFailsUnnoticed) {
  QuietEngine engine(locking, 0);
  engine.write_letters(4);
  StoreVerdict midway = held_and_failing(std::errc::io_error);
  midway.change_then_fail = true;
  engine.store->set_hook(when(StoreOp::kCut, midway));
  sync::Thread inserter = start_thread("inserter", [&] {
    EXPECT_EQ(file::shift(engine.inode, Cut::kInsert, kPage, kPage, {}), kEio);
  });
  until([&] { return engine.store->held() == 1; });
  sync::Thread reader = start_thread("reader", [&] {
    Bytes page(kPage);
    EXPECT_EQ(engine.read_into(2 * kPage, page).error, kEio);
  });
  until([&] { return engine.waiting(GateSide::kAdd) == 1; });
  engine.release();
  inserter.join();
  reader.join();
  Bytes page(kPage);
  EXPECT_EQ(engine.read_into(kPage, page).error, kEio);
  EXPECT_FALSE(file::mend(*engine.inode, {}));
  engine.expect_all(pages_of("a bcd"));
}

// advise(kDontNeed) comes for pages that the store is punching, one of them dirty. It is not written to blocks
// that are no longer its own. Fails with kWritebackTakesSealed: begin_writeback() takes sealed pages.
RACE(DontNeedVsPunch, kWritebackTakesSealed) {
  QuietEngine engine(locking, 3);
  (void)engine.read(0, 3 * kPage);
  engine.write(kPage, kPage, 'b');
  engine.store->set_hook(when(StoreOp::kCut, held()));
  sync::Thread puncher =
      start_thread("puncher", [&] { EXPECT_FALSE(punch(engine, kPage, kPage)); });
  until([&] { return engine.store->held() == 1; });
  sync::Thread adviser =
      start_thread("adviser", [&] { EXPECT_FALSE(file::drop_behind(engine.inode, 0, kLastPage)); });
  until([&] { return engine.value(1).waiters(); });
  EXPECT_EQ(engine.value(1).state(), cache::PageState::kDirty);
  engine.release();
  puncher.join();
  adviser.join();
  engine.expect_all(pages_of("i i"));
}

}  // namespace
}  // namespace quire::races
