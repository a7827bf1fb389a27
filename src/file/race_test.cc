// The races that the engine must survive, each by its name and with a chosen interleaving: the store's
// requests are held by its hook, pages and the lock by the test itself. Each test names the change to
// the code that makes it fail, and runs under all locking strategies.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cache/fill.h"
#include "cache/page_write.h"
#include "cache/seal.h"
#include "cache/test_pages.h"
#include "cache/writeback.h"
#include "file/buffered.h"
#include "file/inode.h"
#include "file/resize.h"
#include "file/sync_file.h"
#include "file/test_cache.h"
#include "quire/cache.h"
#include "sync/lock_rank.h"

namespace quire::file {
namespace {

using sync::GateSide;
using sync::WaitStatus;

class Race : public testing::TestWithParam<Locking> {
 protected:
  void SetUp() override { make({}); }
  void make(std::vector<std::byte> contents, std::uint32_t frames = 64) {
    tear_down();
    store_ = MemoryStore::create();
    if (!contents.empty()) store_->poke("f", std::move(contents));
    cache_ = std::move(
        cache::PageCache::create(store_, cache::small_budget(frames, 16), {.locking = GetParam()})
            .value());
    opened_ = store_->open("f", OpenFlags::kReadWrite | OpenFlags::kCreate, 0644).value();
    inode_ = std::make_shared<Inode>(*cache_, opened_, "f");
    inode_->set_handles(opened_.handle, opened_.handle);
  }
  void TearDown() override { tear_down(); }
  void tear_down() {
    if (cache_ == nullptr) return;
    store_->set_hook({});
    store_->release_held();
    cache_->flusher().stop();
    EXPECT_EQ(inode_->wait_idle({}), WaitStatus::kReady);
    cache_->dirty_files().remove(*inode_);
    inode_->forget_all();
    inode_.reset();
    EXPECT_EQ(cache_->dirty().taken(), 0u);
    EXPECT_EQ(cache_->memory().pool().free_frames(), cache_->memory().pool().frames());
    cache_.reset();
    EXPECT_TRUE(store_->close(opened_.handle).ok());
  }
  std::vector<std::byte> read(std::uint64_t offset, std::size_t bytes) {
    SharedReadahead readahead(0);
    std::vector<std::byte> out(bytes);
    const Transfer moved = read_at(*inode_, readahead, out, offset, {});
    EXPECT_FALSE(moved.error) << moved.error.message();
    out.resize(moved.bytes);
    return out;
  }
  void write(std::uint64_t offset, std::size_t bytes, char with) {
    const auto data = filled(bytes, with);
    const std::span<const std::byte> piece = data;
    Gather from({&piece, 1});
    const Transfer moved = write_at(*inode_, from, bytes, &offset, {});
    EXPECT_FALSE(moved.error) << moved.error.message();
    EXPECT_EQ(moved.bytes, bytes);
  }
  std::error_code truncate(std::uint64_t size) { return file::truncate(inode_, size, {}); }
  std::error_code sync() { return sync_all(inode_, SyncKind::kAll, {}); }
  cache::PageValue value(std::uint64_t index) {
    cache::PageWord* const word = inode_->find(index);
    return word == nullptr ? cache::PageValue{} : word->load();
  }
  void drop_cached() { cache::drop_clean(*inode_, 0, ~std::uint64_t{0}); }

  // The file's lock as a reader who misses takes it, or as a cut does; held for the test, not its thread.
  struct AddHold {
    cache::CacheLock::Operation operation;
    cache::CacheLock::Add add;
  };
  struct BlockHold {
    cache::CacheLock::Operation operation;
    cache::CacheLock::Block block;
  };
  bool try_add(AddHold& hold, std::uint64_t page) {
    return hold.operation.try_begin(inode_->lock(), sync::RwMode::kRead) &&
           hold.add.try_begin(inode_->lock(), page, page);
  }
  bool try_block(BlockHold& hold, std::uint64_t first) {
    const sync::WaitLimit passed = {sync::Clock::now(), {}};
    if (hold.operation.begin(inode_->lock(), sync::RwMode::kWrite, passed) != WaitStatus::kReady ||
        hold.block.begin(inode_->lock(), first, ~std::uint64_t{0}, passed) != WaitStatus::kReady) {
      return false;
    }
    hold.operation.hand_over();
    hold.block.hand_over();
    return true;
  }
  // Who waits at the lock: to add, or, where that needs it, to read; to block, or to write.
  std::size_t waiting(GateSide side) { return inode_->lock().waiting_count(side); }

