// Adders who are no threads, under every locking strategy and the simulation's schedules: they exclude blockers as
// threads do, are granted in their turn beside them, and can be taken back at any moment. Each test names the
// change to the code that makes it fail.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "cache/cache_lock.h"
#include "cache/test_cut_file.h"
#include "sync/lock_rank.h"
#include "sync/random.h"
#include "sync/sim/sim_test.h"
#include "sync/test_handler.h"
#include "sync/test_threads.h"
#include "sync/thread.h"

namespace quire::cache {
namespace {

constexpr std::array kLockings = {Locking::kGate, Locking::kRange, Locking::kInvalidate,
                                  Locking::kInode};

// A miss that no thread waits for, again and again. Its store answers through the handler.
class Fault final : public sync::TestHandler::Task {
 public:
  Fault(sync::TestHandler& handler, CutFile& file, std::uint64_t first, std::uint64_t last,
        int rounds)
      : Task(handler), file_(file), first_(first), last_(last), rounds_(rounds) {}

  bool ended() const { return rounds_ == 0; }

 private:
  enum class Step { kStart, kOperation, kAdd, kFilling };

  void run() override {
    switch (step_) {
      case Step::kStart:
        step_ = Step::kOperation;
        if (operation_.begin_async(file_.lock, RwMode::kRead, at_operation_)) return begin_add();
        return;
      case Step::kOperation:
        operation_.granted(at_operation_);
        return begin_add();
      case Step::kAdd:
        add_.granted(at_add_);
        return added();
      case Step::kFilling:
        EXPECT_TRUE(file_.lock.strategy() != Locking::kInvalidate ||
                    file_.blocks_begun == blocks_before_);
        add_.end();
        EXPECT_TRUE(!file_.lock.guards_operations() || file_.blocks_begun == blocks_before_);
        operation_.end();
        step_ = Step::kStart;
        if (--rounds_ > 0) wake();
        return;
    }
  }
  void begin_add() {
    step_ = Step::kAdd;
    if (add_.begin_async(file_.lock, first_, last_, at_add_)) added();
  }
  void added() {
#ifdef QUIRE_CHECKS
    // The handler's thread is held to the order of locks while it adds.
    EXPECT_EQ(sync::lock_rank::held_count(), 1u);
#endif
    blocks_before_ = file_.blocks_begun;
    file_.look_at_adds(first_, last_, 1);
    sync::yield_thread();
    file_.look_at_adds(first_, last_, -1);
    add_.added();
    step_ = Step::kFilling;
    wake();
  }

