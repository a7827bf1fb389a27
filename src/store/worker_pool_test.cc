#include "store/worker_pool.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "quire/error.h"
#include "quire/limits.h"
#include "sync/atomic.h"
#include "sync/parker.h"

namespace quire::store {
namespace {

class Function final : public Task {
 public:
  explicit Function(std::function<void()> function) : function_(std::move(function)) {}
  void run() noexcept override { function_(); }

 private:
  std::function<void()> function_;
};

std::unique_ptr<Task> task(std::function<void()> function) {
  return std::make_unique<Function>(std::move(function));
}

TEST(WorkerPool, RunsTasksInOrderAndRefusesWhenFull) {
  std::vector<std::size_t> order;
  sync::Parker started, release, finished;
  WorkerPool pool(1);
  ASSERT_FALSE(pool.submit(task([&] {
    started.unpark();
    release.park();
  })));
  started.park();
  for (std::size_t i = 0; i < limits::kStoreRequestsMax; ++i) {
    ASSERT_FALSE(pool.submit(task([&, i] {
      order.push_back(i);
      if (i + 1 == limits::kStoreRequestsMax) finished.unpark();
    })));
  }
  EXPECT_EQ(pool.submit(task([] { FAIL() << "a refused task ran"; })), Errc::kBusy);
  release.unpark();
  finished.park();
  ASSERT_EQ(order.size(), limits::kStoreRequestsMax);
  for (std::size_t i = 0; i < order.size(); ++i) ASSERT_EQ(order[i], i);
}

// Each task waits for all: that ends only if each has a thread.
TEST(WorkerPool, UsesAllItsThreads) {
  constexpr unsigned kThreads = 4;
  sync::Atomic<unsigned> arrived{0};
  sync::Parker gates[kThreads];
  sync::Parker done[kThreads];
  WorkerPool pool(kThreads);
  for (unsigned i = 0; i < kThreads; ++i) {
    ASSERT_FALSE(pool.submit(task([&, i] {
      if (++arrived == kThreads) {
        for (sync::Parker& gate : gates) gate.unpark();
      }
      gates[i].park();
      done[i].unpark();
    })));
  }
  for (sync::Parker& d : done) d.park();
}

TEST(WorkerPool, EndsWithoutEverHavingWorked) {
  WorkerPool pool(3);
}

}  // namespace
}  // namespace quire::store
