// File::submit over the memory store, whose requests the tests hold: the ends of requests, their bound,
// and what may be relied on in on_done.
#include <gtest/gtest.h>
#include <pthread.h>

#include <array>
#include <atomic>
#include <chrono>
#include <future>
#include <latch>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "file/test_bytes.h"
#include "quire/cache.h"
#include "quire/error.h"
#include "quire/file.h"
#include "quire/store_memory.h"
#include "sync/lock_rank.h"

namespace quire {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kPage = limits::kPageBytes;

// The end of one request; waits for it with a bound, so that a lost one fails the test and no more.
class End {
 public:
  OnDone on_done() {
    return [this](Result<std::size_t> result) { promise_.set_value(std::move(result)); };
  }
  Result<std::size_t> get() {
    if (future_.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
      return Error(std::errc::state_not_recoverable, "the request has not ended");
    }
    return future_.get();
  }
  bool ended() const { return future_.wait_for(milliseconds(0)) == std::future_status::ready; }

 private:
  std::promise<Result<std::size_t>> promise_;
  std::future<Result<std::size_t>> future_ = promise_.get_future();
};

class Submit : public testing::Test {
 protected:
  void SetUp() override {
    CacheOptions options;
    options.memory_bytes = limits::kMemoryMinBytes;
    options.worker_threads = 1;
    auto cache = Cache::create(store_, options);
    ASSERT_TRUE(cache.ok()) << cache.error().message();
    cache_ = std::move(*cache);
    store_->poke("f", std::vector<std::byte>(100 * kPage, std::byte{7}));
    auto file = cache_->open("f", OpenFlags::kReadWrite);
    ASSERT_TRUE(file.ok());
    file_ = std::move(*file);
    ASSERT_TRUE(file_.advise(0, 0, Advice::kRandom).ok());
  }
  void TearDown() override {
    release();
    if (file_.is_open()) {
      EXPECT_TRUE(file_.close().ok());
    }
    EXPECT_TRUE(cache_->close().ok());
  }
  void release() {
    store_->set_hook({});
    store_->release_held();
  }
  // Lets the only worker read from a store that does not answer. Returns once it does.
  void hang_the_worker(End& end) {
    std::latch asked(1);
    store_->set_hook([&asked](const StoreRequest& request) {
      StoreVerdict verdict;
      verdict.hold = request.op == StoreOp::kRead;
      if (verdict.hold) asked.count_down();
      return verdict;
    });
    ASSERT_TRUE(file_.submit(ReadOp{buffer_, 0}, end.on_done()).ok());
    asked.wait();
    store_->set_hook([](const StoreRequest& request) {
      StoreVerdict verdict;
      verdict.hold = request.op == StoreOp::kRead;
      return verdict;
    });
  }

