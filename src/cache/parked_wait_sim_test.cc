// Those who wait for pages, hazard slots, frames and dirty credits and are no threads, under the simulation's
// schedules: in one queue with threads, taken back at any moment, forgotten never (that shows as a deadlock). Each
// test names the change to the code that makes it fail.
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "cache/dirty_budget.h"
#include "cache/hazard.h"
#include "cache/memory.h"
#include "cache/page_wait.h"
#include "cache/test_pages.h"
#include "cache/writeback.h"
#include "quire/limits.h"
#include "sync/clock.h"
#include "sync/random.h"
#include "sync/sim/sim_test.h"
#include "sync/test_handler.h"
#include "sync/test_threads.h"
#include "sync/thread.h"

namespace quire::cache {
namespace {

constexpr PageKey kKey = PageKey::of(1, 3);

// A task that does what it is given whenever it is woken, until that says true.
class Parked final : public sync::TestHandler::Task {
 public:
  Parked(sync::TestHandler& handler, std::function<bool(Parked&)> step)
      : Task(handler), step_(std::move(step)) {}

  bool ended() const { return ended_; }
  void await_end() const {
    while (!ended_) sync::yield_thread();
  }
  int steps = 0;

 private:
  void run() override {
    EXPECT_FALSE(ended_) << "woken for nothing";
    ++steps;
    if (step_(*this)) ended_ = true;
  }

  const std::function<bool(Parked&)> step_;
  bool ended_ = false;
};

// ---- Pages ----

// A thread and a task that wait for the same page to be filled. Fails (a deadlock) if enqueue() joins without
// announcing, if wake() wakes one alone, or if it looks at the word before it joined.
SIM_EXPLORE(ParkedWaitSim, AFillWakesThreadsAndTasks, 2) {
  PageWaitLot lot;
  PageWord word;
  EXPECT_TRUE(word.begin_fill(7));
  sync::TestHandler handler;
  PageWaitLot::Waiter* place = nullptr;
  Parked task(handler, [&](Parked&) {
    const PageValue seen = word.load();
    return seen.uptodate() || !lot.enqueue(*place, kKey, word, seen);
  });
  PageWaitLot::Waiter waiter(task);
  place = &waiter;
  task.wake();
  sync::Thread filler = start_thread("filler", [&] {
    if (word.end_fill(0).waiters()) lot.wake(kKey);
  });
  for (PageValue seen = word.load(); !seen.uptodate(); seen = word.load()) {
    EXPECT_EQ(lot.wait(kKey, word, seen, [] {}, {}), sync::WaitStatus::kReady);
  }
  filler.join();
  task.await_end();
  EXPECT_GE(lot.waits().count(), static_cast<std::uint64_t>(task.steps - 1)) << "its wait counts";
}

// Fails if cancel() says true of who was woken, or leaves it in its bucket.
SIM_EXPLORE(ParkedWaitSim, CancelMeetsTheWakeOfItsPage, 3) {
  PageWaitLot lot;
  PageWord word;
  EXPECT_TRUE(word.begin_fill(7));
  sync::CountingWaker waker;
  PageWaitLot::Waiter waiter(waker);
  const PageValue seen = word.load();
  ASSERT_TRUE(lot.enqueue(waiter, kKey, word, seen));
  sync::Thread filler = start_thread("filler", [&] {
    if (word.end_fill(0).waiters()) lot.wake(kKey);
  });
  const bool taken_back = lot.cancel(waiter);
  EXPECT_EQ(waker.wakes, taken_back ? 0 : 1);
  filler.join();
  EXPECT_EQ(waker.wakes, taken_back ? 0 : 1);
}

// ---- Hazard slots ----

// What readers and those who bar them share: a page that may be read or not, and who is inside.
struct Page {
  sync::Atomic<bool> readable{true};
  int inside = 0;

  void read(int long_for) {
    const Hazards::Guard guard(Hazards::slot_of_thread(), kKey);
    if (!readable.load()) return;
    ++inside;
    for (int i = 0; i < long_for; ++i) sync::yield_thread();
    --inside;
  }
};

// Fails if begin_clear() is content with one slot, or (a deadlock) if look() does not count itself in before it
// looks, or leaves a slot's count to another's.
SIM_TEST(ParkedWaitSim, NobodyIsInsideWhenATaskGoesOn) {
  Hazards::forget_earlier_runs();
  Page page;
  sync::TestHandler handler;
  Hazards::Waiter* place = nullptr;
  int barred = 0;
  bool waits = false;
  Parked task(handler, [&](Parked& self) {
    if (!waits) page.readable.store(false);
    const bool clear = waits ? Hazards::resume(*place) : Hazards::begin_clear(kKey, *place);
    waits = !clear;
    if (!clear) return false;
    EXPECT_EQ(page.inside, 0);
    sync::yield_thread();
    EXPECT_EQ(page.inside, 0);
    page.readable.store(true);
    if (++barred == 3) return true;
    self.wake();
    return false;
  });
  Hazards::Waiter waiter(task);
  place = &waiter;
  std::vector<sync::Thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.push_back(start_thread("reader", [&] {
      // Some are inside for longer than the task spins.
      for (int round = 0; round < 4; ++round) page.read(sync::random_u64() % 2 == 0 ? 1 : 250);
    }));
  }
  task.wake();
  for (sync::Thread& reader : readers) reader.join();
  task.await_end();
}

// ---- Frames ----

// Frames of a pool without pages: what is free is what was released.
struct Frames {
  explicit Frames(std::uint32_t frames)
      : memory(std::move(Memory::create(frames, [] {}).value())) {}

