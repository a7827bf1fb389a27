#include "sync/range_lock.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <list>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "sync/atomic.h"
#include "sync/thread.h"

namespace quire::sync {
namespace {

constexpr RangeMode kShared = RangeMode::kShared;
constexpr RangeMode kExclusive = RangeMode::kExclusive;
constexpr std::uint64_t kEnd = std::numeric_limits<std::uint64_t>::max();

// A request that does not sleep. Belongs to no thread, so that one test thread can play many.
class Request final : public Waker {
 public:
  explicit Request(std::function<void()> on_grant = {}) : on_grant_(std::move(on_grant)) {}

  void wake() noexcept override {
    ++grants;
    if (on_grant_) on_grant_();
  }

  // True: locked at once.
  bool enqueue(RangeLock& lock, std::uint64_t first, std::uint64_t last, RangeMode mode) {
    return lock.enqueue(hold, first, last, mode, *this);
  }

  RangeLock::Hold hold;
  int grants = 0;

 private:
  std::function<void()> on_grant_;
};

Thread start_thread(std::function<void()> body) {
  return std::move(Thread::start("range_test", std::move(body))).value();
}

void await_waiting(const RangeLock& lock, std::size_t count) {
  while (lock.waiting_count() != count) yield_thread();
}

WaitLimit passed_deadline() {
  return {.deadline = Clock::time_point::min(), .stop = {}};
}

// True if [first, last] could be locked right now; locks nothing.
bool is_free(RangeLock& lock, std::uint64_t first, std::uint64_t last, RangeMode mode) {
  RangeLock::Hold hold;
  if (!lock.try_lock(hold, first, last, mode)) return false;
  lock.unlock(hold);
  return true;
}

TEST(RangeLockTest, ConflictNeedsACommonNumberAndAnExclusive) {
  RangeLock lock;
  Request held;
  ASSERT_TRUE(held.enqueue(lock, 10, 20, kExclusive));
  EXPECT_TRUE(is_free(lock, 0, 9, kExclusive));
  EXPECT_TRUE(is_free(lock, 21, kEnd, kExclusive));
  EXPECT_FALSE(is_free(lock, 0, 10, kExclusive));
  EXPECT_FALSE(is_free(lock, 20, 20, kExclusive));
  EXPECT_FALSE(is_free(lock, 20, kEnd, kShared));
  EXPECT_FALSE(is_free(lock, 15, 15, kShared));
  EXPECT_FALSE(is_free(lock, 0, kEnd, kExclusive));
  lock.unlock(held.hold);

  ASSERT_TRUE(held.enqueue(lock, 10, 20, kShared));
  EXPECT_TRUE(is_free(lock, 15, 30, kShared));
  EXPECT_FALSE(is_free(lock, 15, 30, kExclusive));
  EXPECT_EQ(lock.holders_count(), 1u);
  lock.unlock(held.hold);
  EXPECT_TRUE(is_free(lock, 0, kEnd, kExclusive));
}

TEST(RangeLockTest, RangesReachTheLastNumber) {
  RangeLock lock;
  Request tail;
  ASSERT_TRUE(tail.enqueue(lock, kEnd, kEnd, kExclusive));
  EXPECT_FALSE(is_free(lock, 0, kEnd, kShared));
  EXPECT_TRUE(is_free(lock, 0, kEnd - 1, kExclusive));
  lock.unlock(tail.hold);
}

TEST(RangeLockTest, NewcomerQueuesBehindAWaiterItConflictsWith) {
  RangeLock lock;
  Request held, waiter, newcomer, bystander;
  ASSERT_TRUE(held.enqueue(lock, 0, 9, kShared));
  ASSERT_FALSE(waiter.enqueue(lock, 5, 19, kExclusive));
  EXPECT_FALSE(is_free(lock, 0, 5, kShared));    // would suit the holder, but not the waiter
  EXPECT_FALSE(is_free(lock, 15, 15, kShared));  // nobody holds it, but somebody was first
  ASSERT_FALSE(newcomer.enqueue(lock, 0, 9, kShared));
  EXPECT_TRUE(bystander.enqueue(lock, 20, 30, kExclusive));  // conflicts with nobody
  EXPECT_EQ(lock.waiting_count(), 2u);
  EXPECT_EQ(lock.holders_count(), 2u);

  lock.unlock(held.hold);
  EXPECT_EQ(waiter.grants, 1);
  EXPECT_EQ(newcomer.grants, 0);
  lock.unlock(waiter.hold);
  EXPECT_EQ(newcomer.grants, 1);
  lock.unlock(newcomer.hold);
  lock.unlock(bystander.hold);
}

TEST(RangeLockTest, WaiterNeedsAllThatCameBeforeToBeDone) {
  RangeLock lock;
  Request left, right, both;
  ASSERT_TRUE(left.enqueue(lock, 0, 9, kExclusive));
  ASSERT_TRUE(right.enqueue(lock, 10, 19, kShared));
  ASSERT_FALSE(both.enqueue(lock, 9, 10, kExclusive));
  lock.unlock(right.hold);
  EXPECT_EQ(both.grants, 0);
  lock.unlock(left.hold);
  EXPECT_EQ(both.grants, 1);
  lock.unlock(both.hold);
}

// No convoy: one unlock grants everybody who waits for nothing else, however many they are.
TEST(RangeLockTest, UnlockGrantsTogetherWhatRunsTogether) {
  RangeLock lock;
  Request cut;
  ASSERT_TRUE(cut.enqueue(lock, 0, kEnd, kExclusive));
  std::array<Request, 50> readers;
  std::array<Request, 50> writers;
  for (Request& reader : readers) ASSERT_FALSE(reader.enqueue(lock, 0, 999, kShared));
  std::uint64_t at = 1000;
  for (Request& writer : writers) {
    ASSERT_FALSE(writer.enqueue(lock, at, at + 9, kExclusive));
    at += 10;
  }
  lock.unlock(cut.hold);
  for (Request& reader : readers) EXPECT_EQ(reader.grants, 1);
  for (Request& writer : writers) EXPECT_EQ(writer.grants, 1);
  EXPECT_EQ(lock.waiting_count(), 0u);
  for (Request& reader : readers) lock.unlock(reader.hold);
  for (Request& writer : writers) lock.unlock(writer.hold);
}

// The bound: in rounds in which every holder unlocks, a request is granted after as many rounds as
// the longest chain of conflicts before it, whatever else stands in the queue.
TEST(RangeLockTest, WaitsAsLongAsTheLongestChainBeforeIt) {
  for (unsigned seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    RangeLock lock;
    struct Entry {
      Request request;
      int chain = 0;
      bool done = false;
    };
    std::list<Entry> entries;
    for (int i = 0; i < 40; ++i) {
      const std::uint64_t first = random() % 100;
      const std::uint64_t last = first + random() % 30;
      const RangeMode mode = random() % 3 == 0 ? kShared : kExclusive;
      int chain = 0;
      for (const Entry& before : entries) {
        const RangeLock::Hold& other = before.request.hold;
        if (first <= other.last() && other.first() <= last &&
            (mode == kExclusive || other.mode() == kExclusive)) {
          chain = std::max(chain, before.chain + 1);
        }
      }
      Entry& entry = entries.emplace_back();
      entry.chain = chain;
      ASSERT_EQ(entry.request.enqueue(lock, first, last, mode), chain == 0);
    }
    for (int round = 0; lock.holders_count() != 0; ++round) {
      std::vector<Entry*> holders;
      for (Entry& entry : entries) {
        if (entry.done) continue;
        const bool in = entry.chain == 0 || entry.request.grants == 1;
        ASSERT_EQ(in, entry.chain <= round);
        if (in) holders.push_back(&entry);
      }
      for (Entry* entry : holders) {
        entry->done = true;
        lock.unlock(entry->request.hold);
      }
    }
    EXPECT_EQ(lock.waiting_count(), 0u);
  }
}

// --- Starvation, beside a lock that has it -----------------------------------------------------

// Ranges by trying again: whoever conflicts with a holder has to come back.
class TryAgainRanges {
 public:
  bool try_lock(std::uint64_t first, std::uint64_t last) {
    for (const auto& [from, to] : held_) {
      if (first <= to && from <= last) return false;
    }
    held_.emplace_back(first, last);
    return true;
  }
  void unlock(std::uint64_t first) {
    std::erase_if(held_, [&](const auto& range) { return range.first == first; });
  }

