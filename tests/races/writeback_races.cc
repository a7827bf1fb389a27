// Races of writeback and of syncs.
#include <algorithm>
#include <optional>

#include "cache/page_write.h"
#include "file/reserve.h"
#include "file/resize.h"
#include "file/shoot_down.h"
#include "races/race.h"
#include "sync/lock_rank.h"

namespace quire::races {
namespace {

// A sync ends although a page is dirtied again each time that it is written, also when the sync has to look
// again because somebody holds another page: it writes the page once. So does write_and_invalidate. Fails with
// kFlushWantsNew: flush_all() wants pages that were dirtied after it was called.
RACE(RedirtyLivelock, kFlushWantsNew) {
  QuietEngine engine(locking, 0);
  engine.write(0, 2 * kPage, 'a');
  ASSERT_FALSE(engine.pages->dirty().take(1, {}));
  cache::PageWrite other(*engine.inode);
  ASSERT_FALSE(other.begin(1, 0, kPage, {}));
  sync::lock_rank::handed_over(sync::Rank::kPage, engine.inode->find(1));
  int writes = 0;
  engine.store->set_hook([&](const StoreRequest& request) {
    if (request.op == StoreOp::kWrite && request.offset == 0 && ++writes < 50) {
      engine.write(0, kPage, 'b');
    }
    return StoreVerdict{};
  });
  sync::Thread syncer = start_thread("syncer", [&] { engine.sync(); });
  until([&] { return engine.value(1).waiters(); });
  other.finish(2 * kPage);
  syncer.join();
  EXPECT_EQ(writes, 1);

  writes = 0;
  engine.store->set_hook([&](const StoreRequest& request) {
    if (request.op == StoreOp::kWrite && request.offset == 0) ++writes;
    return StoreVerdict{};
  });
  sync::Thread redirtier = start_thread("redirtier", [&] {
    for (int i = 0; i < 4; ++i) engine.write(10, 10, 'c');
  });
  EXPECT_FALSE(file::write_and_invalidate(engine.inode, 0, kLastPage, {}));
  EXPECT_LE(writes, 1);
  redirtier.join();
}

// A page is under writeback when a truncate comes to take it away: the cut waits until the write has ended, so
// that it does not arrive afterwards and make the object longer again. Fails with kSealTakesWriteback:
// begin_seal() takes pages under writeback.
RACE(EarlyEndOfWriteback, kSealTakesWriteback) {
  QuietEngine engine(locking, 0);
  engine.write(0, 2 * kPage, 'a');
  engine.store->set_hook(when(StoreOp::kWrite, held()));
  sync::Thread syncer = start_thread("syncer", [&] { engine.sync(); });
  until([&] { return engine.store->held() == 1; });
  bool cut = false;
  sync::Thread cutter = start_thread("cutter", [&] {
    engine.truncate(kPage);
    cut = true;
  });
  until([&] { return cut || engine.value(1).waiters(); });
  EXPECT_FALSE(cut);
  engine.release();
  syncer.join();
  cutter.join();
  engine.expect_all(pages_of("a"));
}

// The file grows while its tail page is under writeback: what was appended is still to be written when that has
// ended. Fails with kRewrittenBecomesClean: end_writeback() makes a page clean that was stored into meanwhile.
RACE(SizeVsWriteback, kRewrittenBecomesClean) {
  QuietEngine engine(locking, 0);
  engine.write(0, 100, 'a');
  engine.store->set_hook(when(StoreOp::kWrite, held()));
  sync::Thread syncer = start_thread("syncer", [&] { engine.sync(); });
  until([&] { return engine.store->held() == 1; });
  engine.write(100, 100, 'b');
  engine.release();
  syncer.join();
  EXPECT_EQ(engine.value(0).state(), cache::PageState::kDirty);
  Bytes expected = filled(200, 'a');
  std::fill_n(expected.begin() + 100, 100, std::byte{'b'});
  engine.expect_all(expected);
}

// A sync fails, and the store has lost what it had not synced. A sync that waited behind it must not succeed
// unless the bytes are written again and durable. Fails with kSyncForgetsError: a failed sync counts as one
// that succeeded.
RACE(FsyncErrorTwice, kSyncForgetsError) {
  QuietEngine engine(locking, 0);
  engine.write(0, kPage, 'a');
  StoreVerdict lost = held_and_failing(std::errc::io_error);
  lost.drop_unsynced = true;
  engine.store->set_hook(when(StoreOp::kSync, lost));
  sync::Thread first = start_thread("first", [&] { EXPECT_EQ(engine.sync_result(), kEio); });
  until([&] { return engine.store->held() == 1; });
  sync::Thread second = start_thread("second", [&] {
    if (engine.sync_result()) return;
    EXPECT_EQ(engine.store->durable_contents("f"), filled(kPage, 'a')) << "a sync that lied";
  });
  until([&] { return engine.inode->sync_turn().waiting_count() == 1; });
  engine.release();
  first.join();
  second.join();
  engine.expect_all(pages_of("a"));
}

// A write has the store's promise for its page and waits for a credit before it dirties it. Meanwhile somebody
// trims the file, and another file takes whatever space is free. What was promised is still there when the page
// is written. Fails with kTrimLocksNothing: TrimCall::prepare() takes no write range of the pages.
RACE(ReservationBalance, kTrimLocksNothing,
     {Locking::kInode, "one operation that changes the file at a time: the other has not begun"}) {
  QuietEngine engine({.frames = 64,
                      .dirty_max_pages = 16,
                      .locking = locking,
                      .reserves_space = true,
                      .capacity_bytes = 4 * kPage});
  engine.truncate(3 * kPage);  // so that the write locks its chunk, and not the end of the file
  ASSERT_FALSE(engine.pages->dirty().take(16, {}));
  sync::Thread writer = start_thread("writer", [&] { engine.write(0, kPage, 'a'); });
  until([&] { return engine.inode->space()->fresh_pages() == 1; });
  bool trimmed = false;
  sync::Thread trimmer = start_thread("trimmer", [&] {
    EXPECT_FALSE(file::trim(engine.inode, {}));
    trimmed = true;
  });
  until([&] { return trimmed || engine.somebody_waits_to_change(); });
  const OpenedObject other =
      engine.store->open("other", OpenFlags::kReadWrite | OpenFlags::kCreate, 0644).value();
  std::uint64_t taken = 0;
  while (!file::Asked([&](IoDone& done) {
            engine.store->reserve(other.handle, taken, kPage, done);
          }).error) {
    taken += kPage;
  }
  engine.pages->dirty().give(16);
  writer.join();
  trimmer.join();
  engine.expect_all(pages_of("a  "));
  EXPECT_TRUE(engine.store->close(other.handle).ok());
}

}  // namespace
}  // namespace quire::races