  const std::unique_ptr<Memory> memory;
};

// A task that wants frames, notes when it has them, and gives them back when it is woken again.
class FrameTask final : public sync::TestHandler::Task {
 public:
  FrameTask(sync::TestHandler& handler, Memory& memory, std::size_t need,
            std::function<void()> served)
      : Task(handler), memory_(memory), need_(need), served_(std::move(served)), set_(memory) {}

  bool ended() const { return ended_; }
  bool waits() const { return waits_; }
  std::size_t has() const { return set_.size(); }
  int steps = 0;

 private:
  void run() override {
    EXPECT_FALSE(ended_) << "woken for nothing";
    ++steps;
    const bool begun = std::exchange(waits_, true);
    if (begun ? memory_.resume(waiter_) : memory_.acquire_async(set_, need_, waiter_)) {
      EXPECT_EQ(set_.size(), need_);
      served_();
      set_.give_back();
      ended_ = true;
    }
  }

  Memory& memory_;
  const std::size_t need_;
  const std::function<void()> served_;
  FrameSet set_;
  Memory::Waiter waiter_{*this};
  bool waits_ = false;
  bool ended_ = false;
};

// Threads and tasks wait for frames, which come back one by one: each has its in turn, and only the first in the
// queue holds any before it has all. Fails if acquire_async() or resume() takes without being the first.
SIM_TEST(ParkedWaitSim, FramesAreServedInTurn) {
  constexpr std::size_t kFrames = 6;
  constexpr int kWaiters = 5;
  Frames frames(kFrames);
  Memory& memory = *frames.memory;
  FrameSet all(memory);
  EXPECT_EQ(memory.acquire(all, kFrames, {}), sync::WaitStatus::kReady);
  std::vector<int> served;
  {
    sync::TestHandler handler;
    std::vector<std::unique_ptr<FrameTask>> tasks;
    std::vector<sync::Thread> threads;
    for (int i = 0; i < kWaiters; ++i) {
      const std::size_t need = 1 + sync::random_u64() % 4;
      const std::uint64_t before = memory.waits().count();
      if (sync::random_u64() % 2 == 0) {
        tasks.push_back(
            std::make_unique<FrameTask>(handler, memory, need, [&, i] { served.push_back(i); }));
        tasks.back()->wake();
      } else {
        threads.push_back(start_thread("thread", [&, i, need] {
          FrameSet set(memory);
          EXPECT_EQ(memory.acquire(set, need, {}), sync::WaitStatus::kReady);
          served.push_back(i);
        }));
      }
      while (memory.waits().count() == before) sync::yield_thread();
    }
    while (all.size() > 0) {
      all.shrink(all.size() - 1);
      std::size_t held = 0;
      for (const auto& task : tasks) held += !task->ended() && task->has() > 0 ? 1 : 0;
      EXPECT_LE(held, 1u) << "two hold what each other needs";
      sync::yield_thread();
    }
    for (sync::Thread& thread : threads) thread.join();
    for (const auto& task : tasks) {
      while (!task->ended()) sync::yield_thread();
    }
  }
  EXPECT_EQ(served.size(), static_cast<std::size_t>(kWaiters));
  for (std::size_t i = 0; i < served.size(); ++i) EXPECT_EQ(served[i], static_cast<int>(i));
  EXPECT_EQ(memory.pool().free_frames(), kFrames);
}

// A thread and a task that each got half of what both need: they let go of it, and the first in line has all. Fails
// (a deadlock) if begin() keeps what the set has.
SIM_EXPLORE(ParkedWaitSim, NobodyWaitsWithHalfOfIt, 2) {
  Frames frames(2);
  Memory& memory = *frames.memory;
  {
    sync::TestHandler handler;
    FrameTask task(handler, memory, 2, [] {});
    task.wake();
    {
      FrameSet set(memory);
      EXPECT_EQ(memory.acquire(set, 2, {}), sync::WaitStatus::kReady);
    }
    while (!task.ended()) sync::yield_thread();
  }
  EXPECT_EQ(memory.pool().free_frames(), 2u);
}

// A frame comes back while the task looks, before it rests. Fails (a deadlock) if rest() does not see that.
SIM_EXPLORE(ParkedWaitSim, AFrameThatComesBackMeanwhileIsSeen, 2) {
  Frames frames(2);
  Memory& memory = *frames.memory;
  {
    FrameSet all(memory);
    EXPECT_EQ(memory.acquire(all, 2, {}), sync::WaitStatus::kReady);
    sync::TestHandler handler;
    bool served = false;
    FrameTask task(handler, memory, 2, [&] { served = true; });
    task.wake();
    all.shrink(1);
    all.shrink(0);
    while (!task.ended()) sync::yield_thread();
    EXPECT_TRUE(served);
  }
  EXPECT_EQ(memory.pool().free_frames(), 2u);
}

// Fails (a deadlock) if cancel() leaves it in the queue, or the one behind it is not told.
SIM_EXPLORE(ParkedWaitSim, CancelMeetsAFrame, 2) {
  Frames frames(2);
  Memory& memory = *frames.memory;
  {
    FrameSet all(memory);
    EXPECT_EQ(memory.acquire(all, 2, {}), sync::WaitStatus::kReady);
    sync::CountingWaker waker;
    Memory::Waiter waiter(waker);
    FrameSet set(memory);
    EXPECT_FALSE(memory.acquire_async(set, 2, waiter));
    sync::Thread next = start_thread("next", [&] {
      FrameSet one(memory);
      EXPECT_EQ(memory.acquire(one, 1, {}), sync::WaitStatus::kReady);
    });
    sync::Thread giver = start_thread("giver", [&] { all.shrink(1); });
    const bool taken_back = memory.cancel(waiter);
    EXPECT_EQ(waker.wakes, taken_back ? 0 : 1);
    giver.join();
    next.join();
    EXPECT_EQ(waker.wakes, taken_back ? 0 : 1);
  }
  EXPECT_EQ(memory.pool().free_frames(), 2u);
}

// The only page that could be evicted is being read: nobody says when that ends, so the task comes back by itself,
// and others of its handler get on in between. Fails (a deadlock) if resume() rests then, or (the other does not
// end) if it loops.
SIM_TEST(ParkedWaitSim, WhatEndsUntoldIsLookedAtAgain) {
  OneFile file({}, small_budget(20, 16));
  Memory& memory = file.cache->memory();
  ASSERT_FALSE(file.write(0, 'a'));
  EXPECT_FALSE(flush_all(*file.pages, 0, ~std::uint64_t{0}, {}).error);
  FrameSet rest(memory);
  memory.try_acquire(rest, memory.pool().free_frames());
  EXPECT_EQ(memory.pool().free_frames(), 0u);

  bool named = false;
  bool may_end = false;
  sync::Thread reader = start_thread("reader", [&] {
    const Hazards::Guard guard(Hazards::slot_of_thread(), file.pages->key(0));
    named = true;
    while (!may_end) sync::yield_thread();
  });
  while (!named) sync::yield_thread();
  {
    sync::TestHandler handler;
    FrameTask task(handler, memory, 1, [] {});
    task.wake();
    while (task.steps < 5) sync::yield_thread();
    int turns = 0;
    Parked other(handler, [&](Parked& self) {
      if (++turns == 3) return true;
      self.wake();
      return false;
    });
    other.wake();
    other.await_end();
    EXPECT_FALSE(task.ended());
    may_end = true;
    reader.join();
    while (!task.ended()) sync::yield_thread();
  }
}

// ---- Dirty credits ----

// A task that wants credits, and keeps them.
class CreditTask final : public sync::TestHandler::Task {
 public:
  CreditTask(
      sync::TestHandler& handler, DirtyBudget& budget, std::uint64_t pages,
      std::function<void()> served = [] {})
      : Task(handler), budget_(budget), pages_(pages), served_(std::move(served)) {}

