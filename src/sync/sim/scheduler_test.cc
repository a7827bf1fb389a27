// The scheduler finds planted bugs, misses no schedule, and replays what it found.
#include "sync/sim/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "sync/atomic.h"
#include "sync/condition.h"
#include "sync/mutex.h"
#include "sync/parker.h"
#include "sync/random.h"
#include "sync/sim/sim_test.h"
#include "sync/thread.h"
#include "sync/thread_local.h"

namespace quire::sync::sim {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

Thread start(const char* name, std::function<void()> body) {
  return std::move(Thread::start(name, std::move(body)).value());
}

// How many of `seeds` runs of `body` end badly: not ok, or `bad` afterwards.
template <class Body, class Bad>
unsigned count_bad(Options options, unsigned seeds, Body body, Bad bad) {
  unsigned count = 0;
  for (unsigned seed = 0; seed < seeds; ++seed) {
    options.seed = seed;
    const Outcome outcome = run(options, body);
    if (!outcome.ok() || bad()) ++count;
  }
  return count;
}

bool never() {
  return false;
}

constexpr Schedule kSchedules[] = {Schedule::kRandom, Schedule::kPct};

// Programs, right and wrong.

// Two threads add one to a counter, `atomically` or by a load and a store.
int add_twice(bool atomically) {
  Atomic<int> counter{0};
  const auto add = [&] {
    if (atomically) {
      counter.fetch_add(1);
    } else {
      counter.store(counter.load() + 1);
    }
  };
  Thread a = start("a", add);
  Thread b = start("b", add);
  a.join();
  b.join();
  return counter.load();
}

// One thread waits for what another does. `publish_first` is the order that loses no wake-up.
void wait_for_flag(bool publish_first) {
  Atomic<bool> done{false};
  Atomic<Parker*> waiter{nullptr};
  Thread waker = start("waker", [&] {
    done.store(true);
    if (Parker* const parker = waiter.load()) parker->unpark();
  });
  Parker parker;
  if (publish_first) waiter.store(&parker);
  while (!done.load()) {
    waiter.store(&parker);
    if (publish_first && done.load()) break;
    parker.park();
  }
  waker.join();
}

// Two threads take two mutexes, in one order or each in its own.
void take_two(bool same_order) {
  Mutex a;
  Mutex b;
  const auto take = [](Mutex& first, Mutex& second) {
    MutexLock outer(first);
    MutexLock inner(second);
  };
  Thread other = start("other", [&] { same_order ? take(a, b) : take(b, a); });
  take(a, b);
  other.join();
}

// A thread opens a window for a single step in the middle of a long run of steps; the bug is that
// the other makes all of its steps within it. Depth 2: one preemption, at just that place.
bool all_in_window = false;
void pass_window() {
  constexpr int kSteps = 25;
  all_in_window = false;
  Atomic<int> work{0};
  Atomic<bool> open{false};
  Thread opener = start("opener", [&] {
    for (int i = 0; i < kSteps; ++i) work.load();
    open.store(true);
    open.store(false);
    for (int i = 0; i < kSteps; ++i) work.load();
  });
  Thread looker = start("looker", [&] {
    bool always_open = true;
    for (int i = 0; i < kSteps; ++i) always_open = open.load() && always_open;
    all_in_window = always_open;
  });
  opener.join();
  looker.join();
}

TEST(Scheduler, SameSeedSameTrace) {
  for (const Schedule schedule : kSchedules) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      const Options options{.seed = seed, .schedule = schedule};
      const Outcome first = run(options, [] { add_twice(false); });
      const Outcome second = run(options, [] { add_twice(false); });
      EXPECT_EQ(first.trace_hash, second.trace_hash);
      EXPECT_EQ(first.steps, second.steps);
    }
  }
}

TEST(Scheduler, SeedsGiveDifferentSchedules) {
  for (const Schedule schedule : kSchedules) {
    std::set<std::uint64_t> hashes;
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
      const Options options{.seed = seed, .schedule = schedule, .pct_steps = 10};
      hashes.insert(run(options, [] { wait_for_flag(true); }).trace_hash);
    }
    EXPECT_GE(hashes.size(), 5u) << to_string(schedule);
  }
}

