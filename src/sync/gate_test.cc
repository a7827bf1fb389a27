#include "sync/gate.h"

#include <array>
#include <deque>
#include <functional>
#include <list>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "sync/parker.h"
#include "sync/thread.h"

namespace quire::sync {
namespace {

constexpr GateSide kAdd = GateSide::kAdd;
constexpr GateSide kBlock = GateSide::kBlock;
constexpr std::array<GateSide, 2> kSides = {kAdd, kBlock};

// Counts its grants and may do something when granted. What it enters belongs to no thread, so that
// one test thread can play any number of adders and blockers.
class Waiter final : public Waker, public GateWaiter {
 public:
  explicit Waiter(std::function<void()> on_grant = {})
      : GateWaiter(static_cast<Waker&>(*this)), on_grant_(std::move(on_grant)) {}

  void wake() noexcept override {
    ++grants;
    if (on_grant_) on_grant_();
  }

  int grants = 0;

 private:
  std::function<void()> on_grant_;
};

// As try_enter(), for one of many holders that the test thread plays.
bool try_as_operation(Gate& gate, GateSide side) {
  if (!gate.try_enter(side)) return false;
  gate.hand_over();
  return true;
}

Thread start_thread(std::function<void()> body) {
  return std::move(Thread::start("gate_test", std::move(body))).value();
}

// Until `count` threads or waiters of `side` are in the queue.
void await_waiting(const Gate& gate, GateSide side, std::size_t count) {
  while (gate.waiting_count(side) != count) yield_thread();
}

WaitLimit passed_deadline() {
  return {.deadline = Clock::time_point::min(), .stop = {}};
}

class GateTest : public testing::TestWithParam<GateSide> {
 protected:
  const GateSide ours_ = GetParam();
  const GateSide theirs_ = other_side(ours_);
  Gate gate_;
};

INSTANTIATE_TEST_SUITE_P(Sides, GateTest, testing::ValuesIn(kSides), [](const auto& param_info) {
  return param_info.param == kAdd ? "Add" : "Block";
});

TEST_P(GateTest, SharesWithItsOwnSide) {
  EXPECT_TRUE(try_as_operation(gate_, ours_));
  EXPECT_TRUE(try_as_operation(gate_, ours_));
  EXPECT_EQ(gate_.holders_count(ours_), 2u);
  EXPECT_TRUE(gate_.leave(ours_)) << "another was in";
  EXPECT_FALSE(gate_.leave(ours_));
  EXPECT_EQ(gate_.holders_count(ours_), 0u);
}

TEST_P(GateTest, ExcludesTheOtherSide) {
  ASSERT_TRUE(try_as_operation(gate_, ours_));
  EXPECT_FALSE(try_as_operation(gate_, theirs_));
  EXPECT_EQ(gate_.holders_count(theirs_), 0u);
  gate_.leave(ours_);
  EXPECT_TRUE(try_as_operation(gate_, theirs_));
  EXPECT_FALSE(try_as_operation(gate_, ours_));
  gate_.leave(theirs_);
}

TEST_P(GateTest, NewcomersQueueBehindTheWaitingOtherSide) {
  ASSERT_TRUE(try_as_operation(gate_, ours_));
  Waiter other;
  ASSERT_FALSE(gate_.enqueue(theirs_, other));

  EXPECT_FALSE(try_as_operation(gate_, ours_));
  EXPECT_EQ(gate_.enter(ours_, passed_deadline()), WaitStatus::kTimedOut);
  Waiter newcomer;
  ASSERT_FALSE(gate_.enqueue(ours_, newcomer));

  gate_.leave(ours_);
  EXPECT_EQ(other.grants, 1);
  EXPECT_EQ(newcomer.grants, 0);
  gate_.leave(theirs_);
  EXPECT_EQ(newcomer.grants, 1);
  gate_.leave(ours_);
}

TEST_P(GateTest, AdmitsTheWholeBatchAtOnce) {
  ASSERT_TRUE(try_as_operation(gate_, ours_));
  std::array<Waiter, 3> others;
  std::array<Waiter, 2> newcomers;
  ASSERT_FALSE(gate_.enqueue(theirs_, others[0]));
  ASSERT_FALSE(gate_.enqueue(ours_, newcomers[0]));
  ASSERT_FALSE(gate_.enqueue(theirs_, others[1]));
  ASSERT_FALSE(gate_.enqueue(ours_, newcomers[1]));
  ASSERT_FALSE(gate_.enqueue(theirs_, others[2]));
  EXPECT_EQ(gate_.phases(), 0u);

  gate_.leave(ours_);
  for (const Waiter& other : others) EXPECT_EQ(other.grants, 1);
  for (const Waiter& newcomer : newcomers) EXPECT_EQ(newcomer.grants, 0);
  EXPECT_EQ(gate_.phases(), 1u);
  EXPECT_EQ(gate_.holders_count(theirs_), 3u);

  gate_.leave(theirs_);
  gate_.leave(theirs_);
  EXPECT_EQ(newcomers[0].grants, 0);
  gate_.leave(theirs_);
  for (const Waiter& newcomer : newcomers) {
    EXPECT_EQ(newcomer.grants, 1);
    EXPECT_EQ(newcomer.batches_waited(), 1u);
  }
  EXPECT_EQ(gate_.phases(), 2u);
  // Nobody waits any more: the fast way in is open again.
  EXPECT_TRUE(try_as_operation(gate_, ours_));
  for (int i = 0; i < 3; ++i) gate_.leave(ours_);
}

// The bound at its limit: who comes while its own side holds and the other waits is passed by one
// batch; who comes while the other side holds is passed by none. The holders never cease to come.
TEST_P(GateTest, WaitsForAtMostOneBatchOfTheOtherSide) {
  ASSERT_TRUE(try_as_operation(gate_, ours_));
  std::list<Waiter> pending[2];
  for (int round = 0; round < 100; ++round) {
    // Every side has somebody waiting before the holder leaves, each round anew.
    for (const GateSide side : {theirs_, ours_}) {
      auto& queue = pending[side == ours_ ? 0 : 1];
      queue.emplace_back();
      ASSERT_FALSE(gate_.enqueue(side, queue.back()));
    }
    const GateSide leaving = gate_.holders_count(ours_) != 0 ? ours_ : theirs_;
    const std::uint64_t before = gate_.phases();
    for (std::size_t n = gate_.holders_count(leaving); n > 0; --n) gate_.leave(leaving);
    EXPECT_EQ(gate_.phases(), before + 1);
    auto& admitted = pending[leaving == ours_ ? 1 : 0];
    for (const Waiter& waiter : admitted) {
      EXPECT_EQ(waiter.grants, 1);
      EXPECT_LE(waiter.batches_waited(), 1u);
    }
    admitted.clear();
  }
  while (gate_.holders_count(kAdd) + gate_.holders_count(kBlock) != 0) {
    gate_.leave(gate_.holders_count(kAdd) != 0 ? kAdd : kBlock);
  }
}

// --- Starvation, beside a lock that has it -----------------------------------------------------

// A two-state shared lock as a signed counter: above zero, holders of one side; below, of the
// other. Whoever finds the other side in tries again.
class SignedCounter {
 public:
  bool try_enter(GateSide side) {
    std::int64_t count = count_.load();
    const std::int64_t step = side == kAdd ? 1 : -1;
    while (count * step >= 0) {
      if (count_.compare_exchange_weak(count, count + step)) return true;
    }
    return false;
  }
  void leave(GateSide side) { count_.fetch_add(side == kAdd ? -1 : 1); }

