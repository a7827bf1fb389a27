// Races with programs that have a file mapped. What a processor does with the memory stands in for them
// (cache/test_views.h): it loads and stores as long as it can without a fault, and the test answers its faults.
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <optional>

#include "cache/fill.h"
#include "cache/parked_write.h"
#include "cache/test_views.h"
#include "file/parked_reserve.h"
#include "file/resize.h"
#include "races/race.h"

namespace quire::races {
namespace {

file::EngineOptions mapped(Locking locking) {
  return {.frames = 64, .dirty_max_pages = 16, .locking = locking, .mapped = true};
}

// A program's store of every byte of a page that it has, or not, in sight.
void store_all(QuietEngine& engine, std::uint64_t page, char with) {
  if (!engine.views->stores(page)) {
    ASSERT_FALSE(engine.views->answer_store(page));
  }
  engine.views->store_all(page, with);
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

// A reader has a page pinned that a program stores into for the first time. It waits until he has left: what he
// reads is of one moment. Fails with kFirstStoreIgnoresPins: ParkedWrite::wait_pins() waits for nobody.
RACE(FirstStoreVsPin, kFirstStoreIgnoresPins) {
  QuietEngine engine(mapped(locking));
  engine.write_letters(2);
  std::optional<cache::PinnedRun> pinned(std::in_place);
  ASSERT_FALSE(cache::fill_run(*engine.inode, 1, 1, {}, *pinned));
  bool stored = false;
  sync::Thread program = start_thread("program", [&] {
    EXPECT_FALSE(engine.views->answer_store(1));
    engine.views->store_all(1, 'x');
    stored = true;
  });
  until([&] { return stored || (engine.value(1).writing() && engine.value(1).waiters()); });
  EXPECT_FALSE(engine.views->loads(1)) << "a page came into sight that somebody reads";
  EXPECT_EQ(std::count(pinned->bytes(0), pinned->bytes(0) + kPage, std::byte{'b'}),
            static_cast<std::ptrdiff_t>(kPage));
  pinned.reset();
  program.join();
  engine.expect_all(pages_of("ax"));
}

// A reader has a page of a mapped file pinned, and a truncate takes it away: with the memory, which ends where the
// file does. Neither goes before he has left. Fails with kSealIgnoresPins: wait_users() waits for nobody.
RACE(MappedPageAcrossTruncate, kSealIgnoresPins) {
  QuietEngine engine(mapped(locking));
  engine.write_letters(2);
  std::optional<cache::PinnedRun> pinned(std::in_place);
  ASSERT_FALSE(cache::fill_run(*engine.inode, 1, 1, {}, *pinned));
  ASSERT_TRUE(engine.views->answer_load(1));
  bool cut = false;
  sync::Thread cutter = start_thread("cutter", [&] {
    engine.truncate(kPage);
    cut = true;
  });
  until([&] { return cut || (engine.value(1).sealed() && engine.value(1).waiters()); });
  EXPECT_FALSE(cut);
  EXPECT_EQ(engine.inode->memory()->size_pages(), 2u);
  EXPECT_EQ(*pinned->bytes(0), std::byte{'b'});
  pinned.reset();
  cutter.join();
  EXPECT_FALSE(engine.views->loads(1));
  EXPECT_EQ(engine.views->answer_store(1), std::errc::bad_address);
  engine.expect_all(pages_of("a"));
}

// A program stores behind the end of the file in its last page, before the file grows and between two who make it
// grow. None of it comes into the file. Fails with kSkipTailSettling: settle_tail() does nothing.
RACE(MappedPostEofExposure, kSkipTailSettling) {
  const std::array<std::function<void(QuietEngine&)>, 3> grow = {
      [](QuietEngine& engine) { engine.truncate(2 * kPage); },
      [](QuietEngine& engine) { engine.write(2 * kPage - 1, 1, '\0'); },
      [](QuietEngine& engine) {
        EXPECT_FALSE(
            file::clear(engine.inode, Cut::kZero, kPage + 1, 2 * kPage, /*keep_size=*/false, {}));
      },
  };
  for (const auto& longer : grow) {
    QuietEngine engine(mapped(locking));
    engine.write(0, 100, 'a');
    store_all(engine, 0, 'x');
    engine.write(file::kAtEnd, 100, 'n');
    store_all(engine, 0, 'y');
    // Who has the page in sight while the file grows stores into what is in the file already.
    sync::Thread program = start_thread("program", [&] {
      for (int i = 0; i < 3; ++i) {
        if (engine.views->answer_load(0) && engine.views->loads(0)) {
          EXPECT_EQ(static_cast<char>(*engine.views->at(0, 50)), 'y');
        }
      }
    });
    longer(engine);
    program.join();
    Bytes expected = filled(200, 'y');
    expected.resize(2 * kPage);
    engine.expect_all(expected);
  }
}

// Two make a file longer whose last page a program has stored into behind the end: the one settles the tail, the other
// appends there. What is appended is not settled away. Fails with kCutTakesNoRange: lock_bytes() takes no write range,
// and the truncate settles behind an end that is not the end any more.
RACE(TailSettlingVsAppend, kCutTakesNoRange,
     {Locking::kInode, "one operation that changes the file at a time: the other has not begun"}) {
  QuietEngine engine(mapped(locking));
  engine.write(0, 100, 'a');
  store_all(engine, 0, 'x');
  // Both have come as far as they can without the page.
  sync::Thread truncater;
  sync::Thread appender;
  {
    cache::SealedRange sealed(*engine.inode);
    ASSERT_FALSE(sealed.seal(0, 0, {}));
    const std::uint64_t waits = engine.pages->lot().waits().count();
    truncater = start_thread("truncater", [&] { engine.truncate(kPage); });
    until([&] { return engine.pages->lot().waits().count() == waits + 1; });
    appender = start_thread("appender", [&] { engine.write(file::kAtEnd, 50, 'n'); });
    until([&] {
      return engine.somebody_waits_to_change() || engine.pages->lot().waits().count() == waits + 2;
    });
    sealed.unseal();
  }
  truncater.join();
  appender.join();
  const Bytes got = engine.read(0, 2 * kPage);
  // At the end that it found: the truncate's, or the one before.
  Bytes expected = filled(100, 'x');
  if (got.size() == kPage + 50) {
    expected.resize(kPage);
    expected.resize(kPage + 50, std::byte{'n'});
  } else {
    expected.resize(150, std::byte{'n'});
    expected.resize(kPage);
  }
  engine.expect_all(expected);
}

// A part of a page is punched while a program stores into another part of it. Both are there in the end. Fails with
// kClearPartToTheEnd: clear_part() zeroes up to the end of the page.
RACE(SubPagePunchVsMappedStore, kClearPartToTheEnd) {
  QuietEngine engine(mapped(locking));
  engine.write(0, kPage, 'a');
  ASSERT_FALSE(engine.views->answer_store(0));
  sync::Thread puncher = start_thread("puncher", [&] {
    EXPECT_FALSE(file::clear(engine.inode, Cut::kPunch, 100, 200, /*keep_size=*/true, {}));
  });
  for (int i = 0; i < 5; ++i) {
    if (!engine.views->stores(0)) {
      EXPECT_FALSE(engine.views->answer_store(0));
    }
    for (std::size_t byte = 200; byte < 300; ++byte) *engine.views->at(0, byte) = std::byte{'x'};
    sync::yield_thread();
  }
  puncher.join();
  Bytes expected = filled(kPage, 'a');
  std::fill_n(expected.begin() + 100, 100, std::byte{0});
  std::fill_n(expected.begin() + 200, 100, std::byte{'x'});
  engine.expect_all(expected);
}

// A direct write goes to a part of a page that a program stores into. The page is written and dropped first, and what
// the program stores beside the bytes of the direct write is not lost in between. Fails with kSealHidesNothing:
// SealedRange::seal() leaves the page in sight.
RACE(DioVsMappedStore, kSealHidesNothing) {
  QuietEngine engine(mapped(locking));
  engine.write(0, kPage, 'a');
  store_all(engine, 0, 'b');
  engine.store->set_hook(when(StoreOp::kWrite, held_answer()));
  sync::Thread writer = start_thread("writer", [&] { engine.write_direct(0, 512, 'd'); });
  until([&] { return engine.store->held() == 1; });
  // The page is at the store, and has not been dropped.
  char beside = 'b';
  if (engine.views->stores(0)) {
    beside = 'c';
    std::memset(const_cast<std::byte*>(engine.views->at(0, 512)), beside, kPage - 512);
  }
  EXPECT_FALSE(engine.views->answer_load(0)) << "a page of a blocked range came into sight";
  engine.release();
  writer.join();
  EXPECT_FALSE(engine.views->stores(0));
  Bytes expected = filled(kPage, beside);
  std::fill_n(expected.begin(), 512, std::byte{'d'});
  engine.expect_all(expected);
  store_all(engine, 0, 'z');
  engine.expect_all(pages_of("z"));
}

// The steps of a first store that takes space, which a fault makes one after the other (file/page_fault.h).
class FirstStore {
 public:
  explicit FirstStore(QuietEngine& engine)
      : engine_(engine), reserve_(engine.inode, waker_), page_(*engine.inode, waker_) {
    EXPECT_EQ(operation_.begin(engine.inode->lock(), sync::RwMode::kRead, {}),
              sync::WaitStatus::kReady);
    operation_.hand_over();
  }

  bool covered() { return engine_.inode->space()->covers({0, 1}); }
  void reserve() {
    EXPECT_TRUE(finished([&] { return reserve_.begin(0); }, [&] { return reserve_.resume(); }));
    EXPECT_FALSE(reserve_.error());
  }
  void hold() {
    EXPECT_TRUE(finished([&] { return page_.begin(0); }, [&] { return page_.resume(); }));
    EXPECT_TRUE(page_.held());
  }
  void release() { page_.release(); }
  void store() {
    EXPECT_FALSE(engine_.pages->dirty().take(1, {}));
    page_.admit_stores();
    std::memset(engine_.inode->memory()->at(0), 'x', kPage);
    page_.finish();
    operation_.end();
  }

 private:
  template <class Begin, class Resume>
  bool finished(const Begin& begin, const Resume& resume) {
    bool ended = begin();
    while (!ended) {
      EXPECT_EQ(waker_.park({}), sync::WaitStatus::kReady);
      ended = resume();
    }
    return ended;
  }

  QuietEngine& engine_;
  cache::CacheLock::Operation operation_;
  sync::SleepingWaker waker_;
  file::ParkedReserve reserve_;
  cache::ParkedWrite page_;
};

// A program's first store has space for its page, and does not have the page yet, when what is reserved in vain is
// given back; or it has the page. It asks for space again, or keeps it. Fails with kTrimKeepsPromises:
// TrimCall::prepare() lets the store rely on what it was promised.
RACE(TrimVsFirstStore, kTrimKeepsPromises,
     {Locking::kInode,
      "one operation that changes the file at a time: a trim waits for the store"}) {
  for (const bool has_page : {false, true}) {
    file::EngineOptions options = mapped(locking);
    options.reserves_space = true;
    QuietEngine engine(options);
    engine.truncate(kPage);
    FirstStore first(engine);
    first.reserve();
    EXPECT_TRUE(first.covered());
    if (has_page) first.hold();
    engine.store->set_hook(when(StoreOp::kRelease, held()));
    bool trimmed = false;
    sync::Thread trimmer = start_thread("trimmer", [&] {
      EXPECT_FALSE(file::trim(engine.inode, {}));
      trimmed = true;
    });
    const auto gives_back = [&] { return engine.store->held() == 1; };
    until([&] { return trimmed || gives_back() || engine.somebody_waits_to_change(); });
    EXPECT_FALSE(has_page && gives_back()) << "the space of a page that is being stored into";
    if (!has_page) first.hold();
    if (!has_page && !first.covered()) {
      first.release();
      sync::Thread program = start_thread("program", [&] { first.reserve(); });
      until([&] { return engine.inode->ranges().waiting_count() == 1; });
      engine.release();
      program.join();
      first.hold();
      EXPECT_TRUE(first.covered());
    }
    first.store();
    engine.release();
    trimmer.join();
    file::expect_reserved(*engine.inode);
    engine.expect_all(pages_of("x"));
  }
}

}  // namespace
}  // namespace quire::races