// A trace names fibers, operations and objects by number, never by address.
TEST(Scheduler, TraceDoesNotDependOnAddresses) {
  const Outcome outcome = run({.seed = 1}, [] { take_two(true); });
  const Outcome again = run({.seed = 1}, [] {
    const std::vector<int> moves_the_heap(3000);
    Mutex moves_the_stack[10];
    (void)moves_the_stack;
    take_two(true);
  });
  EXPECT_EQ(outcome.trace_hash, again.trace_hash);
}

TEST(Scheduler, FindsCounterRace) {
  int counter = 0;
  for (const Schedule schedule : kSchedules) {
    const Options options{.schedule = schedule, .pct_depth = 2, .pct_steps = 8};
    const auto lost = [&] { return counter != 2; };
    EXPECT_GT(count_bad(
                  options, 200, [&] { counter = add_twice(false); }, lost),
              10u);
    EXPECT_EQ(count_bad(
                  options, 200, [&] { counter = add_twice(true); }, lost),
              0u);
  }
}

TEST(Scheduler, FindsLostWakeUp) {
  for (const Schedule schedule : kSchedules) {
    const Options options{.schedule = schedule, .pct_depth = 2, .pct_steps = 8};
    EXPECT_GT(count_bad(
                  options, 200, [] { wait_for_flag(false); }, never),
              5u);
    EXPECT_EQ(count_bad(
                  options, 200, [] { wait_for_flag(true); }, never),
              0u);
  }
}

TEST(Scheduler, FindsDeadlock) {
  for (const Schedule schedule : kSchedules) {
    const Options options{.schedule = schedule, .pct_depth = 2, .pct_steps = 8};
    EXPECT_GT(count_bad(
                  options, 200, [] { take_two(false); }, never),
              10u);
    EXPECT_EQ(count_bad(
                  options, 200, [] { take_two(true); }, never),
              0u);
  }
}

TEST(Scheduler, DeadlockReportSaysWhoWaitsWhere) {
  const ExploreResult result = explore({}, [] { take_two(false); });
  ASSERT_TRUE(result.failed);
  EXPECT_FALSE(result.complete);
  EXPECT_TRUE(result.last.deadlock);
  EXPECT_THAT(result.last.failure, testing::HasSubstr("fiber 0 'main' waits at lock of mutex"));
  EXPECT_THAT(result.last.failure, testing::HasSubstr("fiber 1 'other' waits at lock of mutex"));
  EXPECT_THAT(result.last.failure, testing::HasSubstr("held by fiber 0"));
  EXPECT_THAT(result.last.failure, testing::HasSubstr("held by fiber 1"));
}

TEST(Scheduler, RunsGoOnAfterFailedOnes) {
  ASSERT_TRUE(run({}, [] { Parker().park(); }).deadlock);
  EXPECT_TRUE(run({}, [] { EXPECT_EQ(add_twice(true), 2); }).ok());
}

TEST(Scheduler, PctFindsWhatItsDepthAllows) {
  const auto seen = [] { return all_in_window; };
  Options options{.pct_steps = 80};
  EXPECT_EQ(count_bad(options, 2000, pass_window, seen), 0u);
  options.schedule = Schedule::kPct;
  options.pct_depth = 1;
  EXPECT_EQ(count_bad(options, 2000, pass_window, seen), 0u);
  // The bound is 1 / (n k) with n = 3 fibers and k = 80 steps: 8 of 2000.
  options.pct_depth = 2;
  EXPECT_GE(count_bad(options, 2000, pass_window, seen), 8u);
}

TEST(Scheduler, StepLimitEndsRun) {
  const Outcome outcome = run({.steps_max = 1000}, [] {
    Atomic<bool> never_set{false};
    while (!never_set.load()) spin_pause();
  });
  EXPECT_TRUE(outcome.step_limit);
  EXPECT_EQ(outcome.steps, 1000u);
  EXPECT_THAT(outcome.failure, testing::HasSubstr("fiber 0 'main' at"));
}

// Exploring.

// A program of two threads with `operations` each, and nothing else to be scheduled: "main" is over
// before they begin, and they are joined at the start of the next run. Notes each run's order.
class TwoThreads {
 public:
  explicit TwoThreads(int operations) : operations_(operations) {}
  ~TwoThreads() { join(); }

