// The readers/writer lock under the simulation's schedules: exclusion, no lost wake-up (one shows as a
// deadlock), give-ups that meet grants, and turns. Each test names the change to the code that makes it
// fail.
#include "sync/rw_lock.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <utility>
#include <vector>

#include "sync/random.h"
#include "sync/sim/sim_test.h"
#include "sync/test_threads.h"
#include "sync/thread.h"

namespace quire::sync {
namespace {

class RwRoom {
 public:
  void visit(RwMode mode) {
    (mode == RwMode::kRead ? readers_ : writers_)++;
    look();
    yield_thread();
    look();
    (mode == RwMode::kRead ? readers_ : writers_)--;
  }

 private:
  void look() { EXPECT_TRUE(writers_ == 0 || (writers_ == 1 && readers_ == 0)); }

  int readers_ = 0;
  int writers_ = 0;
};

void lock_and_leave(RwLock& lock, RwRoom& room, RwMode mode, const WaitLimit& limit = {}) {
  if (lock.lock(mode, limit) != WaitStatus::kReady) return;
  room.visit(mode);
  lock.unlock(mode);
}

void expect_free(RwLock& lock) {
  EXPECT_EQ(lock.waiting_count(RwMode::kRead) + lock.waiting_count(RwMode::kWrite), 0u);
  EXPECT_TRUE(lock.try_lock(RwMode::kWrite));
  lock.unlock(RwMode::kWrite);
}

// Fails if barred() of a writer leaves out the readers, or of a reader the writer; deadlocks if unlock()
// does not pass the lock on.
SIM_EXPLORE(RwLockSim, ReaderMeetsTwoWriters, 2) {
  RwLock lock(Rank::kGate);
  RwRoom room;
  Thread reader = start_thread("reader", [&] { lock_and_leave(lock, room, RwMode::kRead); });
  Thread writer = start_thread("writer", [&] { lock_and_leave(lock, room, RwMode::kWrite); });
  lock_and_leave(lock, room, RwMode::kWrite);
  reader.join();
  writer.join();
  expect_free(lock);
}

// Deadlocks if a writer who gives up does not let the readers behind it join those who are in.
SIM_EXPLORE(RwLockSim, TimeOutMeetsGrant, 2) {
  sim::allow_early_deadlines();
  RwLock lock(Rank::kGate);
  RwRoom room;
  ASSERT_TRUE(lock.try_lock(RwMode::kRead));
  lock.hand_over();
  Thread writer = start_thread(
      "writer", [&] { lock_and_leave(lock, room, RwMode::kWrite, within_a_second()); });
  Thread reader = start_thread("reader", [&] { lock_and_leave(lock, room, RwMode::kRead); });
  reader.join();
  lock.unlock(RwMode::kRead);
  writer.join();
  expect_free(lock);
}

SIM_TEST(RwLockSim, ManyOfBothModes) {
  sim::allow_early_deadlines();
  RwLock lock(Rank::kGate);
  RwRoom room;
  std::vector<Thread> threads;
  for (int number = 0; number < 5; ++number) {
    threads.push_back(start_thread("one of many", [&] {
      for (int round = 0; round < 5; ++round) {
        const RwMode mode = random_u64() % 2 == 0 ? RwMode::kRead : RwMode::kWrite;
        const WaitLimit limit = random_u64() % 3 == 0 ? within_a_second() : WaitLimit{};
        lock_and_leave(lock, room, mode, limit);
      }
    }));
  }
  for (Thread& thread : threads) thread.join();
  expect_free(lock);
}

// A writer is not overtaken by readers who come later, and readers get in between two writers. Fails if
// try_lock() ignores kQueued, or if admit() prefers writers.
SIM_TEST(RwLockSim, TurnsAlternate) {
  RwLock lock(Rank::kGate);
  ASSERT_TRUE(lock.try_lock(RwMode::kWrite));
  lock.hand_over();
  std::vector<char> order;
  const auto enter = [&](RwMode mode, char name) {
    EXPECT_EQ(lock.lock(mode), WaitStatus::kReady);
    order.push_back(name);
    lock.unlock(mode);
  };
  const auto waiting = [&](RwMode mode, std::size_t n) {
    while (lock.waiting_count(mode) != n) yield_thread();
  };
  Thread w = start_thread("writer", [&] { enter(RwMode::kWrite, 'w'); });
  waiting(RwMode::kWrite, 1);
  Thread v = start_thread("writer", [&] { enter(RwMode::kWrite, 'w'); });
  waiting(RwMode::kWrite, 2);
  Thread r = start_thread("reader", [&] { enter(RwMode::kRead, 'r'); });
  waiting(RwMode::kRead, 1);
  EXPECT_FALSE(lock.try_lock(RwMode::kRead));
  lock.unlock(RwMode::kWrite);
  for (Thread* thread : {&w, &v, &r}) thread->join();
  EXPECT_EQ(order, (std::vector<char>{'r', 'w', 'w'}));
  expect_free(lock);
}

}  // namespace
}  // namespace quire::sync
