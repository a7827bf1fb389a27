// reservation-balance under the simulation's schedules: writers, cuts and trims of one file over a store that is
// nearly full, and somebody who takes every page that is free.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <vector>

#include "cache/test_pages.h"
#include "file/reserve.h"
#include "file/reshape.h"
#include "file/test_engine.h"
#include "file/test_sim.h"
#include "sync/clock.h"
#include "sync/random.h"
#include "sync/sim/sim_test.h"
#include "sync/thread.h"

namespace quire::file {
namespace {

using cache::start_thread;

constexpr std::uint64_t kPages = 14;  // of the file
constexpr std::array kLockings = {Locking::kGate, Locking::kRange, Locking::kInvalidate,
                                  Locking::kInode};

// Whoever wants all: another object of the same store. What it has it gives back now and then.
class Taker {
 public:
  explicit Taker(MemoryStore& store)
      : store_(store),
        object_(store.open("other", OpenFlags::kReadWrite | OpenFlags::kCreate, 0644).value()) {}
  ~Taker() { EXPECT_TRUE(store_.close(object_.handle).ok()); }
  Taker(const Taker&) = delete;
  Taker& operator=(const Taker&) = delete;

  void take_all() {
    for (;; ++page_) {
      const Asked asked(
          [&](IoDone& done) { store_.reserve(object_.handle, page_ * kPage, kPage, done); });
      if (asked.error) return;
    }
  }
  void give_all() {
    const Asked asked([&](IoDone& done) { store_.truncate(object_.handle, 0, done); });
    EXPECT_FALSE(asked.error);
    page_ = 0;
  }

 private:
  MemoryStore& store_;
  const OpenedObject object_;
  std::uint64_t page_ = 0;
};

// Space runs out at the write and nowhere else: writeback never fails, and every sync succeeds; and in the end the
// file has the space that it needs and no more. Fails, within a few seeds, if TrimCall::prepare() takes no write
// range; without `word->load().dirty()` in spare_pages(); or if truncate or punch do not tell the book.
SIM_TEST(ReserveSim, ReservationBalance) {
  // Room for some pages; or for a chunk ahead, most of which must be given back again.
  const std::uint64_t room = below(2) == 0 ? 9 : SpaceBook::kChunkPages + 12;
  Engine engine({.frames = 48,
                 .dirty_max_pages = 8,
                 .latency = std::chrono::microseconds(100),
                 .locking = kLockings[below(kLockings.size())],
                 .reserves_space = true,
                 .capacity_bytes = room * kPage});
  const auto expect_full = [](std::error_code error) {
    EXPECT_TRUE(!error || error == std::errc::no_space_on_device) << error.message();
  };
  const auto pause = [] {
    sync::Parker never;
    (void)never.park_until({sync::deadline_after(std::chrono::microseconds(below(400))), {}});
  };
  {
    Taker taker(*engine.store);
    std::vector<sync::Thread> threads;
    for (const char letter : {'a', 'b'}) {
      threads.push_back(start_thread("writer", [&, letter] {
        std::uint64_t next = below(kPages);
        for (int i = 0; i < 14; ++i) {
          if (below(3) == 0) next = below(kPages);
          std::uint64_t offset = next * kPage + (below(4) == 0 ? 100 : 0);
          const std::size_t bytes = (1 + below(2)) * kPage;
          if (below(5) == 0) {
            const auto data = cache::filled(bytes, letter);
            const std::span<const std::byte> piece = data;
            expect_full(direct_write(engine.inode, {&piece, 1}, bytes, &offset, {}).error);
          } else {
            expect_full(engine.try_write(&offset, bytes, letter).error);
          }
          next = (next + bytes / kPage) % kPages;
        }
      }));
    }
    threads.push_back(start_thread("cutter", [&] {
      for (int i = 0; i < 8; ++i) {
        pause();
        const std::uint64_t at = below(kPages) * kPage;
        switch (below(3)) {
          case 0:
            EXPECT_FALSE(truncate(engine.inode, at, {}));
            break;
          case 1:
            EXPECT_FALSE(truncate(engine.inode, kPages * kPage, {}));
            break;
          default:
            expect_full(clear(engine.inode, Cut::kPunch, at + (below(3) == 0 ? 10 : 0),
                              at + 3 * kPage, true, {}));
        }
      }
    }));
    threads.push_back(start_thread("trimmer", [&] {
      for (int i = 0; i < 8; ++i) {
        pause();
        EXPECT_FALSE(trim(engine.inode, {}));
      }
    }));
    threads.push_back(start_thread("syncer", [&] {
      for (int i = 0; i < 6; ++i) {
        pause();
        engine.sync();
      }
    }));
    threads.push_back(start_thread("taker", [&] {
      for (int i = 0; i < 8; ++i) {
        taker.take_all();
        pause();
        if (below(2) == 0) taker.give_all();
      }
    }));
    for (sync::Thread& thread : threads) thread.join();
    // Nobody has anything left to write with but what was reserved.
    taker.take_all();
    expect_reserved(*engine.inode);
    engine.sync();
    EXPECT_EQ(engine.pages->counters().writeback_errors.load(), 0u);
    EXPECT_FALSE(trim(engine.inode, {}));
    EXPECT_EQ(engine.inode->space()->fresh_pages(), 0u);
    expect_no_spare_space(*engine.inode);
    taker.give_all();
  }
}

}  // namespace
}  // namespace quire::file
