// Races with programs that have a file mapped. What a processor does with the memory stands in for them
// (cache/test_views.h): it loads and stores as long as it can without a fault, and the test answers its faults.
#include <sys/stat.h>

#include <array>
#include <cstring>

#include "cache/test_views.h"
#include "file/resize.h"
#include "races/race.h"

namespace quire::races {
namespace {

file::EngineOptions mapped(Locking locking) {
  return {.frames = 64, .dirty_max_pages = 16, .locking = locking, .mapped = true};
}

// A page that a program stores into is written back, and the program goes on storing. The page counts as clean
// only when a store is a fault again, else the store is lost. Fails with kSkipProtect: WriteRequest::complete()
// protects nothing.
RACE(AlreadyWritableRedirty, kSkipProtect) {
  QuietEngine engine(mapped(locking));
  engine.write(0, kPage, 'a');
  ASSERT_FALSE(engine.views->answer_store(0));
  engine.sync();
  EXPECT_EQ(engine.value(0).state(), cache::PageState::kClean);
  if (!engine.views->stores(0)) {
    ASSERT_FALSE(engine.views->answer_store(0));
  }
  engine.views->store_all(0, 'b');
  engine.expect_all(pages_of("b"));
}

// Two views of one page: writeback has protected both, and copies the page, when the fault of a store through the
// second comes. It waits until the copy is made: what is stored from then on is for the next writeback. Fails with
// kSnapshotUnpinned: WriteRequest::append() does not keep the pin.
RACE(SnapshotVsSecondView, kSnapshotUnpinned) {
  QuietEngine engine(mapped(locking));
  engine.write(0, kPage, 'a');
  ASSERT_FALSE(engine.views->answer_store(0));
  sync::Thread second;
  bool stored = false;
  engine.views->on_protect = [&](std::uint64_t /*first*/, std::uint64_t /*count*/) {
    second = start_thread("second", [&] {
      EXPECT_FALSE(engine.views->answer_store(0));
      engine.views->store_all(0, 'b');
      stored = true;
    });
    until([&] { return stored || engine.value(0).writing(); });
  };
  engine.store->set_hook(when(StoreOp::kWrite, held()));
  sync::Thread syncer = start_thread("syncer", [&] { engine.sync(); });
  until([&] { return engine.store->held() == 1; });
  second.join();
  engine.release();
  syncer.join();
  EXPECT_TRUE(engine.store->durable_contents("f") == pages_of("a")) << "a snapshot of two moments";
  engine.expect_all(pages_of("b"));
}

// A program has a page in sight and stores into it when the file is shifted under it. Its next access is a fault,
// and what it stores then goes where its offset is now; nothing is written to a place that the shift moved. Fails with
// kSealHidesNothing: SealedRange::seal() leaves the pages in sight.
RACE(StaleMappingWriteback, kSealHidesNothing) {
  QuietEngine engine(mapped(locking));
  engine.write_letters(4);
  const auto fault_in = [&](std::uint64_t page) {
    (void)engine.read(page * kPage, kPage);
    return engine.views->answer_store(page);
  };
  ASSERT_FALSE(fault_in(2));
  engine.views->store_all(2, 'x');
  engine.store->set_hook(when(StoreOp::kCut, held()));
  sync::Thread collapser = start_thread("collapser", [&] {
    EXPECT_FALSE(file::shift(engine.inode, Cut::kCollapse, kPage, kPage, {}));
  });
  until([&] { return engine.store->held() == 1; });
  char expected = 'x';
  if (engine.views->stores(2)) {
    engine.views->store_all(2, 'y');  // without a fault
    expected = 'y';
  }
  engine.release();
  collapser.join();
  EXPECT_FALSE(engine.views->stores(2));
  ASSERT_FALSE(fault_in(2));
  EXPECT_EQ(static_cast<char>(*engine.views->at(2, 0)), 'd');
  engine.views->store_all(2, 'z');
  engine.expect_all(pages_of({std::array{'a', expected, 'z'}.data(), 3}));
}

// A punch takes a page that a program has in sight, and so does eviction. The next access is a fault for a page that
// is not there. Fails with kSkipPunch: SealedRange::drop_from() and FilePages::release_bytes() leave the page in the
// file's memory, with what it held.
RACE(PunchVsMappedPage, kSkipPunch) {
  QuietEngine engine(mapped(locking));
  engine.write(0, 2 * kPage, 'a');
  ASSERT_FALSE(engine.views->answer_store(0));
  ASSERT_FALSE(engine.views->answer_store(1));
  engine.sync();
  engine.store->set_hook(when(StoreOp::kCut, held()));
  sync::Thread puncher = start_thread(
      "puncher", [&] { EXPECT_FALSE(file::clear(engine.inode, Cut::kPunch, 0, kPage, true, {})); });
  until([&] { return engine.store->held() == 1; });
  EXPECT_FALSE(engine.views->loads(0));
  EXPECT_FALSE(engine.views->answer_load(0)) << "a page of a blocked range came into sight";
  engine.release();
  puncher.join();
  EXPECT_FALSE(engine.views->answer_load(0)) << "a page that is not there came into sight";
  struct stat memory = {};
  ASSERT_EQ(::fstat(engine.inode->memory()->fd(), &memory), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(memory.st_blocks) * 512, kPage)
      << "a page that nobody pays for";
  engine.expect_all(pages_of(" a"));
}

}  // namespace
}  // namespace quire::races