 private:
  Atomic<std::int64_t> count_{0};
};

constexpr int kScheduleSteps = 1000;

// Two holders of one side who relieve each other: the next is in before the last is out. After each
// step the other side looks again. Returns how many steps it took to get in.
TEST_P(GateTest, SignedCounterStarvesUnderRelievingHolders) {
  SignedCounter naive;
  ASSERT_TRUE(naive.try_enter(ours_));
  int looks = 0;
  for (int step = 0; step < kScheduleSteps; ++step) {
    ASSERT_TRUE(naive.try_enter(ours_));
    naive.leave(ours_);
    EXPECT_FALSE(naive.try_enter(theirs_));
    ++looks;
  }
  EXPECT_EQ(looks, kScheduleSteps);
}

TEST_P(GateTest, DoesNotStarveUnderRelievingHolders) {
  ASSERT_TRUE(try_as_operation(gate_, ours_));
  Waiter other;
  ASSERT_FALSE(gate_.enqueue(theirs_, other));
  std::deque<Waiter> relief;
  for (int step = 0; step < kScheduleSteps && other.grants == 0; ++step) {
    relief.emplace_back();
    EXPECT_FALSE(gate_.enqueue(ours_, relief.back()));  // the relief is not let in before the other
    gate_.leave(ours_);
  }
  EXPECT_EQ(other.grants, 1);
  EXPECT_EQ(relief.size(), 1u);  // the first step already let the other side in
  EXPECT_EQ(relief.back().grants, 0);
  gate_.leave(theirs_);
  EXPECT_EQ(relief.back().grants, 1);  // and the mirror image: the relief is not starved either
  gate_.leave(ours_);
}

// --- Giving up ---------------------------------------------------------------------------------

TEST_P(GateTest, FreeGateWinsOverAPassedDeadline) {
  EXPECT_EQ(gate_.enter(ours_, passed_deadline()), WaitStatus::kReady);
  gate_.leave(ours_);
}

TEST_P(GateTest, TimedOutEnterLeavesNoTrace) {
  ASSERT_TRUE(try_as_operation(gate_, ours_));
  EXPECT_EQ(gate_.enter(theirs_, passed_deadline()), WaitStatus::kTimedOut);
  EXPECT_EQ(gate_.waiting_count(theirs_), 0u);
  EXPECT_TRUE(try_as_operation(gate_, ours_));  // the gate is no longer closing
  gate_.leave(ours_);
  gate_.leave(ours_);
  EXPECT_EQ(gate_.phases(), 0u);
}

TEST_P(GateTest, LastGiveUpAdmitsThoseWhoQueuedBehindIt) {
  ASSERT_TRUE(try_as_operation(gate_, ours_));
  std::array<Waiter, 2> others;
  std::array<Waiter, 2> behind;
  for (Waiter& waiter : others) ASSERT_FALSE(gate_.enqueue(theirs_, waiter));
  for (Waiter& waiter : behind) ASSERT_FALSE(gate_.enqueue(ours_, waiter));

  EXPECT_TRUE(gate_.cancel(others[1]));
  for (const Waiter& waiter : behind) EXPECT_EQ(waiter.grants, 0);
  EXPECT_TRUE(gate_.cancel(others[0]));
  for (const Waiter& waiter : behind) EXPECT_EQ(waiter.grants, 1);
  for (const Waiter& waiter : others) EXPECT_EQ(waiter.grants, 0);

  EXPECT_TRUE(try_as_operation(gate_, ours_));
  EXPECT_EQ(gate_.holders_count(ours_), 4u);
  for (int i = 0; i < 4; ++i) gate_.leave(ours_);
}

TEST_P(GateTest, GiveUpFromTheMiddleOfTheQueueKeepsTheRest) {
  ASSERT_TRUE(try_as_operation(gate_, ours_));
  std::array<Waiter, 3> others;
  for (Waiter& waiter : others) ASSERT_FALSE(gate_.enqueue(theirs_, waiter));
  EXPECT_TRUE(gate_.cancel(others[1]));
  EXPECT_FALSE(gate_.cancel(others[1]));
  gate_.leave(ours_);
  EXPECT_EQ(others[0].grants, 1);
  EXPECT_EQ(others[1].grants, 0);
  EXPECT_EQ(others[2].grants, 1);
  gate_.leave(theirs_);
  gate_.leave(theirs_);
  EXPECT_TRUE(try_as_operation(gate_, ours_));
  gate_.leave(ours_);
}

TEST_P(GateTest, GiveUpOfAWaiterWhoseTurnItIsNotChangesNothing) {
  ASSERT_TRUE(try_as_operation(gate_, ours_));
  Waiter other;
  Waiter behind;
  ASSERT_FALSE(gate_.enqueue(theirs_, other));
  ASSERT_FALSE(gate_.enqueue(ours_, behind));
  EXPECT_TRUE(gate_.cancel(behind));
  EXPECT_FALSE(try_as_operation(gate_, ours_));
  gate_.leave(ours_);
  EXPECT_EQ(other.grants, 1);
  gate_.leave(theirs_);
}

TEST_P(GateTest, CancelAfterTheGrantIsRefused) {
  ASSERT_TRUE(try_as_operation(gate_, ours_));
  Waiter other;
  ASSERT_FALSE(gate_.enqueue(theirs_, other));
  gate_.leave(ours_);
  EXPECT_FALSE(gate_.cancel(other));
  EXPECT_EQ(other.grants, 1);
  EXPECT_EQ(gate_.holders_count(theirs_), 1u);
  gate_.leave(theirs_);
}

// Between the two steps of a grant: counted in, not yet told.
TEST_P(GateTest, CancelBetweenTheGrantAndItsCallbackIsRefused) {
  ASSERT_TRUE(try_as_operation(gate_, ours_));
  Waiter second;
  bool cancelled = true;
  Waiter first([&] {
    EXPECT_EQ(second.grants, 0);
    cancelled = gate_.cancel(second);
  });
  ASSERT_FALSE(gate_.enqueue(theirs_, first));
  ASSERT_FALSE(gate_.enqueue(theirs_, second));
  gate_.leave(ours_);
  EXPECT_FALSE(cancelled);
  EXPECT_EQ(second.grants, 1);
  gate_.leave(theirs_);
  gate_.leave(theirs_);
}

TEST_P(GateTest, StopRequestEndsTheWait) {
  ASSERT_TRUE(try_as_operation(gate_, ours_));
  std::stop_source stop;
  WaitStatus status = WaitStatus::kReady;
  Thread waiting = start_thread([&] {
    status = gate_.enter(theirs_, {.deadline = Clock::kNever, .stop = stop.get_token()});
  });
  await_waiting(gate_, theirs_, 1);
  Waiter behind;
  ASSERT_FALSE(gate_.enqueue(ours_, behind));
  stop.request_stop();
  waiting.join();
  EXPECT_EQ(status, WaitStatus::kInterrupted);
  EXPECT_EQ(behind.grants, 1);
  gate_.leave(ours_);
  gate_.leave(ours_);
}

// A stop that comes between the two steps of a grant: the thread is in, and says so.
TEST_P(GateTest, GrantWinsOverAStopAtTheSameMoment) {
  ASSERT_TRUE(try_as_operation(gate_, ours_));
  std::stop_source stop;
  Waiter first([&] { stop.request_stop(); });  // told before the thread is
  ASSERT_FALSE(gate_.enqueue(theirs_, first));
  WaitStatus status = WaitStatus::kTimedOut;
  Thread second = start_thread([&] {
    status = gate_.enter(theirs_, {.deadline = Clock::kNever, .stop = stop.get_token()});
    gate_.hand_over();
  });
  await_waiting(gate_, theirs_, 2);
  gate_.leave(ours_);
  second.join();
  EXPECT_EQ(status, WaitStatus::kReady);
  EXPECT_EQ(gate_.holders_count(theirs_), 2u);
  gate_.leave(theirs_);
  gate_.leave(theirs_);
}

// --- Threads -----------------------------------------------------------------------------------

TEST_P(GateTest, LeaveWakesWhoSleeps) {
  ASSERT_TRUE(try_as_operation(gate_, ours_));
  WaitStatus status = WaitStatus::kTimedOut;
  Thread sleeper = start_thread([&] {
    status = gate_.enter(theirs_);
    gate_.leave(theirs_);
  });
  await_waiting(gate_, theirs_, 1);
  gate_.leave(ours_);
  sleeper.join();
  EXPECT_EQ(status, WaitStatus::kReady);
  EXPECT_EQ(gate_.holders_count(theirs_), 0u);
}

TEST_P(GateTest, AnotherThreadMayLeave) {
  GateToken token;
  Thread submitter = start_thread([&] {
    ASSERT_EQ(gate_.enter(ours_), WaitStatus::kReady);
    token = GateToken::adopt(gate_, ours_);
    token.hand_over();
    EXPECT_EQ(lock_rank::held_count(), 0u);
  });
  submitter.join();
  EXPECT_TRUE(token);
  EXPECT_FALSE(try_as_operation(gate_, theirs_));
  Thread completer =
      start_thread([moved = std::make_shared<GateToken>(std::move(token))] { moved->release(); });
  completer.join();
  EXPECT_FALSE(token);
  EXPECT_TRUE(try_as_operation(gate_, theirs_));
  gate_.leave(theirs_);
}

TEST_P(GateTest, TokenLeavesOnce) {
  Waiter unused;
  ASSERT_TRUE(gate_.enqueue(ours_, unused));
  ASSERT_TRUE(gate_.enqueue(ours_, unused));
  {
    GateToken a = GateToken::adopt(gate_, ours_);
    GateToken b = GateToken::adopt(gate_, ours_);
    GateToken c = std::move(a);
    EXPECT_FALSE(a);
    c = std::move(b);  // gives back what c had
    EXPECT_EQ(gate_.holders_count(ours_), 1u);
    c.release();
    EXPECT_FALSE(c);
    EXPECT_EQ(gate_.holders_count(ours_), 0u);
  }
  EXPECT_EQ(gate_.holders_count(ours_), 0u);
}

// The callback may use the gate: it is called under no lock of it.
TEST_P(GateTest, CallbackMayUseTheGate) {
  ASSERT_TRUE(try_as_operation(gate_, ours_));
  Waiter again;
  Waiter other([&] {
    EXPECT_EQ(gate_.waiting_count(ours_), 0u);
    EXPECT_FALSE(gate_.enqueue(ours_, again));
    gate_.leave(theirs_);
  });
  ASSERT_FALSE(gate_.enqueue(theirs_, other));
  gate_.leave(ours_);
  EXPECT_EQ(other.grants, 1);
  EXPECT_EQ(again.grants, 1);
  gate_.leave(ours_);
}

TEST_P(GateTest, WaiterMayBeEnqueuedAgain) {
  Waiter other;
  for (int round = 1; round <= 3; ++round) {
    ASSERT_TRUE(try_as_operation(gate_, ours_));
    ASSERT_FALSE(gate_.enqueue(theirs_, other));
    gate_.leave(ours_);
    EXPECT_EQ(other.grants, round);
    gate_.leave(theirs_);
  }
}

// --- Against a reference -----------------------------------------------------------------------

// What the gate promises, as plainly as possible: who is in and who waits, decided one call at a
// time.
struct Reference {
  struct Request {
    int id;
    GateSide side;
  };
  int in[2] = {0, 0};
  std::vector<Request> queue;