 private:
  std::vector<std::pair<std::uint64_t, std::uint64_t>> held_;
};

constexpr std::uint64_t kScheduleSteps = 1000;

// Small writes, each begun before the one before it ends, hold a truncate off for ever.
TEST(RangeLockTest, TryingAgainStarvesATruncate) {
  TryAgainRanges naive;
  ASSERT_TRUE(naive.try_lock(0, 9));
  for (std::uint64_t step = 1; step <= kScheduleSteps; ++step) {
    ASSERT_TRUE(naive.try_lock(step * 10, step * 10 + 9));
    naive.unlock((step - 1) * 10);
    ASSERT_FALSE(naive.try_lock(0, kEnd));
  }
}

TEST(RangeLockTest, DoesNotStarveATruncate) {
  RangeLock lock;
  std::deque<Request> writes;
  ASSERT_TRUE(writes.emplace_back().enqueue(lock, 0, 9, kExclusive));
  Request truncate;
  ASSERT_FALSE(truncate.enqueue(lock, 0, kEnd, kExclusive));
  for (std::uint64_t step = 1; step <= kScheduleSteps && truncate.grants == 0; ++step) {
    Request& previous = writes.back();
    EXPECT_FALSE(writes.emplace_back().enqueue(lock, step * 10, step * 10 + 9, kExclusive));
    lock.unlock(previous.hold);
  }
  EXPECT_EQ(truncate.grants, 1);
  EXPECT_EQ(writes.size(), 2u);  // granted at the first step
  lock.unlock(truncate.hold);
  EXPECT_EQ(writes.back().grants, 1);
  lock.unlock(writes.back().hold);
}

// --- Giving up ---------------------------------------------------------------------------------

TEST(RangeLockTest, TimedOutLockLeavesNoTrace) {
  RangeLock lock;
  Request held;
  ASSERT_TRUE(held.enqueue(lock, 0, 9, kShared));
  {
    RangeLock::Hold hold;
    EXPECT_EQ(lock.lock(hold, 0, 9, kExclusive, passed_deadline()), WaitStatus::kTimedOut);
  }
  EXPECT_EQ(lock.waiting_count(), 0u);
  EXPECT_TRUE(is_free(lock, 0, 9, kShared));
  lock.unlock(held.hold);
}

TEST(RangeLockTest, FreeRangeWinsOverAPassedDeadline) {
  RangeLock lock;
  RangeLock::Hold hold;
  ASSERT_EQ(lock.lock(hold, 0, 9, kExclusive, passed_deadline()), WaitStatus::kReady);
  lock.unlock(hold);
}

TEST(RangeLockTest, FailedTryLeavesTheHoldIdle) {
  RangeLock lock;
  Request held;
  ASSERT_TRUE(held.enqueue(lock, 0, 9, kExclusive));
  RangeLock::Hold hold;
  EXPECT_FALSE(lock.try_lock(hold, 9, 10, kShared));
  EXPECT_FALSE(lock.cancel(hold));
  EXPECT_TRUE(lock.try_lock(hold, 10, 10, kShared));
  lock.unlock(hold);
  lock.unlock(held.hold);
}

TEST(RangeLockTest, GiveUpAdmitsThoseWhoQueuedBehindIt) {
  RangeLock lock;
  Request held, waiter, same, apart, blocked;
  ASSERT_TRUE(held.enqueue(lock, 0, 9, kShared));
  ASSERT_FALSE(waiter.enqueue(lock, 0, 19, kExclusive));
  ASSERT_FALSE(same.enqueue(lock, 5, 9, kShared));
  ASSERT_FALSE(apart.enqueue(lock, 10, 19, kExclusive));
  ASSERT_FALSE(blocked.enqueue(lock, 9, 10, kExclusive));
  EXPECT_TRUE(lock.cancel(waiter.hold));
  EXPECT_EQ(waiter.grants, 0);
  EXPECT_EQ(same.grants, 1);
  EXPECT_EQ(apart.grants, 1);
  EXPECT_EQ(blocked.grants, 0);
  lock.unlock(same.hold);
  lock.unlock(apart.hold);
  EXPECT_EQ(blocked.grants, 0);
  lock.unlock(held.hold);
  EXPECT_EQ(blocked.grants, 1);
  lock.unlock(blocked.hold);
}

TEST(RangeLockTest, CancelAfterTheGrantIsRefused) {
  RangeLock lock;
  Request held, waiter;
  ASSERT_TRUE(held.enqueue(lock, 0, 9, kExclusive));
  EXPECT_FALSE(lock.cancel(held.hold));
  ASSERT_FALSE(waiter.enqueue(lock, 0, 9, kExclusive));
  lock.unlock(held.hold);
  EXPECT_FALSE(lock.cancel(waiter.hold));
  EXPECT_EQ(waiter.grants, 1);
  EXPECT_FALSE(is_free(lock, 0, 0, kShared));
  lock.unlock(waiter.hold);
}

// Between the two steps of a grant: locked, not yet told.
TEST(RangeLockTest, CancelBetweenTheGrantAndItsCallbackIsRefused) {
  RangeLock lock;
  Request held, second;
  bool cancelled = true;
  Request first([&] {
    EXPECT_EQ(second.grants, 0);
    cancelled = lock.cancel(second.hold);
  });
  ASSERT_TRUE(held.enqueue(lock, 0, 9, kExclusive));
  ASSERT_FALSE(first.enqueue(lock, 0, 4, kExclusive));
  ASSERT_FALSE(second.enqueue(lock, 5, 9, kExclusive));
  lock.unlock(held.hold);
  EXPECT_FALSE(cancelled);
  EXPECT_EQ(second.grants, 1);
  lock.unlock(first.hold);
  lock.unlock(second.hold);
}

TEST(RangeLockTest, StopRequestEndsTheWait) {
  RangeLock lock;
  Request held, behind;
  ASSERT_TRUE(held.enqueue(lock, 0, 9, kShared));
  std::stop_source stop;
  WaitStatus status = WaitStatus::kReady;
  Thread waiting = start_thread([&] {
    RangeLock::Hold hold;
    status =
        lock.lock(hold, 0, 9, kExclusive, {.deadline = Clock::kNever, .stop = stop.get_token()});
  });
  await_waiting(lock, 1);
  ASSERT_FALSE(behind.enqueue(lock, 0, 9, kShared));
  stop.request_stop();
  waiting.join();
  EXPECT_EQ(status, WaitStatus::kInterrupted);
  EXPECT_EQ(behind.grants, 1);
  lock.unlock(held.hold);
  lock.unlock(behind.hold);
}

// A stop that comes between the two steps of a grant: the thread has the range, and says so.
TEST(RangeLockTest, GrantWinsOverAStopAtTheSameMoment) {
  RangeLock lock;
  std::stop_source stop;
  Request held;
  Request first([&] { stop.request_stop(); });  // told before the thread is
  ASSERT_TRUE(held.enqueue(lock, 0, 9, kExclusive));
  ASSERT_FALSE(first.enqueue(lock, 0, 4, kExclusive));
  WaitStatus status = WaitStatus::kTimedOut;
  Thread second = start_thread([&] {
    RangeLock::Hold hold;
    status =
        lock.lock(hold, 5, 9, kExclusive, {.deadline = Clock::kNever, .stop = stop.get_token()});
    if (status == WaitStatus::kReady) lock.unlock(hold);
  });
  await_waiting(lock, 2);
  lock.unlock(held.hold);
  second.join();
  EXPECT_EQ(status, WaitStatus::kReady);
  lock.unlock(first.hold);
}

// --- Threads -----------------------------------------------------------------------------------

TEST(RangeLockTest, UnlockWakesWhoSleeps) {
  RangeLock lock;
  Request held;
  ASSERT_TRUE(held.enqueue(lock, 0, 9, kExclusive));
  WaitStatus status = WaitStatus::kTimedOut;
  Thread sleeper = start_thread([&] {
    RangeLock::Hold hold;
    status = lock.lock(hold, 9, kEnd, kExclusive);
    const RangeGuard guard(lock, hold);
  });
  await_waiting(lock, 1);
  lock.unlock(held.hold);
  sleeper.join();
  EXPECT_EQ(status, WaitStatus::kReady);
  EXPECT_EQ(lock.holders_count(), 0u);
}

TEST(RangeLockTest, AnotherThreadMayUnlock) {
  RangeLock lock;
  RangeLock::Hold hold;
  Thread submitter = start_thread([&] {
    ASSERT_EQ(lock.lock(hold, 0, 9, kExclusive), WaitStatus::kReady);
    lock.hand_over();
    EXPECT_EQ(lock_rank::held_count(), 0u);
  });
  submitter.join();
  EXPECT_FALSE(is_free(lock, 0, 0, kShared));
  Thread completer = start_thread([&] { lock.unlock(hold); });
  completer.join();
  EXPECT_TRUE(is_free(lock, 0, 9, kExclusive));
}

// The callback may use the lock: it is called under no lock of it.
TEST(RangeLockTest, CallbackMayUseTheLock) {
  RangeLock lock;
  Request held, again;
  Request waiter([&] {
    EXPECT_EQ(lock.waiting_count(), 0u);
    EXPECT_FALSE(again.enqueue(lock, 0, 9, kExclusive));
    lock.unlock(waiter.hold);
  });
  ASSERT_TRUE(held.enqueue(lock, 0, 9, kExclusive));
  ASSERT_FALSE(waiter.enqueue(lock, 0, 9, kExclusive));
  lock.unlock(held.hold);
  EXPECT_EQ(waiter.grants, 1);
  EXPECT_EQ(again.grants, 1);
  lock.unlock(again.hold);
}

// Plain memory under the lock: exclusive holders write it, shared ones read it. What the lock does
// not exclude shows as a torn range, and as a data race under ThreadSanitizer.
TEST(RangeLockThreadsTest, ExclusiveHoldersAreAlone) {
  constexpr int kRounds = 20000;
  constexpr std::size_t kCells = 16;
  RangeLock lock;
  std::array<std::uint32_t, kCells> cells{};
  Atomic<int> torn{0};
  std::vector<Thread> threads;
  for (unsigned number = 1; number <= 4; ++number) {
    threads.push_back(start_thread([&, number] {
      std::mt19937 random(number);
      for (int round = 0; round < kRounds; ++round) {
        std::size_t first = random() % kCells;
        std::size_t last = random() % kCells;
        if (first > last) std::swap(first, last);
        const RangeMode mode = random() % 2 == 0 ? kShared : kExclusive;
        RangeLock::Hold hold;
        const WaitLimit limit =
            random() % 8 == 0 ? WaitLimit{.deadline = Clock::now(), .stop = {}} : WaitLimit{};
        if (lock.lock(hold, first, last, mode, limit) != WaitStatus::kReady) continue;
        const RangeGuard guard(lock, hold);
        if (mode == kExclusive) {
          const std::uint32_t mark = number * kRounds + static_cast<std::uint32_t>(round);
          for (std::size_t i = first; i <= last; ++i) cells[i] = mark;
          for (std::size_t i = first; i <= last; ++i) {
            if (cells[i] != mark) torn.fetch_add(1);
          }
        } else {
          std::uint64_t sums[2] = {0, 0};
          for (std::uint64_t& sum : sums) {
            for (std::size_t i = first; i <= last; ++i) sum += cells[i];
          }
          if (sums[0] != sums[1]) torn.fetch_add(1);
        }
      }
    }));
  }
  for (Thread& thread : threads) thread.join();
  EXPECT_EQ(torn.load(), 0);
  EXPECT_EQ(lock.holders_count() + lock.waiting_count(), 0u);
}

// --- Misuse ------------------------------------------------------------------------------------

TEST(RangeLockDeathTest, UnlockOfAnIdleHoldAborts) {
  EXPECT_DEATH(
      {
        RangeLock lock;
        RangeLock::Hold hold;
        lock.unlock(hold);
      },
      "kHeld");
}

TEST(RangeLockDeathTest, DestroyingAHoldThatIsHeldAborts) {
  EXPECT_DEATH(
      {
        RangeLock lock;
        RangeLock::Hold hold;
        static_cast<void>(lock.try_lock(hold, 0, 1, kShared));
      },
      "kIdle");
}

TEST(RangeLockDeathTest, BackwardRangeAborts) {
  EXPECT_DEATH(
      {
        RangeLock lock;
        RangeLock::Hold hold;
        static_cast<void>(lock.try_lock(hold, 1, 0, kShared));
      },
      "first <= last");
}

}  // namespace
}  // namespace quire::sync
