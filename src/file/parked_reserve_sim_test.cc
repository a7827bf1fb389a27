// Space asked for by what is no thread, under the simulation's schedules: in the queue of the write ranges and of the
// store, like reserve() by a thread. Each test names the change to the code that makes it fail.
#include "file/parked_reserve.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <utility>

#include "cache/test_pages.h"
#include "file/reshape.h"
#include "file/resize.h"
#include "file/test_engine.h"
#include "file/test_sim.h"
#include "sync/random.h"
#include "sync/sim/sim_test.h"
#include "sync/test_handler.h"
#include "sync/thread.h"

namespace quire::file {
namespace {

using cache::failing;
using cache::held;
using cache::start_thread;
using cache::until;

constexpr std::uint64_t kChunk = SpaceBook::kChunkPages;
class ReserveTask final : public sync::TestHandler::Task {
 public:
  ReserveTask(sync::TestHandler& handler, const std::shared_ptr<Inode>& inode)
      : Task(handler), reserve_(inode, *this) {}

  void begin(std::uint64_t page) {
    page_ = page;
    begun_ = false;
    ended_ = false;
    wake();
  }
  bool ended() const { return ended_; }
  std::error_code await_end() const {
    until([&] { return ended_; });
    return reserve_.error();
  }
  std::error_code reserve(std::uint64_t page) {
    begin(page);
    return await_end();
  }

 private:
  void run() override {
    EXPECT_FALSE(ended_) << "woken for nothing";
    if (std::exchange(begun_, true) ? reserve_.resume() : reserve_.begin(page_)) ended_ = true;
  }

  ParkedReserve reserve_;
  std::uint64_t page_ = 0;
  bool begun_ = true;
  bool ended_ = true;
};

// A file of two chunks of holes, over a store of so many pages that counts what it is asked.
class Sparse : public Engine {
 public:
  explicit Sparse(Locking locking, std::uint64_t capacity_pages = 2 * kChunk)
      : Engine({.frames = 48,
                .dirty_max_pages = 8,
                .locking = locking,
                .reserves_space = true,
                .capacity_bytes = capacity_pages * kPage}) {
    pages->flusher().stop();
    truncate(2 * kChunk * kPage);
    answer({});
  }
  // What the store says from now on when it is asked for space.
  void answer(StoreVerdict verdict) {
    store->set_hook([this, verdict](const StoreRequest& request) {
      if (request.op != StoreOp::kReserve) return StoreVerdict{};
      ++asked;
      return verdict;
    });
  }
  bool covers(std::uint64_t page) { return inode->space()->covers({page, page + 1}); }
  // Nobody holds a byte of the file.
  void expect_no_range() {
    sync::RangeLock::Hold hold;
    ASSERT_TRUE(inode->ranges().try_lock(hold, 0, ~std::uint64_t{0}, sync::RangeMode::kExclusive));
    inode->ranges().unlock(hold);
  }

