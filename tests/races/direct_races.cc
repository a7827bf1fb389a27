// Races of direct reads and writes with whoever uses the cache.
#include <algorithm>
#include <chrono>

#include "file/direct.h"
#include "file/resize.h"
#include "file/shoot_down.h"
#include "races/race.h"

namespace quire::races {
namespace {

// The store has a direct write and has not answered. A reader who misses, and readahead, may not bring the old
// bytes back. Fails with kDirectUnblocksEarly: the block ends when the pages are gone, not when the write is.
RACE(ReadInsertsAfterDioInvalidate, kDirectUnblocksEarly,
     {Locking::kInode, "a read waits for the whole of the write"}) {
  QuietEngine engine(locking, 2);
  (void)engine.read(0, kPage);
  engine.store->set_hook(when(StoreOp::kWrite, held()));
  sync::Thread writer = start_thread("writer", [&] { engine.write_direct(0, kPage, 'd'); });
  until([&] { return engine.store->held() == 1; });
  file::will_need(*engine.inode, 0, 0);
  bool read = false;
  sync::Thread reader = start_thread("reader", [&] {
    (void)engine.read(0, kPage);
    read = true;
  });
  until([&] { return read || engine.waiting(GateSide::kAdd) == 1; });
  engine.release();
  writer.join();
  reader.join();
  engine.expect_all(pages_of("di"));
}

// The same when the writer has left: what was held is the operation's, and goes with the store's answer, in the
// thread that brings it. Fails with kDirectLocksAreTheCallers: the caller who leaves takes the locks with him.
RACE(AioDioStaleAtCompletion, kDirectLocksAreTheCallers) {
  QuietEngine engine(locking, 2);
  (void)engine.read(0, kPage);
  engine.store->set_hook(when(StoreOp::kWrite, held()));
  const Bytes data = filled(kPage, 'd');
  const std::span<const std::byte> buffer = data;
  std::uint64_t offset = 0;
  EXPECT_EQ(file::direct_write(engine.inode, {&buffer, 1}, kPage, &offset, at_once()).error,
            Errc::kTimedOut);
  ASSERT_EQ(engine.store->held(), 1u);
  bool read = false;
  sync::Thread reader = start_thread("reader", [&] {
    (void)engine.read(0, kPage);
    read = true;
  });
  until([&] { return read || engine.waiting(GateSide::kAdd) == 1; });
  engine.release();
  reader.join();
  engine.expect_all(pages_of("di"));
}

// A direct read of several requests, between two of which a collapse would move the bytes: it gives all of them
// as they were before, or all as they are after. Fails with kDirectReadTakesNoRange: a direct read does not
// share the write range.
RACE(DirectReadStraddlesCollapse, kDirectReadTakesNoRange,
     {Locking::kInode, "a cut waits for the whole of the read"}) {
  constexpr std::size_t kPages = 8;
  QuietEngine engine(locking, 0);
  engine.write_letters(kPages);
  engine.store->set_hook(when(StoreOp::kRead, held()));
  Bytes got;
  sync::Thread reader = start_thread("reader", [&] {
    // Can be left: so it goes through the cache's memory, some pages at a time.
    got = engine.read_direct(0, kPages * kPage, {sync::deadline_after(std::chrono::hours(1)), {}});
  });
  until([&] { return engine.store->held() == 1; });
  engine.store->set_hook({});
  bool collapsed = false;
  sync::Thread collapser = start_thread("collapser", [&] {
    EXPECT_FALSE(file::shift(engine.inode, Cut::kCollapse, 0, kPage, {}));
    collapsed = true;
  });
  until([&] { return collapsed || engine.somebody_waits_to_change(); });
  engine.release();
  reader.join();
  collapser.join();
  EXPECT_TRUE(got == pages_of("abcdefgh") || got == pages_of("bcdefgh"));
  engine.expect_all(pages_of("bcdefgh"));
}

// What is dirty in the page that a direct write goes to, beside its bytes, is written before the page is thrown
// out; and so is what somebody is just storing there. Fails with kInvalidateSkipsDirty: the pages are dropped
// without being written.
RACE(InvalidateSkipsDirty, kInvalidateSkipsDirty) {
  QuietEngine engine(locking, 1);
  engine.write(0, 512, 'a');
  sync::Thread direct = start_thread("direct", [&] { engine.write_direct(512, 512, 'd'); });
  sync::Thread buffered = start_thread("buffered", [&] { engine.write(1024, 512, 'b'); });
  EXPECT_FALSE(file::write_and_invalidate(engine.inode, 0, kLastPage, {}));
  direct.join();
  buffered.join();
  Bytes expected = filled(kPage, 'i');
  std::fill_n(expected.begin(), 512, std::byte{'a'});
  std::fill_n(expected.begin() + 512, 512, std::byte{'d'});
  std::fill_n(expected.begin() + 1024, 512, std::byte{'b'});
  engine.expect_all(expected);
}

}  // namespace
}  // namespace quire::races