  void operator()() {
    join();
    order_.clear();
    for (const char name : {'a', 'b'}) {
      threads_.push_back(start("thread", [this, name] {
        Atomic<int> shared{0};
        for (int i = 0; i < operations_; ++i) {
          shared.load();
          order_ += name;
          if (order_.size() == 2 * static_cast<std::size_t>(operations_)) orders_.insert(order_);
        }
      }));
    }
  }

  const std::set<std::string>& orders() const { return orders_; }

 private:
  void join() {
    for (Thread& thread : threads_) thread.join();
    threads_.clear();
  }

  const int operations_;
  std::string order_;
  std::set<std::string> orders_;
  std::vector<Thread> threads_;
};

TEST(Explore, EveryInterleavingOnce) {
  TwoThreads program(3);
  const ExploreResult result =
      explore({.preemptions_max = kPreemptionsUnbounded}, [&] { program(); });
  EXPECT_TRUE(result.complete);
  EXPECT_FALSE(result.bounded);
  EXPECT_EQ(result.runs, 20u);  // 6 over 3
  EXPECT_EQ(program.orders().size(), 20u);
}

TEST(Explore, BoundLimitsPreemptions) {
  for (const auto& [bound, runs] : {std::pair{0u, 2u}, {1u, 6u}, {2u, 14u}, {3u, 18u}, {4u, 20u}}) {
    TwoThreads program(3);
    const ExploreResult result = explore({.preemptions_max = bound}, [&] { program(); });
    EXPECT_TRUE(result.complete);
    EXPECT_EQ(result.runs, runs) << bound;
    EXPECT_EQ(program.orders().size(), runs) << bound;
    EXPECT_EQ(result.bounded, bound < 4) << bound;
  }
}

TEST(Explore, SaysWhenItIsNotComplete) {
  TwoThreads program(3);
  const ExploreResult result =
      explore({.preemptions_max = kPreemptionsUnbounded, .runs_max = 19}, [&] { program(); });
  EXPECT_FALSE(result.complete);
  EXPECT_FALSE(result.failed);
  EXPECT_EQ(result.runs, 19u);
}

TEST(Explore, FindsCounterRaceWithOnePreemption) {
  int counter = 0;
  ExploreOptions options;
  options.failed = [&] { return counter != 2; };
  options.preemptions_max = 0;
  EXPECT_TRUE(explore(options, [&] { counter = add_twice(false); }).complete);
  options.preemptions_max = 1;
  EXPECT_TRUE(explore(options, [&] { counter = add_twice(false); }).failed);
  EXPECT_TRUE(explore(options, [&] { counter = add_twice(true); }).complete);
}

TEST(Explore, ProvesWakeUpIsNotLost) {
  const ExploreOptions options{.preemptions_max = kPreemptionsUnbounded};
  EXPECT_TRUE(explore(options, [] { wait_for_flag(false); }).last.deadlock);
  const ExploreResult result = explore(options, [] { wait_for_flag(true); });
  EXPECT_TRUE(result.complete) << result.last.failure;
}

TEST(Explore, SpinningIsFinite) {
  const ExploreResult result = explore({}, [] {
    Atomic<int> ready{0};
    const auto spin_until = [&ready](int value) {
      while (ready.load() < value) spin_pause();
    };
    Thread a = start("a", [&] { spin_until(2); });
    Thread b = start("b", [&] { spin_until(2); });
    ready.fetch_add(1);
    ready.fetch_add(1);
    a.join();
    b.join();
  });
  EXPECT_TRUE(result.complete) << result.last.failure;
}

// The seam's types, in the simulation.

SIM_TEST(SimSeam, SpinnersLetOthersRun) {
  Atomic<int> turn{0};
  std::vector<Thread> threads;
  for (int i = 3; i >= 0; --i) {
    threads.push_back(start("spinner", [&turn, i] {
      while (turn.load() != i) spin_pause();
      turn.store(i + 1);
    }));
  }
  for (Thread& thread : threads) thread.join();
  EXPECT_EQ(turn.load(), 4);
}

