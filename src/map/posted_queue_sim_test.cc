// Those who post beside a thread that goes to sleep, under the simulation's schedules.
#include <gtest/gtest.h>

#include <array>
#include <utility>
#include <vector>

#include "map/posted_queue.h"
#include "sync/parker.h"
#include "sync/sim/sim_test.h"
#include "sync/test_threads.h"

namespace quire::map {
namespace {

class Noted final : public Posted {
 public:
  void note(std::vector<int>& ran, int number) {
    ran_ = &ran;
    number_ = number;
  }
  void run() noexcept override { ran_->push_back(number_); }

 private:
  std::vector<int>* ran_ = nullptr;
  int number_ = 0;
};

// Everything is run, in its poster's order, though the thread sleeps whenever it finds nothing; and nobody wakes it in
// vain more than once a sleep. Hangs if post() looks whether the thread sleeps before it has posted, or if may_sleep()
// does not look again.
SIM_TEST(PostedQueueSim, NothingIsSleptPast) {
  constexpr int kPosters = 2;
  constexpr int kEach = 3;
  PostedQueue queue;
  sync::Parker bell;
  std::array<Noted, kPosters * kEach> tasks;
  std::vector<int> ran;
  int sleeps = 0;
  sync::Atomic<int> wakes{0};
  sync::Thread runner = sync::start_thread("runner", [&] {
    while (ran.size() < tasks.size()) {
      Posted* posted = queue.take();
      while (posted != nullptr) {
        Posted* const one = std::exchange(posted, PostedQueue::next_of(*posted));
        one->run();
      }
      if (ran.size() == tasks.size()) continue;
      ++sleeps;
      if (!queue.may_sleep()) continue;
      bell.park();
      queue.woken();
    }
  });
  std::array<sync::Thread, kPosters> posters;
  for (int p = 0; p < kPosters; ++p) {
    posters[p] = sync::start_thread("poster", [&, p] {
      for (int i = p * kEach; i < (p + 1) * kEach; ++i) {
        tasks[i].note(ran, i);
        if (!queue.post(tasks[i])) continue;
        wakes.fetch_add(1);
        bell.unpark();
      }
    });
  }
  for (sync::Thread& poster : posters) poster.join();
  runner.join();
  ASSERT_EQ(ran.size(), tasks.size());
  std::array<int, kPosters> next = {0, kEach};
  for (const int number : ran) EXPECT_EQ(number, next[number / kEach]++);
  EXPECT_LE(wakes.load(), sleeps);
}

}  // namespace
}  // namespace quire::map
