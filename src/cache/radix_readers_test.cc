// The readers' guards, and the tree in many threads.
#include "quire/radix_readers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "cache/test_radix_tree.h"
#include "quire/radix_tree.h"

namespace quire {
namespace {

using namespace radix_testing;

TEST(RadixReaders, WaitForTheGuardsTheyMeet) {
  RadixReaders readers;
  EXPECT_TRUE(readers.try_wait());
  EXPECT_TRUE(readers.wait());
  auto outer = readers.enter();
  auto inner = readers.enter();
  EXPECT_FALSE(readers.try_wait());
  std::stop_source stopped;
  stopped.request_stop();
  EXPECT_FALSE(readers.wait(stopped.get_token()));
  inner.leave();
  EXPECT_FALSE(readers.wait(stopped.get_token()));
  auto moved = std::move(outer);
  EXPECT_FALSE(readers.try_wait());
  moved.leave();
  EXPECT_TRUE(readers.wait(stopped.get_token())) << "nobody is inside: nothing to wait for";
}

TEST(RadixReaders, GuardsOfEitherPhaseAreSeen) {
  RadixReaders readers;
  std::stop_source stopped;
  stopped.request_stop();
  for (int i = 0; i < 4; ++i) {
    auto guard = readers.enter();
    EXPECT_FALSE(readers.wait(stopped.get_token()));  // turns the phase, then gives up
    EXPECT_FALSE(readers.try_wait());
  }
  EXPECT_TRUE(readers.try_wait());
}

TEST(RadixReaders, AGuardMayEndInAnotherThread) {
  RadixReaders readers;
  auto guard = readers.enter();
  std::thread([moved = std::move(guard)]() mutable { moved.leave(); }).join();
  EXPECT_TRUE(readers.try_wait());
}

// Waits that must not be wrong, not that must be quick: the reader stays inside until the eraser is
// seen waiting, and uses what was erased.
TEST(RadixReaders, AReaderInsideHoldsOffErase) {
  Planted<> planted;
  RadixReaders readers;
  planted.set(600, 17);
  auto guard = readers.enter();
  Slot* const slot = planted.tree.find(600);
  std::atomic<bool> waiting{false};
  std::thread eraser([&] {
    const auto quiesce = [&](std::uint64_t, std::uint64_t) {
      waiting = true;
      waiting.notify_all();
      return readers.wait();
    };
    EXPECT_EQ(planted.tree.erase(0, kMax, planted.nodes, quiesce), 2u);
    EXPECT_TRUE(waiting.exchange(true)) << "erase waited for nobody";
    waiting.notify_all();
  });
  waiting.wait(false);
  EXPECT_EQ(planted.tree.find(600), nullptr);
  { auto newcomer = readers.enter(); }
  EXPECT_EQ(planted.nodes.out(), 2u);
  EXPECT_EQ(slot->load(), 17u);
  slot->store(18);
  guard.leave();
  eraser.join();
  EXPECT_EQ(planted.nodes.out(), 0u);
}

// Many threads.

constexpr unsigned kThreads = 4;

template <class F>
void in_threads(F&& body) {
  std::atomic<unsigned> ready{0};
  std::vector<std::thread> threads;
  for (unsigned id = 0; id < kThreads; ++id) {
    threads.emplace_back([&, id] {
      ready.fetch_add(1);
      while (ready.load() < kThreads) std::this_thread::yield();
      body(id);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(RadixTreeThreads, AllAddTheSamePlaces) {
  for (int round = 0; round < 50; ++round) {
    Planted<> planted;
    in_threads([&](unsigned id) {
      std::vector<std::uint64_t> order = boundaries();
      std::rotate(order.begin(), order.begin() + id * 11, order.end());
      for (const std::uint64_t index : order) {
        Slot* const slot = planted.tree.find_or_add(index, planted.nodes);
        ASSERT_NE(slot, nullptr);
        slot->fetch_add(1);
      }
    });
    for (const std::uint64_t index : boundaries()) EXPECT_EQ(planted.get(index), kThreads);
    EXPECT_EQ(planted.tree.nodes(), planted.nodes.out());
  }
}

TEST(RadixTreeThreads, LookUpsRunBesideErasePruneAndGrowth) {
  constexpr std::uint64_t kSpan = 512 * 8;
  constexpr int kRounds = 100;
  Planted<> planted;
  RadixReaders readers;
  std::atomic<bool> done{false};
  // Thread 0 fills and erases the low range, thread 1 adds and prunes beside it, the others look.
  in_threads([&](unsigned id) {
    if (id == 0) {
      for (int round = 0; round < kRounds; ++round) {
        for (std::uint64_t i = 0; i < kSpan; i += 100) planted.set(i, i + 1);
        planted.tree.erase(0, kSpan - 1, planted.nodes, readers.quiesce());
      }
      done = true;
    } else if (id == 1) {
      for (std::uint64_t n = 0; !done.load(); ++n) {
        const std::uint64_t index = kSpan + n % 3 * 512 * 512 * 512;
        planted.set(index, index + 1);
        planted.tree.find(index)->store(0);
        planted.tree.prune(index, Tree::leaf_first(index), Tree::leaf_last(index), planted.nodes,
                           is_zero, readers.try_quiesce());
      }
    } else {
      while (!done.load()) {
        for (std::uint64_t i = id; i < kSpan + 512; i += 3) {
          auto guard = readers.enter();
          if (Slot* const slot = planted.tree.find(i)) {
            const std::uint64_t value = slot->load();
            EXPECT_TRUE(value == 0 || value == i + 1);
          }
        }
        auto guard = readers.enter();
        planted.tree.for_each_reverse(0, kMax, [](std::uint64_t index, Slot& slot) {
          const std::uint64_t value = slot.load();
          EXPECT_TRUE(value == 0 || value == index + 1);
          return true;
        });
      }
    }
  });
}

}  // namespace
}  // namespace quire