SIM_TEST(SimSeam, SpinnerOutlastsSleeper) {
  Atomic<bool> set{false};
  Thread sleeper = start("sleeper", [&] {
    Parker parker;
    EXPECT_EQ(parker.park_until({deadline_after(hours(1))}), WaitStatus::kTimedOut);
    set.store(true);
  });
  while (!set.load()) spin_pause();
  sleeper.join();
}

SIM_TEST(SimSeam, MutexExcludes) {
  Mutex mutex;
  int inside = 0;
  Atomic<int> steps{0};
  const auto enter = [&] {
    MutexLock lock(mutex);
    EXPECT_EQ(++inside, 1);
    steps.fetch_add(1);
    --inside;
  };
  Thread a = start("a", enter);
  Thread b = start("b", [&] {
    if (!mutex.try_lock()) return;
    EXPECT_EQ(++inside, 1);
    steps.fetch_add(1);
    --inside;
    mutex.unlock();
  });
  enter();
  a.join();
  b.join();
}

SIM_TEST(SimSeam, ConditionHandsOver) {
  struct {
    Mutex mutex;
    Condition changed;
    int items GUARDED_BY(mutex) = 0;
    int taken GUARDED_BY(mutex) = 0;
  } queue;
  const auto take = [&queue] {
    for (int i = 0; i < 2; ++i) {
      MutexLock lock(queue.mutex);
      while (queue.items == 0) queue.changed.wait(queue.mutex);
      --queue.items;
      ++queue.taken;
    }
  };
  Thread a = start("a", take);
  Thread b = start("b", take);
  for (int i = 0; i < 4; ++i) {
    MutexLock lock(queue.mutex);
    ++queue.items;
    queue.changed.notify_one();
  }
  a.join();
  b.join();
  MutexLock lock(queue.mutex);
  EXPECT_EQ(queue.taken, 4);
}

SIM_TEST(SimSeam, ConditionTimesOut) {
  Mutex mutex;
  Condition never_notified;
  const Clock::time_point deadline = deadline_after(seconds(1));
  MutexLock lock(mutex);
  while (never_notified.wait_until(mutex, deadline)) {
  }
  EXPECT_EQ(Clock::now(), deadline);
}

SIM_TEST(SimSeam, ClockJumpsToDeadlinesInOrder) {
  const Clock::time_point begin = Clock::now();
  std::vector<int> woken;
  std::vector<Thread> threads;
  for (const int hour : {3, 1, 2}) {
    threads.push_back(start("sleeper", [&woken, begin, hour] {
      Parker parker;
      EXPECT_EQ(parker.park_until({begin + hours(hour)}), WaitStatus::kTimedOut);
      EXPECT_EQ(Clock::now(), begin + hours(hour));
      woken.push_back(hour);
    }));
  }
  // As long as somebody can run it stands still.
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Clock::now(), begin);
  for (Thread& thread : threads) thread.join();
  EXPECT_EQ(woken, (std::vector<int>{1, 2, 3}));
}

TEST(SimSeam, EarlyDeadlinesLetTimeOutMeetWakeUp) {
  std::set<WaitStatus> ends;
  const auto body = [&ends](bool early) {
    if (early) allow_early_deadlines();
    Parker parker;
    Thread waker = start("waker", [&parker] { parker.unpark(); });
    ends.insert(parker.park_until({deadline_after(hours(1))}));
    waker.join();
  };
  EXPECT_EQ(count_bad(
                {}, 100, [&] { body(false); }, never),
            0u);
  EXPECT_EQ(ends, (std::set{WaitStatus::kReady}));
  EXPECT_EQ(count_bad(
                {}, 100, [&] { body(true); }, never),
            0u);
  EXPECT_EQ(ends, (std::set{WaitStatus::kReady, WaitStatus::kTimedOut}));
  ends.clear();
  EXPECT_TRUE(explore({}, [&] { body(true); }).complete);
  EXPECT_EQ(ends, (std::set{WaitStatus::kReady, WaitStatus::kTimedOut}));
}

