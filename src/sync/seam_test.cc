// The seam in normal builds: that it is the standard library's types, and that what it adds keeps
// its word. Threads are held at chosen places by the Parker's own state word, never by time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <type_traits>

#include "sync/atomic.h"
#include "sync/check.h"
#include "sync/clock.h"
#include "sync/condition.h"
#include "sync/mutex.h"
#include "sync/parker.h"
#include "sync/random.h"
#include "sync/thread.h"
#include "sync/thread_local.h"
#include "sync/wait.h"

namespace quire::sync {

struct ParkerPeer {
  // Waits until the owner has announced that it sleeps: an unpark() from now on must wake it.
  static void await_sleeper(const Parker& parker) {
    while ((parker.core_.state.load() & decltype(parker.core_)::kSleeping) == 0) yield_thread();
  }
  // Wakes a thread that sleeps on the futex, as the kernel may at any time. False: nobody sleeps.
  static bool wake_for_no_reason(const Parker& parker) {
    return syscall(SYS_futex, &parker.core_.state, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, nullptr,
                   nullptr, 0) == 1;
  }
};

namespace {

using std::chrono::milliseconds;

// It costs nothing: these are the same types, or nothing but them.
static_assert(std::is_same_v<Atomic<std::uint64_t>, std::atomic<std::uint64_t>>);
static_assert(std::is_same_v<Atomic<void*>, std::atomic<void*>>);
static_assert(std::is_same_v<RawMutex, std::mutex>);
static_assert(sizeof(Mutex) == sizeof(std::mutex));
static_assert(sizeof(Condition) == sizeof(std::condition_variable));
static_assert(sizeof(Parker) == sizeof(std::uint32_t));
static_assert(sizeof(MutexLock) == sizeof(std::unique_lock<std::mutex>));

constexpr int kRounds = 300;

Thread start(const char* name, std::function<void()> body) {
  return std::move(Thread::start(name, std::move(body)).value());
}

WaitLimit passed() {
  return {Clock::time_point::min(), {}};
}

// Invariant 1.
TEST(Parker, PermitIsRememberedOnce) {
  Parker parker;
  parker.unpark();
  parker.unpark();
  parker.park();
  EXPECT_EQ(parker.park_until(passed()), WaitStatus::kTimedOut);
  parker.unpark();
  EXPECT_EQ(parker.park_until({}), WaitStatus::kReady);
}

TEST(Parker, UnparkWakesSleeper) {
  for (int i = 0; i < 100; ++i) {
    Parker parker;
    Thread owner = start("owner", [&parker] { parker.park(); });
    ParkerPeer::await_sleeper(parker);
    parker.unpark();
    owner.join();
  }
}

// Invariant 2.
TEST(Parker, FutexWakeIsNoPermit) {
  Parker parker;
  Atomic<bool> returned{false};
  Thread owner = start("owner", [&] {
    parker.park();
    returned.store(true);
  });
  // A second wake finds a sleeper only if the first one sent it back to sleep.
  for (int woken = 0; woken < 10 && !returned.load();) {
    if (ParkerPeer::wake_for_no_reason(parker)) {
      ++woken;
    } else {
      yield_thread();
    }
  }
  EXPECT_FALSE(returned.load());
  parker.unpark();
  owner.join();
}

// Invariant 3.
TEST(Parker, TimeOutTakesNoPermit) {
  Parker parker;
  const WaitLimit limit{deadline_after(milliseconds(1)), {}};
  EXPECT_EQ(parker.park_until(limit), WaitStatus::kTimedOut);
  EXPECT_GE(Clock::now(), limit.deadline);
  parker.unpark();
  EXPECT_EQ(parker.park_until(limit), WaitStatus::kReady);
  EXPECT_EQ(parker.park_until(limit), WaitStatus::kTimedOut);
}

TEST(Parker, StopTakesNoPermitAndMakesNone) {
  Parker parker;
  std::stop_source stop;
  Thread owner = start("owner", [&] {
    EXPECT_EQ(parker.park_until({Clock::kNever, stop.get_token()}), WaitStatus::kInterrupted);
    // There is no permit, and without the stop token nothing is left of the interruption.
    EXPECT_EQ(parker.park_until(passed()), WaitStatus::kTimedOut);
    parker.unpark();
    EXPECT_EQ(parker.park_until({Clock::kNever, stop.get_token()}), WaitStatus::kReady);
  });
  ParkerPeer::await_sleeper(parker);
  stop.request_stop();
  owner.join();
}

TEST(Parker, PermitWinsOverStopAndDeadline) {
  Parker parker;
  std::stop_source stop;
  stop.request_stop();
  const WaitLimit limit{Clock::time_point::min(), stop.get_token()};
  EXPECT_EQ(parker.park_until(limit), WaitStatus::kInterrupted);
  parker.unpark();
  EXPECT_EQ(parker.park_until(limit), WaitStatus::kReady);
  EXPECT_EQ(parker.park_until(limit), WaitStatus::kInterrupted);
}

TEST(Parker, StopAndUnparkTogether) {
  int interrupted = 0;
  for (int i = 0; i < kRounds; ++i) {
    Parker parker;
    std::stop_source stop;
    Atomic<bool> go{false};
    WaitStatus first = WaitStatus::kTimedOut;
    WaitStatus second = WaitStatus::kTimedOut;
    Thread owner = start("owner", [&] {
      go.store(true);
      first = parker.park_until({Clock::kNever, stop.get_token()});
      if (first == WaitStatus::kInterrupted) parker.park();
      second = parker.park_until(passed());
    });
    if (i % 2 == 0) {
      ParkerPeer::await_sleeper(parker);
    } else {
      while (!go.load()) spin_pause();
    }
    stop.request_stop();
    parker.unpark();
    owner.join();
    // However they met, one permit was made and one taken.
    ASSERT_TRUE(first == WaitStatus::kReady || first == WaitStatus::kInterrupted);
    ASSERT_EQ(second, WaitStatus::kTimedOut);
    interrupted += first == WaitStatus::kInterrupted;
  }
  EXPECT_GT(interrupted, 0);
}

// Invariant 4; ThreadSanitizer sees it when it does not hold.
TEST(Parker, WhatTheWakerDidIsVisible) {
  for (int i = 0; i < kRounds; ++i) {
    Parker parker;
    int written = 0;
    Thread waker = start("waker", [&] {
      written = 1;
      parker.unpark();
    });
    parker.park();
    EXPECT_EQ(written, 1);
    waker.join();
  }
}

// Invariant 5; the sanitizers see it when it does not hold.
TEST(Parker, OwnerMayDestroyOnceReady) {
  for (int i = 0; i < kRounds; ++i) {
    auto parker = std::make_unique<Parker>();
    Thread waker = start("waker", [published = parker.get(), sleeping = i % 2 == 0] {
      if (sleeping) ParkerPeer::await_sleeper(*published);
      published->unpark();
    });
    parker->park();
    parker.reset();
    waker.join();
  }
}

TEST(WaitStatus, MapsToErrors) {
  EXPECT_FALSE(to_error(WaitStatus::kReady));
  EXPECT_EQ(to_error(WaitStatus::kTimedOut), Errc::kTimedOut);
  EXPECT_EQ(to_error(WaitStatus::kInterrupted), Errc::kInterrupted);
}

TEST(Mutex, LockMayBeGivenUpAndTakenAgain) {
  Mutex mutex;
  const auto free_elsewhere = [&mutex] {
    bool got = false;
    Thread other = start("other", [&] {
      if (!mutex.try_lock()) return;
      got = true;
      mutex.unlock();
    });
    other.join();
    return got;
  };
  {
    MutexLock lock(mutex);
    EXPECT_FALSE(free_elsewhere());
    lock.unlock();
    EXPECT_TRUE(free_elsewhere());
    lock.lock();
    EXPECT_FALSE(free_elsewhere());
  }
  EXPECT_TRUE(free_elsewhere());
}

TEST(Condition, NotificationEndsWait) {
  struct {
    Mutex mutex;
    Condition changed;
    int turn GUARDED_BY(mutex) = 0;
  } table;
  const auto play = [&table](int mine) {
    for (int i = 0; i < 100; ++i) {
      MutexLock lock(table.mutex);
      while (table.turn != mine) table.changed.wait(table.mutex);
      table.turn = 1 - mine;
      table.changed.notify_all();
    }
  };
  Thread a = start("a", [&] { play(0); });
  Thread b = start("b", [&] { play(1); });
  a.join();
  b.join();
}

TEST(Condition, WaitEndsAtDeadline) {
  Mutex mutex;
  Condition never_notified;
  MutexLock lock(mutex);
  EXPECT_FALSE(never_notified.wait_until(mutex, Clock::now()));
  const Clock::time_point deadline = deadline_after(milliseconds(1));
  while (never_notified.wait_until(mutex, deadline)) {
  }
  EXPECT_GE(Clock::now(), deadline);
}

TEST(Condition, NeverIsNoDeadline) {
  struct {
    Mutex mutex;
    Condition changed;
    bool set GUARDED_BY(mutex) = false;
  } flag;
  MutexLock lock(flag.mutex);
  Thread setter = start("setter", [&flag] {
    MutexLock inner(flag.mutex);
    flag.set = true;
    flag.changed.notify_one();
  });
  while (!flag.set) EXPECT_TRUE(flag.changed.wait_until(flag.mutex, Clock::kNever));
  lock.unlock();
  setter.join();
}

TEST(Thread, HasItsNameAndBlocksSignals) {
  std::array<char, 16> name{};
  sigset_t blocked;
  sigemptyset(&blocked);
  Thread thread = start("quire-fifteen-c", [&] {
    pthread_getname_np(pthread_self(), name.data(), name.size());
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  });
  EXPECT_TRUE(thread.joinable());
  thread.join();
  EXPECT_FALSE(thread.joinable());
  EXPECT_STREQ(name.data(), "quire-fifteen-c");
  for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGALRM, SIGPIPE, SIGCHLD}) {
    EXPECT_EQ(sigismember(&blocked, number), 1) << number;
  }
  // The starter's own mask is as it was.
  sigset_t own;
  pthread_sigmask(SIG_SETMASK, nullptr, &own);
  EXPECT_EQ(sigismember(&own, SIGTERM), 0);
}