  bool ended() const { return ended_; }
  std::error_code error() const { return waiter_.error(); }
  int steps = 0;

 private:
  void run() override {
    EXPECT_FALSE(ended_) << "woken for nothing";
    ++steps;
    const bool begun = std::exchange(waits_, true);
    if (!(begun ? budget_.resume(waiter_) : budget_.take_async(pages_, waiter_))) return;
    served_();
    ended_ = true;
  }

  DirtyBudget& budget_;
  const std::uint64_t pages_;
  const std::function<void()> served_;
  DirtyBudget::Waiter waiter_{*this};
  bool waits_ = false;
  bool ended_ = false;
};

// Fails if take_async() or resume() takes without being the first, or (a deadlock) if give() tells threads alone.
SIM_TEST(ParkedWaitSim, CreditsAreServedInTurn) {
  constexpr int kWaiters = 5;
  DirtyBudget budget(8, [] {});
  EXPECT_FALSE(budget.take(8, {}));
  std::vector<int> served;
  std::uint64_t needed = 0;
  {
    sync::TestHandler handler;
    std::vector<std::unique_ptr<CreditTask>> tasks;
    std::vector<sync::Thread> threads;
    for (int i = 0; i < kWaiters; ++i) {
      const std::uint64_t need = 1 + sync::random_u64() % 3;
      needed += need;
      const std::uint64_t before = budget.waits().count();
      if (sync::random_u64() % 2 == 0) {
        tasks.push_back(std::make_unique<CreditTask>(handler, budget, need, [&, i, need] {
          served.push_back(i);
          budget.give(need);
        }));
        tasks.back()->wake();
      } else {
        threads.push_back(start_thread("thread", [&, i, need] {
          EXPECT_FALSE(budget.take(need, {}));
          served.push_back(i);
          budget.give(need);
        }));
      }
      while (budget.waits().count() == before) sync::yield_thread();
    }
    for (int i = 0; i < 8; ++i) {
      budget.give(1);
      sync::yield_thread();
    }
    for (sync::Thread& thread : threads) thread.join();
    for (const auto& task : tasks) {
      while (!task->ended()) sync::yield_thread();
    }
  }
  EXPECT_EQ(budget.taken(), 0u);
  EXPECT_EQ(served.size(), static_cast<std::size_t>(kWaiters));
  for (std::size_t i = 0; i < served.size(); ++i) EXPECT_EQ(served[i], static_cast<int>(i));
}

// Fails (a deadlock) if cancel() leaves it in the queue, or the one behind it is not told.
SIM_EXPLORE(ParkedWaitSim, CancelMeetsACredit, 2) {
  DirtyBudget budget(2, [] {});
  EXPECT_FALSE(budget.take(2, {}));
  sync::CountingWaker waker;
  DirtyBudget::Waiter waiter(waker);
  EXPECT_FALSE(budget.take_async(2, waiter));
  sync::Thread next = start_thread("next", [&] { EXPECT_FALSE(budget.take(1, {})); });
  sync::Thread giver = start_thread("giver", [&] { budget.give(1); });
  const bool taken_back = budget.cancel(waiter);
  EXPECT_EQ(waker.wakes, taken_back ? 0 : 1);
  giver.join();
  next.join();
  EXPECT_EQ(waker.wakes, taken_back ? 0 : 1);
  EXPECT_EQ(budget.taken(), 2u);
}

// At the dirty limit of a store that fails or answers nothing, what has no deadline and no clock of its own ends
// with the store's error, not early, first in the queue or not; and an answer heals it. Fails (does not end) if the
// flusher does not call wake_stalled() or sleeps longer than that says.
void a_store_that_writes_nothing(const StoreVerdict& verdict, std::errc expected,
                                 sync::Clock::duration at_least, sync::Clock::duration at_most) {
  OneFile file({}, small_budget(64, 2));
  file.store->set_hook(when(StoreOp::kWrite, verdict));
  EXPECT_FALSE(file.write(0, 'a'));
  EXPECT_FALSE(file.write(5, 'a'));
  DirtyBudget& budget = file.cache->dirty();
  {
    sync::TestHandler handler;
    CreditTask first(handler, budget, 2);
    CreditTask second(handler, budget, 1);
    const sync::Clock::time_point begin = sync::Clock::now();
    first.wake();
    second.wake();
    sync::Parker nobody;
    while (!first.ended() || !second.ended()) {
      (void)nobody.park_until({sync::deadline_after(std::chrono::milliseconds(10)), {}});
      ASSERT_LT(sync::Clock::now() - begin, 2 * at_most) << "nobody looks at the clock";
    }
    EXPECT_EQ(first.error(), expected);
    EXPECT_EQ(second.error(), expected);
    EXPECT_GE(sync::Clock::now() - begin, at_least);
    EXPECT_LE(sync::Clock::now() - begin, at_most);
    EXPECT_LT(first.steps + second.steps, 100) << "the flusher wakes them without end";
  }
  file.store->set_hook({});
  file.store->release_held();
  EXPECT_FALSE(file.write(9, 'a'));
}
SIM_TEST(ParkedWaitSim, AFailingStoreIsTheErrorOfAParkedStore) {
  a_store_that_writes_nothing(failing(std::errc::io_error), std::errc::io_error,
                              limits::kDirtyStallMax,
                              limits::kDirtyStallMax + std::chrono::seconds(2));
}
SIM_TEST(ParkedWaitSim, ASilentStoreIsTheErrorOfAParkedStore) {
  a_store_that_writes_nothing(held(), std::errc::timed_out, limits::kStoreSilenceMax,
                              limits::kStoreSilenceMax + 3 * limits::kDirtyStallMax);
}

}  // namespace
}  // namespace quire::cache