SIM_EXPLORE(SimSeam, StopInterruptsOrComesLate, kPreemptionsUnbounded) {
  Parker parker;
  std::stop_source stop;
  Thread stopper = start("stopper", [&stop] {
    yield_thread();
    stop.request_stop();
  });
  Thread waker = start("waker", [&parker] { parker.unpark(); });
  const WaitStatus status = parker.park_until({Clock::kNever, stop.get_token()});
  waker.join();
  stopper.join();
  if (status == WaitStatus::kReady) {
    EXPECT_EQ(parker.park_until({Clock::now(), {}}), WaitStatus::kTimedOut);
  } else {
    // The permit that the interrupted wait did not take is still there.
    EXPECT_EQ(status, WaitStatus::kInterrupted);
    EXPECT_EQ(parker.park_until({Clock::now(), stop.get_token()}), WaitStatus::kReady);
  }
}

SIM_TEST(SimSeam, PermitsDoNotAddUp) {
  Parker parker;
  parker.unpark();
  parker.unpark();
  parker.park();
  EXPECT_EQ(parker.park_until({Clock::now(), {}}), WaitStatus::kTimedOut);
}

int locals_alive = 0;
struct Local {
  Local() { ++locals_alive; }
  ~Local() { --locals_alive; }
  int value = 0;
};
struct LocalTag {};
struct OtherTag {};

SIM_TEST(SimSeam, ThreadLocalsArePerFiber) {
  const int before = locals_alive;
  const auto count = [] {
    using Mine = ThreadLocal<Local, LocalTag>;
    for (int i = 1; i <= 3; ++i) {
      yield_thread();
      EXPECT_EQ(++Mine::get().value, i);
    }
    EXPECT_EQ((ThreadLocal<Local, OtherTag>::get().value), 0);
  };
  Thread a = start("a", count);
  Thread b = start("b", count);
  a.join();
  b.join();
  EXPECT_EQ(locals_alive, before);
}

TEST(SimSeam, RandomNumbersComeFromTheSeed) {
  const auto draw = [](std::uint64_t seed) {
    std::uint64_t drawn = 0;
    EXPECT_TRUE(run({.seed = seed}, [&drawn] { drawn = random_u64(); }).ok());
    return drawn;
  };
  EXPECT_EQ(draw(1), draw(1));
  EXPECT_NE(draw(1), draw(2));
}

TEST(SimSeam, WeakCompareExchangeFailsForNoReasonSometimes) {
  bool exchanged = false;
  const auto exchange = [&exchanged] {
    Atomic<int> value{1};
    int expected = 1;
    exchanged = value.compare_exchange_weak(expected, 2);
    EXPECT_EQ(expected, 1);
  };
  const unsigned failed = count_bad({}, 100, exchange, [&] { return !exchanged; });
  EXPECT_GT(failed, 0u);
  EXPECT_LT(failed, 100u);
}

// Exceptions in flight belong to the fiber, as they would to its thread.
SIM_TEST(SimSeam, ExceptionsStayWithTheirFiber) {
  const auto fail = [](const char* what) {
    try {
      throw std::runtime_error(what);
    } catch (const std::exception&) {
      yield_thread();
      try {
        throw;
      } catch (const std::exception& same) {
        EXPECT_STREQ(same.what(), what);
      }
    }
  };
  Thread a = start("a", [&] { fail("first"); });
  Thread b = start("b", [&] { fail("second"); });
  a.join();
  b.join();
}

TEST(SimSeam, OperationsWorkOutsideRuns) {
  Atomic<int> value{1};
  EXPECT_EQ(value.fetch_add(2), 1);
  int expected = 3;
  EXPECT_TRUE(value.compare_exchange_weak(expected, 4));
  Mutex mutex;
  MutexLock lock(mutex);
  EXPECT_FALSE(mutex.try_lock());
  Parker parker;
  parker.unpark();
  parker.park();
  EXPECT_EQ(parker.park_until({Clock::now(), {}}), WaitStatus::kTimedOut);
  alignas(Atomic<std::uint64_t>) unsigned char memory[sizeof(Atomic<std::uint64_t>)];
  std::memset(memory, 0xff, sizeof memory);
  const auto* const zero = new (memory) Atomic<std::uint64_t>();
  EXPECT_EQ(zero->load(), 0u);
}

}  // namespace
}  // namespace quire::sync::sim
