// The line under the simulation's schedules, with threads and tasks of a handler in it: nobody is forgotten (a
// lost wake-up shows as a deadlock), nobody is woken unasked, everybody is served in turn. Each test names the
// change to the code that makes it fail.
#include "sync/wait_line.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "sync/atomic.h"
#include "sync/random.h"
#include "sync/sim/sim_test.h"
#include "sync/test_handler.h"
#include "sync/test_threads.h"
#include "sync/thread.h"

namespace quire::sync {
namespace {

// Pieces that come back one by one, to who is the first in line.
struct Pieces {
  bool take(int n) {
    if (left.load() < n) return false;
    left.fetch_sub(n);
    return true;
  }
  void give(int n) {
    left.fetch_add(n);
    line.notify();
  }

  WaitLine line;
  Atomic<int> left{0};
  std::vector<int> served;  // by number
};

void wait_as_thread(Pieces& pieces, int number, int need) {
  SleepingWaker self;
  WaitLine::Place place(self);
  pieces.line.join(place);
  while (!pieces.line.look(place) || !pieces.take(need)) {
    pieces.line.rest(place);
    EXPECT_EQ(self.park({}), WaitStatus::kReady);
  }
  pieces.served.push_back(number);
  (void)pieces.line.leave(place);
}

class Task final : public TestHandler::Task {
 public:
  Task(TestHandler& handler, Pieces& pieces, int number, int need)
      : TestHandler::Task(handler), pieces_(pieces), place_(*this), number_(number), need_(need) {}
  ~Task() override { EXPECT_TRUE(ended()); }

  void begin() {
    pieces_.line.join(place_);
    run();
  }
  bool ended() const { return state_ == State::kEnded; }

 private:
  enum class State { kRuns, kWaits, kEnded };

  void run() override {
    EXPECT_FALSE(ended()) << "woken for nothing";
    state_ = State::kRuns;
    if (pieces_.line.look(place_) && pieces_.take(need_)) {
      pieces_.served.push_back(number_);
      (void)pieces_.line.leave(place_);
      state_ = State::kEnded;
    } else {
      state_ = State::kWaits;
      pieces_.line.rest(place_);  // from here on it may run again
    }
  }