  CutFile& file_;
  const std::uint64_t first_;
  const std::uint64_t last_;
  int rounds_;
  Step step_ = Step::kStart;
  std::uint64_t blocks_before_ = 0;
  CacheLock::Operation operation_;
  CacheLock::OperationWaiter at_operation_{*this};
  CacheLock::Add add_;
  CacheLock::AddWaiter at_add_{*this};
};

void fault_meets_cut(Locking strategy) {
  CutFile file(strategy);
  {
    sync::TestHandler handler;
    Fault fault(handler, file, 2, 3, 1);
    fault.wake();
    file.cut(3, 5);
    while (!fault.ended()) sync::yield_thread();
  }
  expect_free(file);
}
// Fails if begin_async() takes nothing or the wrong thing, if granted() forgets what to give back or whose it is,
// or (a deadlock) if the lock of `invalidate` is granted and nobody goes on to the nodes.
SIM_EXPLORE(ParkedAddSim, FaultMeetsCutGate, 2) {
  fault_meets_cut(Locking::kGate);
}
SIM_EXPLORE(ParkedAddSim, FaultMeetsCutRange, 2) {
  fault_meets_cut(Locking::kRange);
}
SIM_EXPLORE(ParkedAddSim, FaultMeetsCutInvalidate, 2) {
  fault_meets_cut(Locking::kInvalidate);
}
SIM_EXPLORE(ParkedAddSim, FaultMeetsCutInode, 2) {
  fault_meets_cut(Locking::kInode);
}

// Faults, threads who miss, cuts and eviction, all at once. Fails (a deadlock) if somebody's turn is lost.
SIM_TEST(ParkedAddSim, EverybodyGetsOn) {
  for (const Locking strategy : kLockings) {
    CutFile file(strategy);
    {
      sync::TestHandler handler;
      std::vector<std::unique_ptr<Fault>> faults;
      for (int i = 0; i < 3; ++i) {
        const std::uint64_t first = sync::random_u64() % CutFile::kPages;
        const std::uint64_t last = first + sync::random_u64() % (CutFile::kPages - first);
        faults.push_back(std::make_unique<Fault>(handler, file, first, last, 3));
        faults.back()->wake();
      }
      std::vector<sync::Thread> threads;
      for (int number = 0; number < 3; ++number) {
        threads.push_back(start_thread(number == 0 ? "reader" : "cutter", [&, number] {
          for (int round = 0; round < 3; ++round) {
            if (sync::random_u64() % 3 == 0) file.lock.heat();
            const std::uint64_t first = sync::random_u64() % CutFile::kPages;
            const std::uint64_t last = first + sync::random_u64() % (CutFile::kPages - first);
            if (number == 0) {
              file.miss(first, last);
            } else {
              file.cut(first, last);
            }
            const CacheLock::TreeBlock tree(file.lock);
            sync::yield_thread();
          }
        }));
      }
      for (sync::Thread& thread : threads) thread.join();
      for (const auto& fault : faults) {
        while (!fault->ended()) sync::yield_thread();
      }
    }
    EXPECT_EQ(file.cuts, 6);
    expect_free(file);
  }
}

// Taken back while a cut ends, with a thread behind it in the queue and another cut: it was granted and is
// woken once, or it was not and is never.
void cancel_meets_grant(Locking strategy) {
  CutFile file(strategy);
  CacheLock::Operation cut_operation;
  CacheLock::Block cut;
  const WaitLimit at_once{sync::Clock::time_point::min(), {}};
  ASSERT_EQ(cut_operation.begin(file.lock, RwMode::kWrite, at_once), WaitStatus::kReady);
  cut_operation.hand_over();
  ASSERT_EQ(cut.begin(file.lock, 0, 7, at_once), WaitStatus::kReady);
  cut.hand_over();

  sync::CountingWaker waker;
  CacheLock::Operation operation;
  CacheLock::OperationWaiter at_operation(waker);
  CacheLock::Add add;
  CacheLock::AddWaiter at_add(waker);
  const bool operates = operation.begin_async(file.lock, RwMode::kRead, at_operation);
  EXPECT_EQ(operates, strategy != Locking::kInode);
  EXPECT_FALSE(operates && add.begin_async(file.lock, 3, 3, at_add));

  sync::Thread cutter = start_thread("cutter", [&] {
    cut.end();
    cut_operation.end();
  });
  sync::Thread other = start_thread("other cutter", [&] { file.cut(3, 5); });
  const bool taken_back = operates ? at_add.cancel() : at_operation.cancel();
  if (taken_back) {
    EXPECT_EQ(waker.wakes, 0);
  } else {
    waker.expect_woken();
    if (operates) {
      add.granted(at_add);
      file.look_at_adds(3, 3, 1);
      sync::yield_thread();
      file.look_at_adds(3, 3, -1);
      add.end();
    } else {
      operation.granted(at_operation);
      operation.end();
    }
  }
  cutter.join();
  other.join();
  EXPECT_EQ(waker.wakes, taken_back ? 0 : 1);
  expect_free(file);
}
// Fails if cancel() leaves it in the queue, keeps the lock of `invalidate`, or says true of one that was granted.
SIM_EXPLORE(ParkedAddSim, CancelMeetsGrantGate, 2) {
  cancel_meets_grant(Locking::kGate);
}
SIM_EXPLORE(ParkedAddSim, CancelMeetsGrantRange, 2) {
  cancel_meets_grant(Locking::kRange);
}
SIM_EXPLORE(ParkedAddSim, CancelMeetsGrantInvalidate, 2) {
  cancel_meets_grant(Locking::kInvalidate);
}
SIM_EXPLORE(ParkedAddSim, CancelMeetsGrantInode, 2) {
  cancel_meets_grant(Locking::kInode);
}

// Where eviction has the nodes for its instant, under the strategies that have nodes: waits for that too, and can
// be taken back from there, giving back the lock it had got. Fails if cancel() forgets that lock.
SIM_TEST(ParkedAddSim, WhoWaitsForTheNodesCanBeTakenBack) {
  for (const Locking strategy : {Locking::kInvalidate, Locking::kInode}) {
    CutFile file(strategy);
    for (const bool taken_back : {true, false}) {
      sync::CountingWaker waker;
      CacheLock::Add add;
      CacheLock::AddWaiter at_add(waker);
      {
        const CacheLock::TreeBlock tree(file.lock);
        EXPECT_TRUE(static_cast<bool>(tree));
        // Not the thread that holds the nodes: the order of locks forbids it the rest.
        start_thread("handler", [&] {
          EXPECT_FALSE(add.begin_async(file.lock, 3, 3, at_add));
          EXPECT_TRUE(!taken_back || at_add.cancel());
        }).join();
      }
      EXPECT_EQ(waker.wakes, taken_back ? 0 : 1);
      if (!taken_back) {
        waker.expect_woken();
        add.granted(at_add);
        add.end();
      }
      expect_free(file);
    }
  }
}

// `invalidate`, counted: cuts that never pause begin once or twice while a fault waits: the one that was in, and one
// more. Fails if RwLock::admit() prefers writers, or begin_async() tries again instead of queueing.
SIM_TEST(ParkedAddSim, CutsThatNeverPauseDoNotStarveAFault) {
  CutFile file(Locking::kInvalidate);
  bool over = false;
  std::vector<sync::Thread> cutters;
  for (int i = 0; i < 3; ++i) {
    cutters.push_back(start_thread("cutter", [&] {
      while (!over) file.cut(0, 7);
    }));
  }
  for (int round = 0; round < 5; ++round) {
    sync::CountingWaker waker;
    CacheLock::Add add;
    CacheLock::AddWaiter at_add(waker);
    if (!add.begin_async(file.lock, 3, 3, at_add)) {
      const std::uint64_t before = file.blocks_begun;
      waker.expect_woken();
      EXPECT_LE(file.blocks_begun, before + 2);
      add.granted(at_add);
    }
    add.end();
    sync::yield_thread();
  }
  over = true;
  for (sync::Thread& cutter : cutters) cutter.join();
  expect_free(file);
}

}  // namespace
}  // namespace quire::cache
