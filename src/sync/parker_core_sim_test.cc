// The code of the normal build's Parker in every interleaving, over a simulated word and futex.
#include "sync/parker_core.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "sync/atomic.h"
#include "sync/sim/hooks.h"
#include "sync/sim/scheduler.h"
#include "sync/sim/sim_test.h"
#include "sync/test_threads.h"
#include "sync/thread.h"

namespace quire::sync {
namespace {

using Word = Atomic<std::uint32_t>;

// Comparing the word and going to sleep are one step, as the kernel promises.
struct SimFutex {
  static bool wait(Word& word, std::uint32_t expected, Clock::time_point deadline) noexcept {
    if (word.load() != expected) return true;
    Sleeper self{&word, false};
    sleepers.push_back(&self);
    sim::Wait wait;
    wait.op = sim::Op::kPark;
    wait.ready = &self.woken;
    wait.deadline = deadline;
    sim::wait_point(wait);
    std::erase(sleepers, &self);
    return self.woken;
  }
  static void wake(Word* word) noexcept {
    sim::yield_point(sim::Op::kUnpark);
    const auto found = std::find_if(sleepers.begin(), sleepers.end(), [word](const auto* sleeper) {
      return sleeper->word == word && !sleeper->woken;
    });
    if (found != sleepers.end()) (*found)->woken = true;
  }

  struct Sleeper {
    const Word* word;
    bool woken;
  };
  static inline std::vector<Sleeper*> sleepers;
};

using Core = ParkerCore<Word, SimFutex>;

// A wait that took no permit left it there: the only one that was made is found by the next wait.
void expect_one_permit(Core& core, WaitStatus status) {
  if (status != WaitStatus::kReady) {
    EXPECT_EQ(core.wait(Clock::kNever), WaitStatus::kReady);
  }
  EXPECT_EQ(core.state.load(), 0u);
}

SIM_EXPLORE(ParkerCore, UnparkIsNotLost, sim::kPreemptionsUnbounded) {
  Core core;
  Thread waker = start_thread("waker", [&core] { core.unpark(); });
  expect_one_permit(core, core.wait(Clock::kNever));
  waker.join();
}

SIM_EXPLORE(ParkerCore, TwoUnparksMakeOneOrTwoPermits, sim::kPreemptionsUnbounded) {
  Core core;
  Thread a = start_thread("a", [&core] { core.unpark(); });
  Thread b = start_thread("b", [&core] { core.unpark(); });
  EXPECT_EQ(core.wait(Clock::kNever), WaitStatus::kReady);
  a.join();
  b.join();
  EXPECT_EQ(core.state.load() & ~std::uint32_t{Core::kPermit}, 0u);
}

SIM_EXPLORE(ParkerCore, TimeOutMeetsUnpark, sim::kPreemptionsUnbounded) {
  sim::allow_early_deadlines();
  Core core;
  Thread waker = start_thread("waker", [&core] { core.unpark(); });
  expect_one_permit(core, core.wait(deadline_after(std::chrono::hours(1))));
  waker.join();
}

// The stop callback as a thread of its own: in the simulation a real one may not give way.
SIM_EXPLORE(ParkerCore, StopMeetsUnpark, sim::kPreemptionsUnbounded) {
  Core core;
  Thread waker = start_thread("waker", [&core] { core.unpark(); });
  Thread stopper = start_thread("stopper", [&core] { core.interrupt(); });
  const WaitStatus status = core.wait(Clock::kNever);
  EXPECT_NE(status, WaitStatus::kTimedOut);
  stopper.join();
  core.end_interrupt();
  expect_one_permit(core, status);
  waker.join();
}

SIM_EXPLORE(ParkerCore, StopIsNotLost, sim::kPreemptionsUnbounded) {
  Core core;
  Thread stopper = start_thread("stopper", [&core] { core.interrupt(); });
  EXPECT_EQ(core.wait(Clock::kNever), WaitStatus::kInterrupted);
  stopper.join();
}

SIM_EXPLORE(ParkerCore, StopMeetsTimeOut, sim::kPreemptionsUnbounded) {
  sim::allow_early_deadlines();
  Core core;
  Thread stopper = start_thread("stopper", [&core] { core.interrupt(); });
  EXPECT_NE(core.wait(deadline_after(std::chrono::hours(1))), WaitStatus::kReady);
  stopper.join();
  core.end_interrupt();
  EXPECT_EQ(core.state.load(), 0u);
}

}  // namespace
}  // namespace quire::sync