  static int index(GateSide side) { return side == kAdd ? 0 : 1; }

  bool enter(int id, GateSide side) {
    if (queue.empty() && in[1 - index(side)] == 0) {
      ++in[index(side)];
      return true;
    }
    queue.push_back({id, side});
    return false;
  }
  std::vector<int> leave(GateSide side) {
    --in[index(side)];
    return admit();
  }
  std::vector<int> cancel(int id) {
    std::erase_if(queue, [&](const Request& request) { return request.id == id; });
    return admit();
  }
  // Everybody of the turn's side at once. The turn is the other side's while somebody is in, and
  // who waits there first sets it when nobody is; without a waiter there the holders' own side goes
  // on.
  std::vector<int> admit() {
    std::vector<int> admitted;
    if (queue.empty()) return admitted;
    const bool empty = in[0] + in[1] == 0;
    const GateSide holding = in[0] != 0 ? kAdd : kBlock;
    for (const Request& request : queue) {
      if (!empty && request.side != holding) return admitted;
    }
    const GateSide turn = empty ? next_turn() : holding;
    std::erase_if(queue, [&](const Request& request) {
      if (request.side != turn) return false;
      admitted.push_back(request.id);
      ++in[index(turn)];
      return true;
    });
    last = turn;
    return admitted;
  }
  GateSide next_turn() const {
    for (const Request& request : queue) {
      if (request.side != last) return request.side;
    }
    return last;
  }
  GateSide last = kAdd;  // the side that held last
};

TEST(GateModelTest, RandomCallsAgreeWithTheReference) {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    Gate gate;
    Reference reference;
    std::vector<int> granted;  // ids, in the order told
    std::vector<std::unique_ptr<Waiter>> waiters;
    std::vector<GateSide> side_of;
    std::vector<int> waiting;
    std::vector<GateSide> holding;

    const auto settle = [&](const std::vector<int>& expected) {
      ASSERT_EQ(granted, expected);
      for (const int id : granted) {
        ASSERT_LE(waiters[id]->batches_waited(), 1u);
        holding.push_back(side_of[id]);
        std::erase(waiting, id);
      }
      granted.clear();
    };

    for (int step = 0; step < 200; ++step) {
      const unsigned choice = random() % 8;
      if (choice < 4) {
        const GateSide side = kSides[random() % 2];
        const int id = static_cast<int>(waiters.size());
        waiters.push_back(std::make_unique<Waiter>([&granted, id] { granted.push_back(id); }));
        side_of.push_back(side);
        const bool at_once = gate.enqueue(side, *waiters.back());
        ASSERT_EQ(at_once, reference.enter(id, side));
        if (at_once) {
          reference.last = side;
          holding.push_back(side);
        } else {
          waiting.push_back(id);
        }
        settle({});
      } else if (choice < 7 && !holding.empty()) {
        const std::size_t which = random() % holding.size();
        const GateSide side = holding[which];
        holding.erase(holding.begin() + static_cast<std::ptrdiff_t>(which));
        gate.leave(side);
        settle(reference.leave(side));
      } else if (choice == 7 && !waiting.empty()) {
        const int id = waiting[random() % waiting.size()];
        std::erase(waiting, id);
        ASSERT_TRUE(gate.cancel(*waiters[id]));
        settle(reference.cancel(id));
      }
      ASSERT_FALSE(gate.holders_count(kAdd) != 0 && gate.holders_count(kBlock) != 0);
      ASSERT_EQ(gate.holders_count(kAdd) + gate.holders_count(kBlock), holding.size());
      ASSERT_TRUE(waiting.empty() || !holding.empty()) << "somebody waits for nobody";
    }
    while (!holding.empty()) {
      const GateSide side = holding.back();
      holding.pop_back();
      gate.leave(side);
      settle(reference.leave(side));
    }
    EXPECT_TRUE(waiting.empty());
  }
}

// Threads that enter, try, give up and leave as they come: never both sides in, and all of them
// end.
TEST(GateThreadsTest, BothSidesMakeProgressAndNeverMeet) {
  constexpr int kRounds = 20000;
  Gate gate;
  std::array<Atomic<int>, 2> in{};
  Atomic<int> met{0};
  std::vector<Thread> threads;
  for (int number = 0; number < 4; ++number) {
    threads.push_back(start_thread([&, number] {
      const GateSide side = kSides[static_cast<std::size_t>(number % 2)];
      const auto own = static_cast<std::size_t>(number % 2);
      std::mt19937 random(static_cast<unsigned>(number));
      for (int round = 0; round < kRounds; ++round) {
        const unsigned choice = random() % 8;
        if (choice == 0) {
          if (!gate.try_enter(side)) continue;
        } else if (choice == 1) {
          if (gate.enter(side, {.deadline = Clock::now(), .stop = {}}) != WaitStatus::kReady)
            continue;
        } else {
          ASSERT_EQ(gate.enter(side), WaitStatus::kReady);
        }
        in[own].fetch_add(1);
        if (in[1 - own].load() != 0) met.fetch_add(1);
        in[own].fetch_sub(1);
        gate.leave(side);
      }
    }));
  }
  for (Thread& thread : threads) thread.join();
  EXPECT_EQ(met.load(), 0);
  EXPECT_EQ(gate.holders_count(kAdd) + gate.holders_count(kBlock), 0u);
  EXPECT_EQ(gate.waiting_count(kAdd) + gate.waiting_count(kBlock), 0u);
}

}  // namespace
}  // namespace quire::sync
