// The memory store under every schedule that the seeds give: that nothing is lost between the
// submitters and the timer, and what reads see that are in flight together with a write.

#include <chrono>
#include <vector>

#include "quire/store_memory.h"
#include "store/test_io.h"
#include "sync/clock.h"
#include "sync/sim/sim_test.h"
#include "sync/thread.h"

namespace quire::store::testing {
namespace {

constexpr std::chrono::microseconds kLatency{100};

SIM_TEST(MemoryStoreSim, EveryRequestIsAnsweredOnceAndNotBeforeItsTime) {
  auto store = MemoryStore::create({.latency = kLatency});
  {
    Opened object(store, "a");
    const auto bytes = pattern(kPage, 1);
    const Store::ConstBuffer buffer = bytes;
    std::vector<sync::Thread> threads;
    for (std::uint64_t t = 0; t < 3; ++t) {
      threads.push_back(*sync::Thread::start("submitter", [&, t] {
        const auto begin = sync::Clock::now();
        Done first, second;
        store->write(object.handle(), 2 * t * kPage, {&buffer, 1}, IoMode::kAsync, first);
        store->write(object.handle(), (2 * t + 1) * kPage, {&buffer, 1}, IoMode::kAsync, second);
        EXPECT_FALSE(second.wait());
        EXPECT_FALSE(first.wait());
        EXPECT_GE(sync::Clock::now() - begin, kLatency);
      }));
    }
    for (sync::Thread& thread : threads) thread.join();
    for (std::uint64_t page = 0; page < 6; ++page) {
      EXPECT_EQ(read(*store, object.handle(), page * kPage, kPage).bytes, bytes);
    }
  }
}

SIM_TEST(MemoryStoreSim, AReadInFlightWithAWriteSeesAllOfItOrNothing) {
  auto store = MemoryStore::create({.latency = kLatency});
  {
    Opened object(store, "a");
    const auto before = pattern(kPage, 1);
    const auto after = pattern(kPage, 2);
    EXPECT_FALSE(write(*store, object.handle(), 0, before));
    std::vector<std::byte> memory(kPage);
    const Store::Buffer into = memory;
    const Store::ConstBuffer from = after;
    Done reading, writing;
    store->write(object.handle(), 0, {&from, 1}, IoMode::kAsync, writing);
    store->read(object.handle(), 0, {&into, 1}, IoMode::kAsync, reading);
    EXPECT_FALSE(reading.wait());
    EXPECT_FALSE(writing.wait());
    EXPECT_TRUE(memory == before || memory == after);
    EXPECT_EQ(read(*store, object.handle(), 0, kPage).bytes, after);
  }
}

}  // namespace
}  // namespace quire::store::testing