  std::shared_ptr<MemoryStore> store_;
  std::unique_ptr<cache::PageCache> cache_;
  OpenedObject opened_;
  std::shared_ptr<Inode> inode_;
};

INSTANTIATE_TEST_SUITE_P(Strategies, Race,
                         testing::Values(Locking::kGate, Locking::kRange, Locking::kInvalidate,
                                         Locking::kInode),
                         [](const auto& tested) { return std::string(cache::name(tested.param)); });

// A miss waits at the lock while a truncate cuts its page away; it must look at the size again under
// the Add. Fails if add_pages takes the size that the reader saw before (under `inode` the reader begins
// after the cut).
TEST_P(Race, ReadInsertsAfterTruncate) {
  make(filled(4 * kPage, 'a'));
  store_->set_hook(when(StoreOp::kTruncate, held()));
  sync::Thread cutter = start_thread("cutter", [&] { EXPECT_FALSE(truncate(kPage)); });
  until([&] { return store_->held() == 1; });
  std::vector<std::byte> got;
  sync::Thread reader = start_thread("reader", [&] { got = read(2 * kPage, kPage); });
  until([&] { return waiting(GateSide::kAdd) == 1; });
  store_->release_held();
  cutter.join();
  reader.join();
  EXPECT_TRUE(got.empty());
  EXPECT_EQ(inode_->resident_pages(), 0u);
}

// The same while readahead would add: it gives up at once. Fails if start_fill begins its Add by waiting
// (the test then hangs) or adds without one; under `inode` likewise with the Operation of will_need.
TEST_P(Race, ReadaheadIntoABlockedRangeGivesUp) {
  make(filled(8 * kPage, 'a'));
  store_->set_hook(when(StoreOp::kTruncate, held()));
  sync::Thread cutter = start_thread("cutter", [&] { EXPECT_FALSE(truncate(kPage)); });
  until([&] { return store_->held() == 1; });
  will_need(*inode_, 2, 5);
  EXPECT_EQ(inode_->resident_pages(), 0u);
  store_->release_held();
  cutter.join();
  EXPECT_EQ(inode_->resident_pages(), 0u);
}

// A page that a reader has pinned is cut away: the truncate waits for the pin and does not change the
// store before. Fails if seal.cc's wait_users does not look at pins.
TEST_P(Race, PinnedPageAcrossTruncate) {
  make(filled(2 * kPage, 'a'));
  sync::Thread cutter;
  {
    cache::PinnedRun run;
    ASSERT_FALSE(cache::fill_run(*inode_, 1, 1, {}, run));
    cutter = start_thread("cutter", [&] { EXPECT_FALSE(truncate(0)); });
    until([&] { return value(1).sealed() && value(1).waiters(); });
    EXPECT_EQ(store_->contents("f").size(), 2 * kPage);
    EXPECT_EQ(inode_->size_bytes(), 2 * kPage);
  }
  cutter.join();
  EXPECT_TRUE(store_->contents("f").empty());
}

// A write that is past its size check is not overtaken by a truncate. Fails if write_at or truncate
// does not take the write range.
TEST_P(Race, TruncateOvertakesWrite) {
  make(filled(2 * kPage, 'a'));
  store_->set_hook(when(StoreOp::kRead, held()));
  // A partial write of page 1 waits for its read; its range is held.
  sync::Thread writer = start_thread("writer", [&] { write(kPage + 10, 10, 'w'); });
  until([&] { return store_->held() == 1; });
  bool cut = false;
  sync::Thread cutter = start_thread("cutter", [&] {
    EXPECT_FALSE(truncate(0));
    cut = true;
  });
  until([&] { return inode_->ranges().waiting_count() + waiting(GateSide::kBlock) == 1; });
  EXPECT_EQ(store_->contents("f").size(), 2 * kPage);
  store_->set_hook({});
  store_->release_held();
  writer.join();
  cutter.join();
  EXPECT_TRUE(cut);
  EXPECT_EQ(inode_->size_bytes(), 0u);
  EXPECT_EQ(inode_->resident_pages(), 0u);
  EXPECT_FALSE(sync());
  EXPECT_TRUE(store_->contents("f").empty());
}

// A write that covers all of the page that lies in the file waits at the lock; meanwhile an append to
// the same page comes, is written back and evicted. Its bytes must stay. Fails without the second
// covers() in PageWrite::add_new (under `inode` the write begins after the append).
TEST_P(Race, ExtendZeroingVsAppend) {
  make(filled(100, 'a'));
  std::optional<BlockHold> hold(std::in_place);
  ASSERT_TRUE(try_block(*hold, 0));
  sync::Thread writer = start_thread("writer", [&] { write(0, 100, 'w'); });
  until([&] { return waiting(GateSide::kAdd) + waiting(GateSide::kBlock) == 1; });
  // What an append, its writeback and its eviction leave.
  auto contents = filled(200, 'a');
  std::fill(contents.begin() + 100, contents.end(), std::byte{'b'});
  store_->poke("f", contents);
  inode_->set_size_bytes(200);
  hold.reset();
  writer.join();
  auto expected = filled(200, 'w');
  std::fill(expected.begin() + 100, expected.end(), std::byte{'b'});
  EXPECT_EQ(read(0, 300), expected);
}

// Shrink, then grow: zeros, cached or not, clean or dirty. Fails if TruncateCall::ended does not zero
// the tail, or FillRequest::publish does not zero past the end.
TEST_P(Race, PostEofExposure) {
  for (const bool cached : {false, true}) {
    for (const bool dirty : {false, true}) {
      make(filled(2 * kPage, 'a'));
      if (cached) (void)read(0, 2 * kPage);
      if (dirty) write(0, 2 * kPage, 'b');
      ASSERT_FALSE(truncate(100));
      ASSERT_FALSE(truncate(2 * kPage));
      const auto got = read(0, 2 * kPage);
      ASSERT_EQ(got.size(), 2 * kPage);
      EXPECT_TRUE(
          std::all_of(got.begin() + 100, got.end(), [](std::byte b) { return b == std::byte{0}; }));
      EXPECT_EQ(got[99], dirty ? std::byte{'b'} : std::byte{'a'});
      EXPECT_FALSE(sync());
      EXPECT_TRUE(store_->contents("f") == got);
    }
  }
}

// A sync ends although a page is dirtied again each time it is written: it writes that page once, also
// when it has to look again because another page was held. Fails if flush_all wants pages dirtied after
// the call.
TEST_P(Race, RedirtyLivelock) {
  write(0, 2 * kPage, 'a');
  ASSERT_FALSE(cache_->dirty().take(1, {}));
  cache::PageWrite other(*inode_);
  ASSERT_FALSE(other.begin(1, 0, kPage, {}));
  sync::lock_rank::handed_over(sync::Rank::kPage, inode_->find(1));
  int writes = 0;
  store_->set_hook([&](const StoreRequest& request) {
    // Between the snapshot and the end of each request the page is dirtied again.
    if (request.op == StoreOp::kWrite && request.offset == 0 && ++writes < 50) write(0, kPage, 'b');
    return StoreVerdict{};
  });
  sync::Thread syncer = start_thread("syncer", [&] { EXPECT_FALSE(sync()); });
  until([&] { return value(1).waiters(); });
  other.finish(2 * kPage);
  syncer.join();
  store_->set_hook({});
  EXPECT_EQ(writes, 1);
  EXPECT_TRUE(value(0).dirty());
}

// A truncate waits for the writeback of a page that it cuts. Fails if begin_seal takes pages under
// writeback.
TEST_P(Race, EarlyEndOfWriteback) {
  write(0, 2 * kPage, 'a');
  store_->set_hook(when(StoreOp::kWrite, held()));
  sync::Thread syncer = start_thread("syncer", [&] { EXPECT_FALSE(sync()); });
  until([&] { return store_->held() == 1; });
  sync::Thread cutter = start_thread("cutter", [&] { EXPECT_FALSE(truncate(kPage)); });
  until([&] { return value(1).waiters(); });
  EXPECT_EQ(value(1).state(), cache::PageState::kWriteback);
  store_->set_hook({});
  store_->release_held();
  syncer.join();
  cutter.join();
  EXPECT_EQ(store_->contents("f").size(), kPage);
}

// The store refuses a truncate: dirty pages, size and readers are as before. Fails if pages are dropped
// before the store has answered.
TEST_P(Race, TruncateFailsInStore) {
  write(0, 2 * kPage, 'a');
  store_->set_hook(when(StoreOp::kTruncate, cache::failing(std::errc::io_error)));
  EXPECT_EQ(truncate(10), std::errc::io_error);
  store_->set_hook({});
  EXPECT_EQ(read(0, 3 * kPage), filled(2 * kPage, 'a'));
  write(kPage, kPage, 'b');
  EXPECT_FALSE(sync());
  EXPECT_EQ(store_->contents("f").size(), 2 * kPage);
}

// A caller who leaves a truncate that the store does not answer: the cut goes on with its locks and is
// finished by the answer.
TEST_P(Race, TruncateLeftBehindIsFinishedByTheStore) {
  make(filled(2 * kPage, 'a'));
  store_->set_hook(when(StoreOp::kTruncate, held()));
  EXPECT_EQ(file::truncate(inode_, 10, {sync::Clock::now(), {}}), Errc::kTimedOut);
  EXPECT_EQ(inode_->size_bytes(), 2 * kPage);
  {
    AddHold hold;
    EXPECT_FALSE(try_add(hold, 0));
  }
  store_->set_hook({});
  store_->release_held();
  EXPECT_EQ(read(0, 100), filled(10, 'a'));
}

// An interrupted read leaves its page filling; the answer completes it for others, with one request.
// Fails if the reader who leaves takes the page with it.
TEST_P(Race, InterruptedReadWhosePageThenCompletes) {
  make(filled(kPage, 'a'));
  store_->set_hook(when(StoreOp::kRead, held()));
  SharedReadahead readahead(0);
  std::vector<std::byte> out(10);
  EXPECT_EQ(read_at(*inode_, readahead, out, 0, {sync::Clock::now(), {}}).error, Errc::kTimedOut);
  EXPECT_EQ(value(0).state(), cache::PageState::kFilling);
  std::vector<std::byte> got;
  sync::Thread reader = start_thread("reader", [&] { got = read(0, 10); });
  until([&] { return value(0).waiters(); });
  store_->release_held();
  reader.join();
  EXPECT_EQ(got, filled(10, 'a'));
  EXPECT_EQ(value(0).pins(), 0u);
  EXPECT_EQ(cache_->counters().read_requests.load(), 1u);
}

// A read whose page fails to fill leaves it absent, and the next read tries again. Fails if fail_fill
// leaves the page.
TEST_P(Race, ReadRestartFillsNothing) {
  make(filled(kPage, 'a'));
  store_->set_hook(when(StoreOp::kRead, cache::failing(std::errc::io_error)));
  SharedReadahead readahead(0);
  std::vector<std::byte> out(10);
  EXPECT_EQ(read_at(*inode_, readahead, out, 0, {}).error, std::errc::io_error);
  EXPECT_TRUE(value(0).absent());
  store_->set_hook({});
  EXPECT_EQ(read(0, 10), filled(10, 'a'));
}

// A page being written is neither evicted nor read: who would read it waits and sees all of the write.
// Fails if readable() or begin_evict ignore `writing`.
TEST_P(Race, TornWriteVsEvictionAndTornReadVsWrite) {
  make(filled(kPage, 'a'));
  (void)read(0, 1);
  ASSERT_FALSE(cache_->dirty().take(1, {}));
  cache::PageWrite page(*inode_);
  ASSERT_FALSE(page.begin(0, 0, kPage, {}));
  sync::lock_rank::handed_over(sync::Rank::kPage, inode_->find(0));
  std::memset(page.bytes(), 'b', kPage / 2);
  drop_cached();
  EXPECT_FALSE(value(0).absent());
  std::vector<std::byte> got;
  sync::Thread reader = start_thread("reader", [&] { got = read(0, kPage); });
  until([&] { return value(0).waiters(); });
  std::memset(page.bytes() + kPage / 2, 'b', kPage / 2);
  page.finish(kPage);
  reader.join();
  EXPECT_EQ(got, filled(kPage, 'b'));
}

// Every sync fails until the data is on the store, of writes that failed and of syncs that failed; and
// what a failed sync may have lost is written again. Fails if SyncCall::ended does not put_back.
TEST_P(Race, FsyncErrorTwice) {
  write(0, kPage, 'a');
  StoreVerdict lost = cache::failing(std::errc::io_error);
  lost.drop_unsynced = true;
  store_->set_hook(when(StoreOp::kSync, lost));
  EXPECT_EQ(sync(), std::errc::io_error);
  EXPECT_TRUE(store_->contents("f").empty());
  store_->set_hook(when(StoreOp::kWrite, cache::failing(std::errc::no_space_on_device)));
  EXPECT_EQ(sync(), std::errc::no_space_on_device);
  EXPECT_EQ(sync(), std::errc::no_space_on_device);
  store_->set_hook({});
  EXPECT_FALSE(sync());
  EXPECT_EQ(store_->durable_contents("f"), filled(kPage, 'a'));
}

// While one sync brings back what a failed one lost, a second must not succeed before it has. Fails if
// the pages leave Unsynced before they are dirty.
TEST_P(Race, SecondSyncWhileTheFirstBringsBack) {
  write(0, kPage, 'a');
  StoreVerdict lost = cache::failing(std::errc::io_error);
  lost.drop_unsynced = true;
  store_->set_hook(when(StoreOp::kSync, lost));
  EXPECT_EQ(sync(), std::errc::io_error);
  store_->set_hook({});
  // The first waits for the page, which the test holds.
  ASSERT_FALSE(cache_->dirty().take(1, {}));
  cache::PageWrite page(*inode_);
  ASSERT_FALSE(page.begin(0, 0, kPage, {}));
  sync::lock_rank::handed_over(sync::Rank::kPage, inode_->find(0));
  sync::Thread first = start_thread("first", [&] { EXPECT_FALSE(sync()); });
  until([&] { return value(0).waiters(); });
  EXPECT_EQ(sync_all(inode_, SyncKind::kAll, {sync::Clock::now(), {}}), Errc::kTimedOut);
  page.abandon();
  cache_->dirty().give(1);
  first.join();
  EXPECT_EQ(store_->durable_contents("f"), filled(kPage, 'a'));
}

// The file grows while its tail page is under writeback; nothing is lost. Fails if end_writeback makes
// a rewritten page clean.
TEST_P(Race, SizeVsWriteback) {
  write(0, 100, 'a');
  store_->set_hook(when(StoreOp::kWrite, held()));
  sync::Thread syncer = start_thread("syncer", [&] { EXPECT_FALSE(sync()); });
  until([&] { return store_->held() == 1; });
  write(100, 100, 'b');
  EXPECT_EQ(value(0).state(), cache::PageState::kRewritten);
  store_->set_hook({});
  store_->release_held();
  syncer.join();
  EXPECT_EQ(value(0).state(), cache::PageState::kDirty);
  EXPECT_FALSE(sync());
  auto expected = filled(200, 'a');
  std::fill(expected.begin() + 100, expected.end(), std::byte{'b'});
  EXPECT_EQ(store_->contents("f"), expected);
}

// A page that readahead fills cannot be evicted before its answer came. Fails if begin_evict takes
// filling pages.
TEST_P(Race, EvictVsReadahead) {
  make(filled(4 * kPage, 'a'));
  store_->set_hook(when(StoreOp::kRead, held()));
  EXPECT_EQ(cache::start_fill(*inode_, 0, 4, cache::Marker::kFirst).pages, 4u);
  drop_cached();
  EXPECT_EQ(inode_->resident_pages(), 4u);
  store_->set_hook({});
  store_->release_held();
  EXPECT_EQ(read(0, 4 * kPage), filled(4 * kPage, 'a'));
}

// Adders in a row do not keep a blocker out, nor the other way round: who comes after a waiter of the
// other side queues behind it. Fails if the lock admits whoever shares the present state.
TEST_P(Race, AddStarvesBlockAndBlockStarvesAdd) {
  make(filled(8 * kPage, 'a'));
  for (const GateSide side : {GateSide::kAdd, GateSide::kBlock}) {
    const std::uint64_t last_page = inode_->size_bytes() / kPage - 1;
    std::optional<AddHold> add(std::in_place);
    std::optional<BlockHold> block(std::in_place);
    const auto can = [&] {
      AddHold add_too;
      BlockHold block_too;
      return side == GateSide::kAdd ? try_add(add_too, last_page) : try_block(block_too, 0);
    };
    sync::Thread holder = start_thread("holder", [&] {
      ASSERT_TRUE(side == GateSide::kAdd ? try_add(*add, last_page) : try_block(*block, 0));
    });
    holder.join();
    sync::Thread other = start_thread("other", [&] {
      if (side == GateSide::kAdd) {
        EXPECT_FALSE(truncate(inode_->size_bytes() - kPage));
      } else {
        (void)read(0, 1);
      }
    });
    const GateSide its = sync::other_side(side);
    until([&] { return waiting(its) == 1; });
    EXPECT_FALSE(can());
    add.reset();
    block.reset();
    other.join();
  }
}

#ifdef QUIRE_CHECKS
// fair-nesting and memory-wait-under-add: refused on the first run through the path.
TEST_P(Race, FairNestingDies) {
  cache::CacheLock::Add add;
  ASSERT_TRUE(add.try_begin(inode_->lock(), 0, 0));
  EXPECT_DEATH(
      {
        cache::CacheLock::Add again;
        (void)again.try_begin(inode_->lock(), 0, 0);
      },
      "");
}
TEST_P(Race, MemoryWaitUnderAddDies) {
  cache::CacheLock::Add add;
  ASSERT_TRUE(add.try_begin(inode_->lock(), 0, 0));
  EXPECT_DEATH(
      {
        cache::FrameSet frames(cache_->memory());
        (void)cache_->memory().acquire(frames, 1, {});
      },
      "");
  EXPECT_DEATH((void)cache_->dirty().take(1, {}), "");
}
#endif

// An aged page that a hung cut holds does not make the flusher spin, nor does a waiter for memory.
// (Shown by the simulation, where such a spin never ends.)

// An open that met another's write and close must not take the size from before. Fails without the
// second stat in InodeTable::open.
TEST(InodeTableRace, OpenThatMeetsAnothersWriteAndClose) {
  auto store = MemoryStore::create();
  auto cache = std::move(Cache::create(store, {.memory_bytes = limits::kMemoryMinBytes}).value());
  constexpr auto kRw = OpenFlags::kReadWrite | OpenFlags::kCreate;
  // The store's open of "late" answers with the stat of an empty file; before the table sees it, "f",
  // a link of the same object, is written and closed.
  ASSERT_TRUE(cache->open("f", kRw).ok());
  store->link("f", "late");
  class SlowOpen final : public Store {
   public:
    explicit SlowOpen(std::shared_ptr<Store> s) : s_(std::move(s)) {}
    StoreTraits traits() const noexcept override { return s_->traits(); }
    Result<OpenedObject> open(std::string_view path, OpenFlags flags, std::uint32_t mode) override {
      auto opened = s_->open(path, flags, mode);
      if (path == "late" && before_answer) before_answer();
      return opened;
    }
    Status close(ObjectHandle o) override { return s_->close(o); }
    Result<ObjectStat> stat(ObjectHandle o) override { return s_->stat(o); }
    void read(ObjectHandle o, std::uint64_t at, std::span<const Buffer> b, IoMode m,
              IoDone& d) noexcept override {
      s_->read(o, at, b, m, d);
    }
    void write(ObjectHandle o, std::uint64_t at, std::span<const ConstBuffer> b, IoMode m,
               IoDone& d) noexcept override {
      s_->write(o, at, b, m, d);
    }
    void truncate(ObjectHandle o, std::uint64_t size, IoDone& d) noexcept override {
      s_->truncate(o, size, d);
    }
    void sync(ObjectHandle o, SyncKind k, IoDone& d) noexcept override { s_->sync(o, k, d); }
    Status set_times(ObjectHandle o, const TimeSpec* a, const TimeSpec& m) override {
      return s_->set_times(o, a, m);
    }
    std::function<void()> before_answer;

   private:
    std::shared_ptr<Store> s_;
  };
  ASSERT_TRUE(cache->close().ok());
  auto slow = std::make_shared<SlowOpen>(store);
  cache = std::move(Cache::create(slow, {.memory_bytes = limits::kMemoryMinBytes}).value());
  const auto data = filled(100, 'x');
  slow->before_answer = [&] {
    File f = std::move(cache->open("f", kRw).value());
    EXPECT_TRUE(f.write(data, 0).ok());
    EXPECT_TRUE(f.close().ok());
  };
  File late = std::move(cache->open("late", kRw).value());
  EXPECT_EQ(late.stat()->size_bytes, 100u);
  std::vector<std::byte> got(100);
  EXPECT_EQ(*late.read(got, 0), 100u);
  EXPECT_EQ(got, data);
  EXPECT_TRUE(late.close().ok());
  EXPECT_TRUE(cache->close().ok());
}

}  // namespace
}  // namespace quire::file
