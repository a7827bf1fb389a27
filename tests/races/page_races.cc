// Races over one page: who fills, reads, writes and evicts it, and who waits for it.
#include <algorithm>

#include "file/buffered.h"
#include "races/race.h"

namespace quire::races {
namespace {

bool all_of_one(const Bytes& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [&](std::byte b) { return b == bytes[0]; });
}

// Somebody waits for a page that another reads, and the store fails. Who read it gets the error; who waited
// reads again, and gets the bytes. Fails with kFailedFillStays: a page that could not be filled stays.
RACE(ReadRestartFillsNothing, kFailedFillStays) {
  QuietEngine engine(locking, 1);
  engine.store->set_hook(when(StoreOp::kRead, held_and_failing(std::errc::io_error)));
  sync::Thread first = start_thread("first", [&] {
    Bytes page(kPage);
    EXPECT_EQ(engine.read_into(0, page).error, kEio);
  });
  until([&] { return engine.store->held() == 1; });
  Bytes got;
  sync::Thread second = start_thread("second", [&] { got = engine.read(0, kPage); });
  until([&] { return engine.value(0).waiters(); });
  engine.release();
  first.join();
  second.join();
  EXPECT_EQ(got, filled(kPage, 'i'));
}

// A page is evicted, or looked at by eviction, while a writer is in the middle of it. It stays, with all that he
// stores. Fails with kEvictTakesWriting: begin_evict() takes a page that is being written.
RACE(TornWriteVsEviction, kEvictTakesWriting) {
  QuietEngine engine(locking, 1);
  (void)engine.read(0, kPage);
  bool written = false;
  sync::Thread evictor = start_thread("evictor", [&] {
    until([&] { return written || engine.value(0).writing(); });
    engine.drop_clean();
  });
  engine.write_slowly(0, kPage, 'w');
  written = true;
  evictor.join();
  engine.expect_all(pages_of("w"));
}

// A page is read while a writer is in the middle of it: the reader gets all of the write, or nothing of it.
// Fails with kReadTakesWriting: copy_page() copies from a page that is being written.
RACE(TornReadVsWrite, kReadTakesWriting,
     {Locking::kInode, "a read waits for the whole of the write"}) {
  QuietEngine engine(locking, 1);
  (void)engine.read(0, kPage);
  bool written = false;
  sync::Thread reader = start_thread("reader", [&] {
    until([&] { return written || engine.value(0).writing(); });
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(all_of_one(engine.read(0, kPage))) << "a torn page";
  });
  engine.write_slowly(0, kPage, 'w');
  written = true;
  reader.join();
  engine.expect_all(pages_of("w"));
}

// Eviction looks at pages that readahead is filling: they stay until the store has brought them. Fails with
// kEvictTakesFilling: begin_evict() takes a page that is being filled.
RACE(EvictVsReadahead, kEvictTakesFilling) {
  QuietEngine engine(locking, 4);
  engine.store->set_hook(when(StoreOp::kRead, held()));
  file::will_need(*engine.inode, 0, 3);
  ASSERT_EQ(engine.store->held(), 1u);
  sync::Thread evictor = start_thread("evictor", [&] { engine.drop_clean(); });
  sync::Thread reader =
      start_thread("reader", [&] { EXPECT_EQ(engine.read(kPage, kPage), filled(kPage, 'i')); });
  evictor.join();
  EXPECT_EQ(engine.inode->resident_pages(), 4u);
  engine.release();
  reader.join();
  engine.expect_all(pages_of("iiii"));
}

// A page becomes readable at the moment when a reader goes to sleep until it is. He publishes that he waits and
// looks again, in one step; so he is woken or does not sleep. Fails with kWaiterLooksOnce, by a deadlock:
// PageWaitLot::wait() sleeps although the page has changed since it was looked at.
RACE(WaiterPublishedLate, kWaiterLooksOnce) {
  constexpr std::size_t kPages = 8;
  QuietEngine engine(locking, kPages);
  const auto read_all = [&] {
    for (std::size_t page = 0; page < kPages; ++page) {
      EXPECT_EQ(engine.read(page * kPage, kPage), filled(kPage, 'i'));
    }
  };
  sync::Thread a = start_thread("a", read_all);
  sync::Thread b = start_thread("b", read_all);
  sync::Thread c = start_thread("c", read_all);
  read_all();
  a.join();
  b.join();
  c.join();
}

}  // namespace
}  // namespace quire::races