  Pieces& pieces_;
  WaitLine::Place place_;
  const int number_;
  const int need_;
  State state_ = State::kRuns;
};

// Fails (a deadlock) if rest() does not look whether it was called since look(), or join() does not count.
SIM_EXPLORE(WaitLineSim, APieceThatComesBackMeanwhileIsSeen, 2) {
  Pieces pieces;
  TestHandler handler;
  Task task(handler, pieces, 1, 1);
  Thread giver = start_thread("giver", [&] { pieces.give(1); });
  task.begin();
  giver.join();
  while (!task.ended()) yield_thread();
}

// Threads and tasks by turns, each with a need of its own, are served in the order they came. Fails if notify()
// calls the last, if who is not the first takes, or if leave() does not call the next.
SIM_TEST(WaitLineSim, ThreadsAndTasksAreServedInTurn) {
  constexpr int kWaiters = 6;
  Pieces pieces;
  TestHandler handler;
  std::vector<std::unique_ptr<Task>> tasks;
  std::vector<Thread> threads;
  int needed = 0;
  for (int i = 0; i < kWaiters; ++i) {
    const int need = 1 + static_cast<int>(random_u64() % 3);
    needed += need;
    if (random_u64() % 2 == 0) {
      tasks.push_back(std::make_unique<Task>(handler, pieces, i, need));
      tasks.back()->begin();
    } else {
      SleepingWaker joined;
      threads.push_back(start_thread("thread", [&pieces, &joined, i, need] {
        SleepingWaker self;
        WaitLine::Place place(self);
        pieces.line.join(place);
        joined.wake();
        while (!pieces.line.look(place) || !pieces.take(need)) {
          pieces.line.rest(place);
          EXPECT_EQ(self.park({}), WaitStatus::kReady);
        }
        pieces.served.push_back(i);
        (void)pieces.line.leave(place);
      }));
      EXPECT_EQ(joined.park({}), WaitStatus::kReady);
    }
  }
  while (needed > 0) {
    const int n = static_cast<int>(random_u64() % 3) + 1;
    pieces.give(n);
    needed -= n;
    yield_thread();
  }
  for (Thread& thread : threads) thread.join();
  for (const auto& task : tasks) {
    while (!task->ended()) yield_thread();
  }
  for (int i = 0; i < kWaiters; ++i) EXPECT_EQ(pieces.served[static_cast<std::size_t>(i)], i);
}

// The first is taken back while a piece comes: it takes none, and the next one has it. Fails (a deadlock) if
// leave() does not call the next, or says true of one who was called.
SIM_EXPLORE(WaitLineSim, CancelMeetsNotify, 2) {
  Pieces pieces;
  CountingWaker waker;
  WaitLine::Place place(waker);
  pieces.line.join(place);
  EXPECT_TRUE(pieces.line.look(place));
  Thread next = start_thread("next", [&] { wait_as_thread(pieces, 2, 1); });
  Thread giver = start_thread("giver", [&] { pieces.give(1); });
  pieces.line.rest(place);
  const bool taken_back = pieces.line.leave(place);
  EXPECT_EQ(waker.wakes, taken_back ? 0 : 1);
  giver.join();
  next.join();
  EXPECT_EQ(waker.wakes, taken_back ? 0 : 1);
}

// again() wakes without being called, as often as it is asked, and others get on in between. Fails if again()
// waits for a notify().
SIM_TEST(WaitLineSim, WhoIsNotToldComesBackByItself) {
  class Asker final : public TestHandler::Task {
   public:
    Asker(TestHandler& handler, WaitLine& line)
        : TestHandler::Task(handler), line_(line), place_(*this) {}
    void begin() {
      line_.join(place_);
      run();
    }
    int rounds = 0;
    bool may_end = false;
    bool ended = false;

   private:
    void run() override {
      ++rounds;
      EXPECT_TRUE(line_.look(place_));
      if (may_end) {
        (void)line_.leave(place_);
        ended = true;
      } else {
        line_.again(place_);
      }
    }
    WaitLine& line_;
    WaitLine::Place place_;
  };
  WaitLine line;
  TestHandler handler;
  Asker asker(handler, line);
  asker.begin();
  while (asker.rounds < 5) yield_thread();
  asker.may_end = true;
  while (!asker.ended) yield_thread();
}

// Who is due is called though it is not the first, once, and the clock is told when to ask next. Fails if
// call_due() calls the first alone, or calls again whom it called.
SIM_TEST(WaitLineSim, WhoIsDueIsCalled) {
  WaitLine line;
  SleepingWaker one;
  SleepingWaker two;
  WaitLine::Place first(one);
  WaitLine::Place second(two);
  EXPECT_EQ(line.call_due(), Clock::kNever);
  line.join(first);
  line.join(second);
  const Clock::time_point soon = deadline_after(std::chrono::seconds(1));
  line.set_due(second, soon);
  EXPECT_TRUE(line.look(first));
  line.rest(first);
  EXPECT_FALSE(line.look(second));
  line.rest(second);
  EXPECT_EQ(line.call_due(), soon);
  const Clock::time_point past = Clock::now();
  EXPECT_EQ(two.park({past, {}}), WaitStatus::kTimedOut);
  line.set_due(second, past);
  EXPECT_EQ(line.call_due(), Clock::kNever);
  EXPECT_EQ(two.park({past, {}}), WaitStatus::kReady);
  EXPECT_FALSE(line.leave(second)) << "it was called";
  EXPECT_EQ(one.park({past, {}}), WaitStatus::kTimedOut);
  EXPECT_TRUE(line.leave(first));
}

}  // namespace
}  // namespace quire::sync
