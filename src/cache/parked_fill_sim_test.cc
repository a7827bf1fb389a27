// Misses that no thread waits for, under the simulation's schedules and every locking strategy: whatever stands in
// the way, they get their pages or the store's error, and can be taken back at any moment without losing a frame, a
// pin or somebody's turn. Each test names the change to the code that makes it fail.
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "cache/fill.h"
#include "cache/test_pages.h"
#include "sync/random.h"
#include "sync/sim/sim_test.h"
#include "sync/test_handler.h"
#include "sync/thread.h"

namespace quire::cache {
namespace {

constexpr std::size_t kPage = limits::kPageBytes;
constexpr std::array kStrategies = {Locking::kGate, Locking::kRange, Locking::kInvalidate,
                                    Locking::kInode};

class FillTask final : public sync::TestHandler::Task {
 public:
  FillTask(sync::TestHandler& handler, FilePages& pages, std::uint64_t first, std::size_t count)
      : Task(handler), fill_(pages, *this), first_(first), count_(count) {}

  void await_end() const {
    while (!ended_) sync::yield_thread();
  }
  ParkedFill& fill() { return fill_; }
  bool ended() const { return ended_; }

 private:
  void run() override {
    EXPECT_FALSE(ended_) << "woken for nothing";
    if (std::exchange(begun_, true) ? fill_.resume() : fill_.begin(first_, count_)) ended_ = true;
  }

  ParkedFill fill_;
  const std::uint64_t first_;
  const std::size_t count_;
  bool begun_ = false;
  bool ended_ = false;
};

// What may stand in the way of a miss: a cut, and somebody who has all of the memory. Both go, in some order.
class Obstacles {
 public:
  explicit Obstacles(OneFile& file) : memory_(file.cache->memory()), frames_(memory_) {
    if (file.pages->lock().guards_operations())
      return;  // who cuts keeps a whole operation out, not an Add
    start_thread("cutter", [&] {
      EXPECT_EQ(block_.begin(file.pages->lock(), 0, 7, {}), sync::WaitStatus::kReady);
      block_.hand_over();
    }).join();
  }
  void take_memory() { memory_.try_acquire(frames_, memory_.pool().free_frames()); }
  void end_cut() { block_.end(); }
  void give_memory() { frames_.give_back(); }

 private:
  Memory& memory_;
  FrameSet frames_;
  CacheLock::Block block_;
};

// Fails if a step of ParkedFill does not go on to the next, or (a deadlock) if it is not woken at one of them; if its
// pages are not pinned when it has them, or are not given back.
SIM_TEST(ParkedFillSim, WaitsForMemoryTheGateAndTheStore) {
  for (const Locking locking : kStrategies) {
    OneFile file(filled(8 * kPage, 'a'), small_budget(24, 8), {}, locking);
    file.store->set_hook(when(StoreOp::kRead, held()));
    Obstacles obstacles(file);
    obstacles.take_memory();
    {
      sync::TestHandler handler;
      FillTask task(handler, *file.pages, 2, 3);
      task.wake();
      if (sync::random_u64() % 2 == 0) sync::yield_thread();
      obstacles.give_memory();
      if (sync::random_u64() % 2 == 0) sync::yield_thread();
      obstacles.end_cut();
      while (file.store->held() == 0) sync::yield_thread();
      EXPECT_FALSE(task.ended());
      EXPECT_EQ(file.value(2).state(), PageState::kFilling);
      file.store->release_held();
      task.await_end();
      EXPECT_FALSE(task.fill().error());
      const PinnedRun run = std::move(task.fill().run());
      // All three, or the one for which whoever waits keeps frames.
      ASSERT_TRUE(run.pages() == 3 || run.pages() == 1);
      EXPECT_EQ(run.first(), 2u);
      EXPECT_EQ(file.value(2).pins(), 1u);
      EXPECT_EQ(*run.bytes(0), std::byte{'a'});
    }
    EXPECT_EQ(file.value(2).pins(), 0u);
  }
}

// Fails if take_run() makes pins of pages that were not read, or the error is lost.
SIM_TEST(ParkedFillSim, AReadErrorIsTheEnd) {
  OneFile file(filled(8 * kPage, 'a'));
  file.store->set_hook(when(StoreOp::kRead, failing(std::errc::io_error)));
  sync::TestHandler handler;
  FillTask task(handler, *file.pages, 2, 3);
  task.wake();
  task.await_end();
  EXPECT_EQ(task.fill().error(), std::errc::io_error);
  EXPECT_EQ(task.fill().run().pages(), 0u);
  EXPECT_TRUE(file.value(2).absent());
}

// A thread and a task that miss the same pages: one of them reads, and the other has nothing to do or waits. Fails
// if a page is read twice.
SIM_TEST(ParkedFillSim, TwoWhoMissTheSamePage) {
  for (const Locking locking : kStrategies) {
    OneFile file(filled(8 * kPage, 'a'), small_budget(24, 8), {}, locking);
    sync::TestHandler handler;
    FillTask task(handler, *file.pages, 2, 1);
    task.wake();
    PinnedRun run;
    EXPECT_FALSE(fill_run(*file.pages, 2, 1, {}, run));
    task.await_end();
    EXPECT_EQ(task.fill().run().pages() + run.pages(), 1u);
    EXPECT_EQ(file.cache->counters().misses.load(), 1u);
  }
}

// Taken back at any moment, by who began it, with everything in the way going away meanwhile, and another behind
// it. Fails (or a frame is lost, at the file's end) if cancel() keeps the frames, the place in a queue or the Add
// that was granted, or the pins of pages that were read.
SIM_TEST(ParkedFillSim, CancelMeetsEverything) {
  for (const Locking locking : kStrategies) {
    OneFile file(filled(8 * kPage, 'a'), small_budget(24, 8), {}, locking);
    file.store->set_hook([](const StoreRequest& request) {
      return request.op == StoreOp::kRead && sync::random_u64() % 2 == 0 ? held() : StoreVerdict{};
    });
    Obstacles obstacles(file);
    const bool scarce = sync::random_u64() % 2 == 0;
    if (scarce) obstacles.take_memory();
    bool others_end = false;
    std::vector<sync::Thread> threads;
    threads.push_back(start_thread("giver", [&] { obstacles.give_memory(); }));
    threads.push_back(start_thread("cutter", [&] { obstacles.end_cut(); }));
    threads.push_back(start_thread("store", [&] {
      while (!others_end) {
        file.store->release_held();
        sync::yield_thread();
      }
    }));
    {
      sync::CountingWaker waker;
      ParkedFill fill(*file.pages, waker);
      bool waits = !fill.begin(2, 3);
      int wakes = 0;
      for (std::uint64_t steps = sync::random_u64() % 4; waits && steps > 0; --steps) {
        if (waker.wakes == wakes) {
          for (std::uint64_t i = sync::random_u64() % 8; i > 0; --i) sync::yield_thread();
          continue;
        }
        ++wakes;
        waits = !fill.resume();
      }
      if (waits && !fill.cancel()) {
        while (waker.wakes == wakes) sync::yield_thread();
        ++wakes;
      }
      EXPECT_EQ(waker.wakes, wakes);
      for (int i = 0; i < 5; ++i) sync::yield_thread();
      EXPECT_EQ(waker.wakes, wakes) << "woken after it was taken back";
    }
    PinnedRun run;
    EXPECT_FALSE(fill_run(*file.pages, 3, 1, {}, run));
    others_end = true;
    for (sync::Thread& thread : threads) thread.join();
  }
}

}  // namespace
}  // namespace quire::cache
