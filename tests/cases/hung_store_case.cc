// A store that never answers: every wait can be left, nothing is lost when it answers after all.
#include <atomic>
#include <chrono>
#include <latch>
#include <stop_token>
#include <thread>
#include <vector>

#include "cases/support.h"

namespace quire::cases {
namespace {

using std::chrono::milliseconds;

CallOptions soon() {
  return {.stop = {}, .deadline = std::chrono::steady_clock::now() + milliseconds(20)};
}

class HungStore : public CaseTest {
 protected:
  void release() {
    store_->set_hook({});
    store_->release_held();
  }
  // Makes the call, and asks it to stop once the store holds a request.
  template <class Call>
  std::error_code interrupted(Call call) {
    std::stop_source stop;
    std::jthread stopper([&] {
      EXPECT_TRUE(eventually([&] { return store_->held() > 0; }));
      stop.request_stop();
    });
    return call(CallOptions{.stop = stop.get_token(), .deadline = sync::Clock::kNever}).code();
  }
  void put_and_forget(const std::string& name, std::span<const std::byte> data) {
    File file = open(name);
    ASSERT_EQ(*file.write(data, 0), data.size());
    ASSERT_TRUE(file.sync().ok());
    ASSERT_TRUE(file.advise(0, 0, Advice::kDontNeed).ok());
  }
};

TEST_F(HungStore, ReadsCanBeLeft) {
  const auto data = pattern(8 * kPage, 1);
  make();
  put_and_forget("f", data);
  File file = open("f");
  hold({StoreOp::kRead});
  std::vector<std::byte> buffer(data.size());
  EXPECT_EQ(file.read(buffer, 0, soon()).code(), Errc::kTimedOut);
  EXPECT_EQ(file.read(buffer, 0, soon()).code(), Errc::kTimedOut) << "on the page under way";
  EXPECT_EQ(interrupted([&](const CallOptions& call) { return file.read(buffer, 0, call); }),
            Errc::kInterrupted);
  EXPECT_EQ(file.write(bytes_of("part"), 100, soon()).code(), Errc::kTimedOut)
      << "needs the rest of its page";
  release();
  EXPECT_EQ(read(file, 0, data.size()), data);
}

TEST_F(HungStore, WritesAtTheDirtyLimitCanBeLeft) {
  CacheOptions options;
  options.dirty_max_bytes = 64 * kPage;
  make(options);
  const auto data = pattern(200 * kPage, 2);
  File file = open("f");
  hold({StoreOp::kWrite});
  const auto first = file.write(data, 0, soon());
  ASSERT_TRUE(first.ok()) << first.error().message();
  EXPECT_LE(*first, options.dirty_max_bytes);
  EXPECT_EQ(file.write(data, *first, soon()).code(), Errc::kTimedOut);
  EXPECT_EQ(interrupted([&](const CallOptions& call) { return file.write(data, *first, call); }),
            Errc::kInterrupted);
  release();
  const auto rest = std::span(data).subspan(*first);
  ASSERT_EQ(*file.write(rest, *first), rest.size());
  ASSERT_TRUE(file.sync().ok());
  EXPECT_EQ(directory_.contents("f"), data);
}

TEST_F(HungStore, SyncsCanBeLeftWhileTheyWriteAndWhileTheySync) {
  const auto data = pattern(10 * kPage + 7, 3);
  make();
  File file = open("f");
  for (const StoreOp op : {StoreOp::kWrite, StoreOp::kSync}) {
    ASSERT_EQ(*file.write(data, 0), data.size());
    hold({op});
    EXPECT_EQ(file.sync(soon()).code(), Errc::kTimedOut);
    EXPECT_EQ(file.datasync(soon()).code(), Errc::kTimedOut);
    EXPECT_EQ(cache_->sync(soon()).code(), Errc::kTimedOut);
    EXPECT_EQ(interrupted([&](const CallOptions& call) { return file.sync(call); }),
              Errc::kInterrupted);
    EXPECT_EQ(read(file, 0, data.size()), data);
    release();
    ASSERT_TRUE(file.sync().ok());
    EXPECT_EQ(directory_.contents("f"), data);
  }
}

// A truncate that was left is finished by the library; until then others wait for it, and can leave
// too.
TEST_F(HungStore, TruncatesCanBeLeft) {
  const auto data = pattern(10 * kPage, 4);
  make();
  File file = open("f");
  ASSERT_EQ(*file.write(data, 0), data.size());
  hold({StoreOp::kTruncate});
  EXPECT_EQ(file.truncate(5 * kPage + 10, soon()).code(), Errc::kTimedOut);
  EXPECT_EQ(file.truncate(3, soon()).code(), Errc::kTimedOut);
  EXPECT_EQ(file.write(data, 4 * kPage, soon()).code(), Errc::kTimedOut);
  EXPECT_EQ(file.append(data, soon()).code(), Errc::kTimedOut);
  EXPECT_EQ(file.stat()->size_bytes, data.size());
  release();
  ASSERT_TRUE(eventually([&] { return file.stat()->size_bytes == 5 * kPage + 10; }));
  hold({StoreOp::kTruncate});
  EXPECT_EQ(interrupted([&](const CallOptions& call) { return file.truncate(kPage, call); }),
            Errc::kInterrupted);
  release();
  ASSERT_TRUE(file.truncate(kPage).ok());
  ASSERT_TRUE(file.sync().ok());
  EXPECT_TRUE(std::ranges::equal(directory_.contents("f"), std::span(data).first(kPage)));
}

TEST_F(HungStore, SubmittedRequestsCanBeLeft) {
  const auto data = pattern(8 * kPage, 5);
  make();
  put_and_forget("f", data);
  File file = open("f");
  hold({StoreOp::kRead, StoreOp::kSync});
  std::vector<std::byte> buffer(data.size());
  std::stop_source stop;
  std::atomic<int> interruptions{0};
  std::latch ended(3);
  const OnDone done = [&](Result<std::size_t> result) {
    if (result.code() == Errc::kInterrupted) ++interruptions;
    ended.count_down();
  };
  const CallOptions call{.stop = stop.get_token(), .deadline = sync::Clock::kNever};
  ASSERT_TRUE(file.submit(ReadOp{buffer, 0}, done, call).ok());
  ASSERT_TRUE(file.submit(SyncOp{}, done, call).ok());
  ASSERT_TRUE(file.submit(WriteOp{bytes_of("part"), 5}, done, call).ok());
  ASSERT_TRUE(eventually([&] { return store_->held() >= 2; }));
  stop.request_stop();
  ended.wait();
  EXPECT_EQ(interruptions.load(), 3);
  release();
  EXPECT_EQ(read(file, 0, data.size()), data);
}

// File::close() takes no options: it leaves the file to the cache after limits::kCloseWaitMax.
TEST_F(HungStore, AFileClosesAndTheCacheWritesItLater) {
  const auto data = pattern(10 * kPage, 6);
  make();
  File file = open("f");
  ASSERT_EQ(*file.write(data, 0), data.size());
  hold({StoreOp::kWrite});
  EXPECT_EQ(file.close().code(), Errc::kTimedOut);
  EXPECT_FALSE(file.is_open());
  release();
  ASSERT_TRUE(cache_->close().ok());
  EXPECT_EQ(directory_.contents("f"), data);
}

// Cache::close() can be left and called again, and loses nothing by that.
TEST_F(HungStore, CloseOfTheCacheCanBeLeftAndCalledAgain) {
  const auto data = pattern(3000 * kPage, 7);
  CacheOptions options;
  options.memory_bytes = 64 << 20;
  make(options);
  File file = open("f");
  ASSERT_EQ(*file.write(data, 0), data.size());
  fail(StoreOp::kWrite);
  EXPECT_EQ(file.close().code(), kEio);
  hold({StoreOp::kWrite, StoreOp::kSync});
  for (int i = 0; i < 2; ++i) EXPECT_EQ(cache_->close(soon()).code(), Errc::kTimedOut);
  EXPECT_EQ(interrupted([&](const CallOptions& call) { return cache_->close(call); }),
            Errc::kInterrupted);
  release();
  ASSERT_TRUE(eventually([&] { return store_->held() == 0; }));
  // A store in good health and a deadline that has passed: not done is not lost.
  const CallOptions past{.stop = {}, .deadline = std::chrono::steady_clock::now()};
  const Status hurried = cache_->close(past);
  EXPECT_TRUE(hurried.ok() || hurried.code() == Errc::kTimedOut) << hurried.error().message();
  // It refused, so it can still be used.
  if (!hurried.ok()) {
    File again = open("f");
    std::latch ended(1);
    std::vector<std::byte> buffer(kPage);
    ASSERT_TRUE(again.submit(ReadOp{buffer, kPage}, [&](auto) { ended.count_down(); }).ok());
    ended.wait();
    EXPECT_TRUE(std::ranges::equal(buffer, std::span(data).subspan(kPage, kPage)));
  }
  const Status closed = cache_->close();
  ASSERT_TRUE(closed.ok()) << closed.error().message();
  EXPECT_EQ(directory_.contents("f"), data);
}

// The destructor waits for the store: memory that requests use cannot go.
TEST_F(HungStore, DestructionWaitsForTheStore) {
  const auto data = pattern(10 * kPage, 8);
  make();
  File file = open("f");
  ASSERT_EQ(*file.write(data, 0), data.size());
  fail(StoreOp::kWrite);
  EXPECT_EQ(file.close().code(), kEio);
  hold({StoreOp::kWrite});
  std::atomic<bool> destroyed{false};
  std::jthread destroyer([&] {
    cache_.reset();
    destroyed = true;
  });
  ASSERT_TRUE(eventually([&] { return store_->held() > 0; }));
  EXPECT_FALSE(destroyed.load());
  release();
  destroyer.join();
  EXPECT_EQ(directory_.contents("f"), data);
}

// Refused, loudly: open files of a destroyed cache fail, and what they wrote is still stored.
TEST_F(HungStore, ACacheDestroyedWithOpenFilesSaysSoAndLeavesThemClosed) {
  const auto data = pattern(10 * kPage, 9);
  make();
  {
    File file = open("left-open");
    ASSERT_EQ(*file.write(data, 0), data.size());
    hold({StoreOp::kWrite});
    cache_.reset();
    EXPECT_GE(log_.count(LogLevel::kError, "left-open"), 1u) << log_.all();
    std::vector<std::byte> buffer(kPage);
    EXPECT_EQ(file.read(buffer, 0).code(), Errc::kClosed);
    EXPECT_EQ(file.write(data, 0).code(), Errc::kClosed);
    EXPECT_EQ(file.sync().code(), Errc::kClosed);
    release();
  }
  EXPECT_EQ(directory_.contents("left-open"), data);
}

}  // namespace
}  // namespace quire::cases