TEST(Thread, Moves) {
  Atomic<int> ran{0};
  Thread first = start("moved", [&ran] { ran.fetch_add(1); });
  Thread second = std::move(first);
  EXPECT_TRUE(second.joinable());
  second.join();
  second = start("again", [&ran] { ran.fetch_add(1); });
  second.join();
  EXPECT_EQ(ran.load(), 2);
}

// A stack that no address space holds makes the system refuse, as it does when it has too many
// threads.
TEST(Thread, RefusalIsAnError) {
  pthread_attr_t usual;
  ASSERT_EQ(pthread_getattr_default_np(&usual), 0);
  pthread_attr_t huge;
  ASSERT_EQ(pthread_getattr_default_np(&huge), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&huge, std::size_t{1} << 62), 0);
  ASSERT_EQ(pthread_setattr_default_np(&huge), 0);
  const Result<Thread> refused = Thread::start("refused", [] { FAIL(); });
  ASSERT_EQ(pthread_setattr_default_np(&usual), 0);
  pthread_attr_destroy(&usual);
  pthread_attr_destroy(&huge);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.code(), std::errc::resource_unavailable_try_again);
  EXPECT_THAT(refused.error().context, testing::HasSubstr("refused"));
  sigset_t own;
  pthread_sigmask(SIG_SETMASK, nullptr, &own);
  EXPECT_EQ(sigismember(&own, SIGTERM), 0);
}