  int asked = 0;
};

// Fails if what is promised is asked for again; if the range is not given back; or, by a deadlock, if the second of
// two who want a page does not go on from the first one's range.
SIM_TEST(ParkedReserveSim, SpaceIsAskedForOnce) {
  for (const Locking locking : kStrategies) {
    Sparse engine(locking);
    sync::TestHandler handler;
    ReserveTask one(handler, engine.inode);
    ReserveTask other(handler, engine.inode);
    one.begin(7);
    other.begin(7);
    EXPECT_FALSE(one.await_end());
    EXPECT_FALSE(other.await_end());
    EXPECT_EQ(engine.asked, 1);
    EXPECT_TRUE(engine.covers(7));
    EXPECT_EQ(allocated_pages(*engine.inode), 1u);
    EXPECT_FALSE(one.reserve(7));
    EXPECT_EQ(engine.asked, 1);
    engine.expect_no_range();
  }
}

// A program that stores page after page takes more than it needs, if there is more. Fails if answered() takes the
// refusal of all that was looked ahead for an answer, or if the page alone is not asked for; and if ENOSPC is hidden.
SIM_TEST(ParkedReserveSim, LooksAheadAsFarAsThereIsSpace) {
  for (const Locking locking : kStrategies) {
    {
      Sparse engine(locking);
      sync::TestHandler handler;
      ReserveTask task(handler, engine.inode);
      EXPECT_FALSE(task.reserve(0));
      EXPECT_FALSE(task.reserve(1));
      EXPECT_EQ(engine.asked, 2);
      EXPECT_TRUE(engine.covers(kChunk - 1)) << "the rest of the chunk";
      EXPECT_FALSE(engine.covers(kChunk));
    }
    Sparse engine(locking, 3);
    sync::TestHandler handler;
    ReserveTask task(handler, engine.inode);
    for (std::uint64_t page = 0; page < 3; ++page) {
      EXPECT_FALSE(task.reserve(page));
      EXPECT_TRUE(engine.covers(page));
    }
    EXPECT_EQ(allocated_pages(*engine.inode), 3u);
    EXPECT_GT(engine.asked, 3) << "never for more than the page";
    EXPECT_EQ(task.reserve(3), std::errc::no_space_on_device);
    EXPECT_FALSE(engine.covers(3));
    EXPECT_EQ(task.reserve(kChunk + 9), std::errc::no_space_on_device);
    engine.expect_no_range();
    // It may be used again, and what was is forgotten.
    EXPECT_FALSE(task.reserve(2));
  }
}

// Behind whoever changes the bytes, or takes their space away; and these behind it, until the store has answered.
// Fails if begin() asks without the range, or takes less than the chunk that is looked at; and if answered() is not
// waited for with the range in hand.
SIM_TEST(ParkedReserveSim, WaitsForTheRangeAndKeepsIt) {
  for (const Locking locking : kStrategies) {
    Sparse engine(locking);
    sync::TestHandler handler;
    ReserveTask task(handler, engine.inode);
    const std::uint64_t last_byte = kChunk * kPage - 1;
    {
      sync::RangeLock::Hold hold;
      ASSERT_EQ(engine.inode->lock_range(hold, last_byte, last_byte, {}), sync::WaitStatus::kReady);
      const sync::RangeGuard guard(engine.inode->ranges(), hold);
      task.begin(7);
      until([&] { return task.ended() || engine.inode->ranges().waiting_count() == 1; });
      EXPECT_FALSE(task.ended());
      EXPECT_EQ(engine.asked, 0);
      engine.answer(held());
    }
    until([&] { return engine.store->held() == 1; });
    EXPECT_FALSE(task.ended());
    for (const std::uint64_t byte : {std::uint64_t{0}, last_byte}) {
      sync::RangeLock::Hold hold;
      EXPECT_FALSE(engine.inode->ranges().try_lock(hold, byte, byte, sync::RangeMode::kExclusive));
    }
    bool cut = false;
    sync::Thread cutter = start_thread("cutter", [&] {
      EXPECT_FALSE(clear(engine.inode, Cut::kPunch, 7 * kPage, 8 * kPage, true, {}));
      cut = true;
    });
    until([&] { return cut || engine.inode->ranges().waiting_count() == 1; });
    EXPECT_FALSE(cut);
    engine.store->release_held();
    EXPECT_FALSE(task.await_end());
    cutter.join();
    EXPECT_FALSE(engine.covers(7)) << "punched";
    engine.expect_no_range();
  }
}

// Fails if the store's error is lost, or if it keeps the range.
SIM_TEST(ParkedReserveSim, OtherErrorsAreTold) {
  Sparse engine(Locking::kRange);
  sync::TestHandler handler;
  ReserveTask task(handler, engine.inode);
  StoreVerdict verdict = failing(std::errc::io_error);
  verdict.hold = sync::random_u64() % 2 == 0;
  engine.answer(verdict);
  task.begin(7);
  until([&] { return task.ended() || engine.store->release_held() > 0; });
  EXPECT_EQ(task.await_end(), std::errc::io_error);
  EXPECT_FALSE(engine.covers(7));
  engine.expect_no_range();
  engine.answer({});
  EXPECT_FALSE(task.reserve(7));
}

// A store that reserves nothing for the file after all. Fails if EOPNOTSUPP is the task's, or if the store is asked
// again.
SIM_TEST(ParkedReserveSim, AStoreThatCannotIsLeftAlone) {
  Sparse engine(Locking::kRange);
  sync::TestHandler handler;
  ReserveTask task(handler, engine.inode);
  engine.answer(failing(std::errc::operation_not_supported));
  EXPECT_FALSE(task.reserve(7));
  EXPECT_EQ(engine.asked, 1);
  EXPECT_TRUE(engine.covers(7));
  EXPECT_TRUE(engine.covers(kChunk + 7));
  EXPECT_FALSE(task.reserve(kChunk + 7));
  EXPECT_EQ(engine.asked, 1);
  engine.expect_no_range();
}

// The shift that it waited for failed midway. Fails if locked() does not look.
SIM_TEST(ParkedReserveSim, NothingIsTakenForABrokenFile) {
  Sparse engine(Locking::kRange);
  sync::TestHandler handler;
  ReserveTask task(handler, engine.inode);
  {
    sync::RangeLock::Hold hold;
    ASSERT_EQ(engine.inode->lock_range(hold, 0, ~std::uint64_t{0}, {}), sync::WaitStatus::kReady);
    const sync::RangeGuard guard(engine.inode->ranges(), hold);
    task.begin(7);
    until([&] { return engine.inode->ranges().waiting_count() == 1; });
    engine.inode->set_broken();
  }
  EXPECT_EQ(task.await_end(), std::errc::io_error);
  EXPECT_EQ(engine.asked, 0);
  engine.expect_no_range();
  EXPECT_FALSE(mend(*engine.inode, {}));
}

}  // namespace
}  // namespace quire::file