  std::array<std::byte, 10> buffer_ = {};
  const std::shared_ptr<MemoryStore> store_ = MemoryStore::create();
  std::unique_ptr<Cache> cache_;
  File file_;
};

TEST_F(Submit, AppendsAndTruncates) {
  End appended, truncated, grown;
  ASSERT_TRUE(file_.submit(AppendOp{bytes_of("tail")}, appended.on_done()).ok());
  EXPECT_EQ(*appended.get(), 4u);
  EXPECT_EQ(file_.stat()->size_bytes, 100 * kPage + 4);
  ASSERT_EQ(*file_.read(std::span(buffer_), 100 * kPage), 4u);
  EXPECT_EQ(buffer_[3], static_cast<std::byte>('l'));
  ASSERT_TRUE(file_.submit(TruncateOp{3}, truncated.on_done()).ok());
  EXPECT_EQ(*truncated.get(), 0u);
  EXPECT_EQ(file_.stat()->size_bytes, 3u);
  ASSERT_TRUE(file_.submit(TruncateOp{limits::kFileSizeMaxBytes + 1}, grown.on_done()).ok());
  EXPECT_EQ(grown.get().code(), std::errc::file_too_large);
}

TEST_F(Submit, AnEmptyOnDoneIsRefused) {
  const Status status = file_.submit(SyncOp{}, OnDone());
  EXPECT_EQ(status.code(), std::errc::invalid_argument);
  EXPECT_NE(status.error().message().find("on_done"), std::string::npos);
}

// Fails when the queue has no bound, or a place in it is lost.
TEST_F(Submit, MoreThanTheBoundIsBusyAndHasPlaceAgainLater) {
  End first;
  hang_the_worker(first);
  std::atomic<std::size_t> ended{0};
  const OnDone count = [&](Result<std::size_t> result) { ended += result.ok() ? 1 : 1'000'000; };
  std::array<std::byte, 10> other = {};
  for (std::size_t i = 1; i < limits::kSubmitMax; ++i) {
    ASSERT_TRUE(file_.submit(ReadOp{other, 0}, count).ok()) << i;
  }
  bool ran = false;
  EXPECT_EQ(file_.submit(SyncOp{}, [&](auto) { ran = true; }).code(), Errc::kBusy);
  EXPECT_EQ(ended, 0u);
  release();
  EXPECT_TRUE(first.get().ok());
  File closing = std::move(file_);
  EXPECT_TRUE(closing.close().ok()) << "waits for all of them";
  EXPECT_EQ(ended, limits::kSubmitMax - 1);
  EXPECT_FALSE(ran);
  file_ = std::move(*cache_->open("f", OpenFlags::kReadWrite));
  End again;
  ASSERT_TRUE(file_.submit(SyncOp{}, again.on_done()).ok());
  EXPECT_TRUE(again.get().ok());
}

// Fails when only a worker looks at the limits of what waits.
TEST_F(Submit, WhatWaitsBehindAHungStoreEndsAtItsLimit) {
  End hung;
  hang_the_worker(hung);
  std::array<std::byte, 10> other = {};
  std::stop_source stop, stopped;
  stopped.request_stop();
  const auto soon = steady_clock::now() + milliseconds(5);
  const auto late = steady_clock::now() + std::chrono::hours(1);
  End at_deadline, at_once, at_stop, already_stopped, patient;
  ASSERT_TRUE(file_.submit(ReadOp{other, 0}, patient.on_done(), {.deadline = late}).ok());
  ASSERT_TRUE(file_.submit(ReadOp{other, 0}, at_deadline.on_done(), {.deadline = soon}).ok());
  ASSERT_TRUE(
      file_.submit(ReadOp{other, 0}, at_once.on_done(), {.deadline = steady_clock::time_point{}})
          .ok());
  ASSERT_TRUE(file_.submit(ReadOp{other, 0}, at_stop.on_done(), {.stop = stop.get_token()}).ok());
  ASSERT_TRUE(
      file_.submit(ReadOp{other, 0}, already_stopped.on_done(), {.stop = stopped.get_token()})
          .ok());
  EXPECT_EQ(at_deadline.get().code(), Errc::kTimedOut);
  EXPECT_EQ(at_once.get().code(), Errc::kTimedOut);
  EXPECT_EQ(already_stopped.get().code(), Errc::kInterrupted);
  EXPECT_FALSE(at_stop.ended());
  stop.request_stop();
  EXPECT_EQ(at_stop.get().code(), Errc::kInterrupted);
  EXPECT_FALSE(hung.ended());
  EXPECT_FALSE(patient.ended());
  release();
  EXPECT_EQ(*hung.get(), 10u);
  EXPECT_EQ(*patient.get(), 10u);
}

// Fails when a lock is held around the call, or the caller's own thread makes it.
TEST_F(Submit, OnDoneRunsOnAThreadOfTheLibraryThatHoldsNoLockAndMayCallTheFile) {
  std::string thread_name;
  std::size_t held = 99;
  End inner, outer;
  const OnDone end = outer.on_done();
  ASSERT_TRUE(file_
                  .submit(WriteOp{bytes_of("x"), 5},
                          [&](Result<std::size_t> result) {
                            std::array<char, 16> name = {};
                            pthread_getname_np(pthread_self(), name.data(), name.size());
                            thread_name = name.data();
                            held = sync::lock_rank::held_count();
                            EXPECT_TRUE(file_.write(bytes_of("y"), 6).ok());
                            EXPECT_TRUE(file_.sync().ok());
                            EXPECT_TRUE(file_.truncate(kPage).ok());
                            EXPECT_TRUE(cache_->sync().ok());
                            EXPECT_TRUE(file_.submit(SyncOp{}, inner.on_done()).ok());
                            end(std::move(result));
                          })
                  .ok());
  EXPECT_EQ(*outer.get(), 1u);
  EXPECT_TRUE(inner.get().ok());
  EXPECT_EQ(thread_name, "quire-work-0");
  EXPECT_EQ(held, 0u);
}

// What on_done has captured is gone when close() returns: its end gives close() all the time there is.
TEST_F(Submit, CloseReturnsAfterOnDoneHasBeenDestroyed) {
  std::atomic<bool> closed{false};
  std::atomic<bool> too_late{false};
  std::shared_ptr<void> captured(nullptr, [&](void*) {
    for (int i = 0; i < 10'000 && !closed; ++i) std::this_thread::yield();
    too_late = closed.load();
  });
  ASSERT_TRUE(file_.submit(WriteOp{bytes_of("x"), 0}, [held = std::move(captured)](auto) {}).ok());
  EXPECT_TRUE(file_.close().ok());
  closed = true;
  EXPECT_TRUE(cache_->close().ok());
  EXPECT_FALSE(too_late);
}

}  // namespace
}  // namespace quire