struct Counted {
  static inline Atomic<int> alive{0};
  Counted() { alive.fetch_add(1); }
  ~Counted() { alive.fetch_sub(1); }
  int value = 0;
};
struct OneTag {};
struct OtherTag {};

TEST(ThreadLocal, OnePerThreadAndTag) {
  using One = ThreadLocal<Counted, OneTag>;
  One::get().value = 7;
  EXPECT_EQ((ThreadLocal<Counted, OtherTag>::get().value), 0);
  const int before = Counted::alive.load();
  Thread other = start("other", [before] {
    EXPECT_EQ(One::get().value, 0);
    EXPECT_EQ(Counted::alive.load(), before + 1);
  });
  other.join();
  EXPECT_EQ(Counted::alive.load(), before);
  EXPECT_EQ(One::get().value, 7);
}

TEST(Clock, DeadlinesDoNotOverflow) {
  EXPECT_EQ(deadline_after(Clock::duration::max()), Clock::kNever);
  EXPECT_LE(deadline_after(Clock::duration::min()), Clock::now());
  const Clock::time_point before = Clock::now();
  EXPECT_GE(deadline_after(milliseconds(5)), before + milliseconds(5));
}

TEST(Clock, WallIsTheKernelsTick) {
  const auto coarse = [] {
    timespec time = {};
    clock_gettime(CLOCK_REALTIME_COARSE, &time);
    return TimeSpec{time.tv_sec, static_cast<std::uint32_t>(time.tv_nsec)};
  };
  const TimeSpec before = coarse();
  const TimeSpec now = Clock::wall();
  const TimeSpec after = coarse();
  EXPECT_LE(before, now);
  EXPECT_LE(now, after);
}

TEST(Random, NumbersDifferBetweenCallsAndThreads) {
  std::set<std::uint64_t> drawn;
  for (int i = 0; i < 100; ++i) drawn.insert(random_u64());
  Thread other = start("other", [&drawn] {
    for (int i = 0; i < 100; ++i) drawn.insert(random_u64());
  });
  other.join();
  EXPECT_EQ(drawn.size(), 200u);
}

TEST(CheckDeathTest, FailureNamesPlaceAndExpression) {
  EXPECT_DEATH(QUIRE_CHECK(2 + 2 == 5), "seam_test.cc:[0-9]+: check failed: 2 \\+ 2 == 5");
}

TEST(CheckDeathTest, ThreadMustBeJoined) {
  EXPECT_DEATH({ Thread forgotten = start("forgotten", [] {}); }, "check failed: !joinable\\(\\)");
}

}  // namespace
}  // namespace quire::sync
