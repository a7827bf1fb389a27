// The file floor over the memory store: what a program sees of one Cache and its Files.
#include "quire/file.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <latch>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "file/test_bytes.h"
#include "quire/cache.h"
#include "quire/error.h"
#include "quire/store_memory.h"

namespace quire {
namespace {

constexpr auto kRw = OpenFlags::kReadWrite | OpenFlags::kCreate;

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::vector<std::byte> pattern(std::size_t bytes, unsigned seed) {
  std::vector<std::byte> result(bytes);
  std::uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
  for (std::byte& b : result) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    b = static_cast<std::byte>(x >> 32);
  }
  return result;
}

class FileTest : public testing::Test {
 protected:
  void SetUp() override { make({}); }
  void TearDown() override {
    if (cache_ == nullptr) return;
    store_->set_hook({});
    store_->release_held();
    EXPECT_TRUE(cache_->close().ok());
  }
  void make(CacheOptions options) {
    cache_.reset();
    store_ = MemoryStore::create();
    if (options.memory_bytes == limits::kMemoryDefaultBytes) options.memory_bytes = 8 << 20;
    options.log = [this](LogLevel level, std::string_view text) {
      if (level == LogLevel::kError) errors_.emplace_back(text);
    };
    auto cache = Cache::create(store_, options);
    ASSERT_TRUE(cache.ok()) << cache.error().message();
    cache_ = std::move(*cache);
  }
  File open(const std::string& path, OpenFlags flags = kRw) {
    auto file = cache_->open(path, flags);
    EXPECT_TRUE(file.ok()) << file.error().message();
    return file.ok() ? std::move(*file) : File();
  }
  static std::string read(File& file, std::uint64_t offset, std::size_t bytes) {
    std::vector<std::byte> buffer(bytes);
    auto got = file.read(buffer, offset);
    if (!got.ok()) return "error: " + got.error().message();
    return text_of(std::span(buffer).first(*got));
  }

  std::shared_ptr<MemoryStore> store_;
  std::unique_ptr<Cache> cache_;
  std::vector<std::string> errors_;
};

TEST_F(FileTest, WhatIsWrittenIsReadAndReachesTheStoreAtSync) {
  File file = open("a");
  ASSERT_TRUE(file.write(bytes_of("hello world"), 0).ok());
  EXPECT_EQ(read(file, 6, 100), "world");
  EXPECT_EQ(read(file, 11, 10), "");
  ASSERT_TRUE(file.sync().ok());
  EXPECT_EQ(text_of(store_->durable_contents("a")), "hello world");
  ASSERT_TRUE(file.close().ok());
}

TEST_F(FileTest, DataLargerThanTheBudgetComesBackWhole) {
  const auto data = pattern(40 << 20, 1);
  File file = open("big");
  std::size_t at = 0;
  for (const std::size_t piece : {5000u, 100'000u, 4096u, 1u << 20, 3u}) {
    const std::size_t n = std::min<std::size_t>(piece * 37, data.size() - at);
    ASSERT_EQ(*file.write(std::span(data).subspan(at, n), at), n);
    at += n;
  }
  while (at < data.size()) {
    const std::size_t n = std::min<std::size_t>(777'777, data.size() - at);
    ASSERT_EQ(*file.write(std::span(data).subspan(at, n), at), n);
    at += n;
  }
  std::vector<std::byte> back(data.size());
  ASSERT_EQ(*file.read(back, 0), data.size());
  EXPECT_TRUE(back == data);
  ASSERT_TRUE(file.sync().ok());
  EXPECT_TRUE(store_->durable_contents("big") == data);
  const CacheStats stats = cache_->stats();
  EXPECT_LE(stats.memory_used_bytes, stats.memory_bytes);
  EXPECT_GT(stats.evicted_pages, 0u);
  ASSERT_TRUE(file.close().ok());
}

TEST_F(FileTest, PartialOverwritesReadTheRest) {
  const auto data = pattern(20'000, 2);
  store_->poke("p", data);
  File file = open("p");
  auto expected = data;
  const auto patch = pattern(5'000, 3);
  std::copy(patch.begin(), patch.end(), expected.begin() + 3'000);
  ASSERT_EQ(*file.write(patch, 3'000), patch.size());
  std::vector<std::byte> back(data.size());
  ASSERT_EQ(*file.read(back, 0), data.size());
  EXPECT_TRUE(back == expected);
  ASSERT_TRUE(file.close().ok());
  EXPECT_TRUE(store_->contents("p") == expected);
}

TEST_F(FileTest, AWriteBeyondTheEndLeavesAHoleOfZeros) {
  File file = open("sparse");
  const std::uint64_t far = (std::uint64_t{1} << 62) + 5;
  ASSERT_TRUE(file.write(bytes_of("x"), far).ok());
  EXPECT_EQ(file.stat()->size_bytes, far + 1);
  EXPECT_EQ(read(file, far - 2, 10), std::string("\0\0x", 3));
  EXPECT_EQ(read(file, 12345, 3), std::string(3, '\0'));
  ASSERT_TRUE(file.close().ok());
}

TEST_F(FileTest, TheLargestOffsets) {
  File file = open("max");
  const std::uint64_t last = limits::kFileSizeMaxBytes - 1;
  EXPECT_EQ(*file.write(bytes_of("ab"), last), 1u) << "cut at the largest size";
  EXPECT_EQ(file.write(bytes_of("ab"), last + 1).code(), std::errc::file_too_large);
  EXPECT_EQ(file.truncate(limits::kFileSizeMaxBytes + 1).code(), std::errc::file_too_large);
  EXPECT_EQ(read(file, last, 1), "a");
  ASSERT_TRUE(file.truncate(0).ok());
  ASSERT_TRUE(file.close().ok());
}

TEST_F(FileTest, TruncateShrinksAndGrowsWithZeros) {
  File file = open("t");
  const auto data = pattern(10'000, 4);
  ASSERT_TRUE(file.write(data, 0).ok());
  ASSERT_TRUE(file.truncate(5'000).ok());
  EXPECT_EQ(file.stat()->size_bytes, 5'000u);
  EXPECT_EQ(read(file, 4'999, 10).size(), 1u);
  ASSERT_TRUE(file.truncate(9'000).ok());
  EXPECT_EQ(read(file, 5'000, 4'000), std::string(4'000, '\0'));
  EXPECT_EQ(read(file, 0, 5'000), text_of(std::span(data).first(5'000)));
  ASSERT_TRUE(file.sync().ok());
  auto expected = data;
  expected.resize(5'000);
  expected.resize(9'000);
  EXPECT_TRUE(store_->durable_contents("t") == expected);
  ASSERT_TRUE(file.close().ok());
}

TEST_F(FileTest, TruncateThatTheStoreRefusesChangesNothing) {
  File file = open("t");
  const auto data = pattern(10'000, 4);
  ASSERT_TRUE(file.write(data, 0).ok());
  store_->set_hook([](const StoreRequest& r) {
    StoreVerdict v;
    if (r.op == StoreOp::kTruncate) v.error = std::make_error_code(std::errc::io_error);
    return v;
  });
  EXPECT_EQ(file.truncate(100).code(), std::errc::io_error);
  EXPECT_EQ(file.stat()->size_bytes, 10'000u);
  EXPECT_EQ(read(file, 0, 10'000), text_of(data));
  store_->set_hook({});
  ASSERT_TRUE(file.close().ok());
  EXPECT_TRUE(store_->contents("t") == data);
}

TEST_F(FileTest, AppendsFromManyThreadsStayWhole) {
  constexpr int kThreads = 4;
  constexpr int kRecords = 300;
  constexpr std::size_t kBytes = 100;
  File file = open("log");
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const std::string record(kBytes, static_cast<char>('a' + t));
      for (int i = 0; i < kRecords; ++i) {
        const auto at = file.append(bytes_of(record));
        ASSERT_TRUE(at.ok());
        ASSERT_EQ(*at % kBytes, 0u);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ASSERT_TRUE(file.close().ok());
  const std::string all = text_of(store_->contents("log"));
  ASSERT_EQ(all.size(), kThreads * kRecords * kBytes);
  std::vector<int> seen(kThreads);
  for (std::size_t i = 0; i < all.size(); i += kBytes) {
    ASSERT_EQ(all.substr(i, kBytes), std::string(kBytes, all[i]));
    ++seen[static_cast<std::size_t>(all[i] - 'a')];
  }
  EXPECT_EQ(seen, std::vector<int>(kThreads, kRecords));
}

// Fails when the reason why an append stopped is lost on the way.
TEST_F(FileTest, AnAppendThatStoppedHalfwaySaysWhy) {
  CacheOptions options;
  options.dirty_max_bytes = 64 * limits::kPageBytes;
  make(options);
  File file = open("log");
  const auto data = pattern(200 * limits::kPageBytes, 1);
  store_->set_hook([](const StoreRequest& r) {
    StoreVerdict v;
    v.hold = r.op == StoreOp::kWrite;
    return v;
  });
  CallOptions soon;
  soon.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
  EXPECT_EQ(file.append(data, soon).code(), Errc::kTimedOut);
  const std::uint64_t part = file.stat()->size_bytes;
  EXPECT_GT(part, 0u) << "what was appended stays";
  EXPECT_LT(part, data.size());
  store_->set_hook({});
  store_->release_held();

  ASSERT_TRUE(file.truncate(limits::kFileSizeMaxBytes - 3).ok());
  EXPECT_EQ(file.append(bytes_of("12345")).code(), std::errc::file_too_large);
  EXPECT_EQ(read(file, limits::kFileSizeMaxBytes - 3, 3), "123");
  ASSERT_TRUE(file.truncate(0).ok());
  ASSERT_TRUE(file.close().ok());
}

TEST_F(FileTest, AnAppendOfMoreThanATransferIsRefused) {
  File file = open("log");
  constexpr std::size_t kBytes = limits::kTransferMaxBytes + 1;
  // Never looked at: address space without memory.
  void* const memory =
      ::mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  EXPECT_EQ(file.append({static_cast<const std::byte*>(memory), kBytes}).code(),
            std::errc::invalid_argument);
  EXPECT_EQ(file.stat()->size_bytes, 0u);
  ::munmap(memory, kBytes);
  ASSERT_TRUE(file.close().ok());
}

TEST_F(FileTest, OpenWithAppendIgnoresTheOffset) {
  File file = open("log", OpenFlags::kWrite | OpenFlags::kCreate | OpenFlags::kAppend);
  ASSERT_TRUE(file.write(bytes_of("one"), 0).ok());
  ASSERT_TRUE(file.write(bytes_of("two"), 0).ok());
  EXPECT_EQ(file.read({}, 0).code(), std::errc::bad_file_descriptor);
  ASSERT_TRUE(file.close().ok());
  EXPECT_EQ(text_of(store_->contents("log")), "onetwo");
}

TEST_F(FileTest, HardLinksAreOneFile) {
  File a = open("a");
  store_->link("a", "b");
  File b = open("b");
  ASSERT_TRUE(a.write(bytes_of("shared"), 0).ok());
  EXPECT_EQ(read(b, 0, 10), "shared");
  EXPECT_EQ(a.stat()->id, b.stat()->id);
  ASSERT_TRUE(a.close().ok());
  ASSERT_TRUE(b.close().ok());
}

TEST_F(FileTest, VectoredFormsGatherAndScatter) {
  File file = open("v");
  const std::string one = "first-", two = "", three(5'000, 'z');
  const std::vector<std::span<const std::byte>> out = {bytes_of(one), bytes_of(two),
                                                       bytes_of(three)};
  ASSERT_EQ(*file.writev(out, 10), one.size() + three.size());
  std::vector<std::byte> x(6), y(4'999), z(100);
  const std::vector<std::span<std::byte>> in = {x, y, z};
  ASSERT_EQ(*file.readv(in, 10), one.size() + three.size());
  EXPECT_EQ(text_of(x), one);
  EXPECT_EQ(text_of(y), three.substr(0, 4'999));
  ASSERT_TRUE(file.close().ok());
}

TEST_F(FileTest, AFailedWritebackKeepsThePageAndEverySyncFailsUntilItIsStored) {
  File file = open("f");
  ASSERT_TRUE(file.write(bytes_of("precious"), 0).ok());
  store_->set_hook([](const StoreRequest& r) {
    StoreVerdict v;
    if (r.op == StoreOp::kWrite) v.error = std::make_error_code(std::errc::no_space_on_device);
    return v;
  });
  EXPECT_EQ(file.sync().code(), std::errc::no_space_on_device);
  EXPECT_EQ(file.sync().code(), std::errc::no_space_on_device);
  EXPECT_EQ(read(file, 0, 100), "precious");
  store_->set_hook({});
  EXPECT_TRUE(file.sync().ok());
  EXPECT_EQ(text_of(store_->durable_contents("f")), "precious");
  ASSERT_TRUE(file.close().ok());
}

TEST_F(FileTest, AfterAFailedSyncTheDataIsWrittenAgain) {
  File file = open("f");
  ASSERT_TRUE(file.write(bytes_of("one"), 0).ok());
  ASSERT_TRUE(file.sync().ok());
  ASSERT_TRUE(file.write(bytes_of("two"), 0).ok());
  bool failed = false;
  store_->set_hook([&](const StoreRequest& r) {
    StoreVerdict v;
    if (r.op == StoreOp::kSync && !failed) {
      failed = true;
      v.error = std::make_error_code(std::errc::io_error);
      v.drop_unsynced = true;  // what a kernel does with pages whose write failed
    }
    return v;
  });
  EXPECT_EQ(file.sync().code(), std::errc::io_error);
  EXPECT_TRUE(file.sync().ok());
  EXPECT_EQ(text_of(store_->durable_contents("f")), "two");
  ASSERT_TRUE(file.close().ok());
}

TEST_F(FileTest, AHungStoreCanBeLeft) {
  store_->poke("h", pattern(100'000, 5));
  File file = open("h");
  store_->set_hook([](const StoreRequest&) {
    StoreVerdict v;
    v.hold = true;
    return v;
  });
  std::vector<std::byte> buffer(10);
  CallOptions soon;
  soon.deadline = std::chrono::steady_clock::now();
  EXPECT_EQ(file.read(buffer, 0, soon).code(), Errc::kTimedOut);
  std::stop_source stop;
  stop.request_stop();
  CallOptions stopped;
  stopped.stop = stop.get_token();
  EXPECT_EQ(file.read(buffer, 50'000, stopped).code(), Errc::kInterrupted);
  // A page that somebody else's hung request is filling.
  EXPECT_EQ(file.read(buffer, 0, stopped).code(), Errc::kInterrupted);
  store_->set_hook({});
  store_->release_held();
  EXPECT_EQ(*file.read(buffer, 0), 10u);
  ASSERT_TRUE(file.close().ok());
}

TEST_F(FileTest, SubmittedRequestsCompleteExactlyOnce) {
  File file = open("s");
  constexpr int kCount = 200;
  std::latch done(kCount);
  std::atomic<int> wrong{0};
  const auto data = pattern(4'096, 6);
  for (int i = 0; i < kCount; ++i) {
    ASSERT_TRUE(file.submit(WriteOp{data, static_cast<std::uint64_t>(i) * 4096},
                            [&](Result<std::size_t> result) {
                              if (!result.ok() || *result != 4096) ++wrong;
                              done.count_down();
                            })
                    .ok());
  }
  done.wait();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(file.stat()->size_bytes, kCount * 4096u);
  ASSERT_TRUE(file.close().ok());
}

TEST_F(FileTest, BadFlagsAreRefusedWithAReason) {
  EXPECT_EQ(cache_->open("x", OpenFlags::kCreate).code(), std::errc::invalid_argument);
  EXPECT_EQ(cache_->open("x", OpenFlags::kRead | OpenFlags::kTruncate).code(),
            std::errc::invalid_argument);
  EXPECT_EQ(cache_->open("x", OpenFlags::kRead).code(), std::errc::no_such_file_or_directory);
  EXPECT_EQ(cache_->open("../x", OpenFlags::kRead).code(), Errc::kPathEscapes);
}

TEST_F(FileTest, OptionsOutOfRangeNameThemselves) {
  CacheOptions options;
  options.memory_bytes = limits::kMemoryMinBytes - 1;
  const auto cache = Cache::create(store_, options);
  EXPECT_EQ(cache.code(), std::errc::invalid_argument);
  EXPECT_NE(cache.error().message().find("memory_bytes is 8388607"), std::string::npos);
}

TEST_F(FileTest, ACacheWithOpenFilesRefusesToClose) {
  File file = open("open-one");
  const Status closed = cache_->close();
  EXPECT_EQ(closed.code(), Errc::kOpenFiles);
  EXPECT_NE(closed.error().message().find("open-one"), std::string::npos);
  ASSERT_TRUE(file.write(bytes_of("still works"), 0).ok());
  ASSERT_TRUE(file.close().ok());
}

TEST_F(FileTest, AFileThatOutlivesItsCacheFailsCleanly) {
  File file = open("late");
  cache_.reset();
  EXPECT_FALSE(errors_.empty()) << "it is said loudly";
  EXPECT_EQ(file.write(bytes_of("x"), 0).code(), Errc::kClosed);
}

TEST_F(FileTest, PagesOfAClosedFileAreUsedAgainUnlessItChanged) {
  const auto data = pattern(8'192, 7);
  store_->poke("again", data);
  {
    File file = open("again");
    EXPECT_EQ(read(file, 0, 8'192), text_of(data));
    ASSERT_TRUE(file.close().ok());
  }
  const std::uint64_t requests = cache_->stats().read_requests;
  {
    File file = open("again");
    EXPECT_EQ(read(file, 0, 8'192), text_of(data));
    EXPECT_EQ(cache_->stats().read_requests, requests);
    ASSERT_TRUE(file.close().ok());
  }
  const auto other = pattern(6'000, 8);
  store_->poke("again", other);
  File file = open("again");
  EXPECT_EQ(read(file, 0, 8'192), text_of(other));
  ASSERT_TRUE(file.close().ok());
}

TEST_F(FileTest, AChangeBehindUnwrittenDataFailsOneSync) {
  File file = open("c");
  ASSERT_TRUE(file.write(bytes_of("mine"), 0).ok());
  store_->poke("c", {std::byte{1}, std::byte{2}});
  File again = open("c");
  EXPECT_EQ(read(again, 0, 10), "mine");
  EXPECT_FALSE(errors_.empty());
  EXPECT_EQ(file.sync().code(), std::error_code(ESTALE, std::generic_category()));
  EXPECT_TRUE(file.sync().ok());
  EXPECT_EQ(text_of(store_->durable_contents("c")), "mine");
  ASSERT_TRUE(file.close().ok());
  ASSERT_TRUE(again.close().ok());
}

TEST_F(FileTest, SyncedWritesAreDurableWhenTheyReturn) {
  File file = open("d", kRw | OpenFlags::kDataSync);
  ASSERT_TRUE(file.write(bytes_of("now"), 0).ok());
  EXPECT_EQ(text_of(store_->durable_contents("d")), "now");
  ASSERT_TRUE(file.close().ok());
}

// Fails when the write does not sync, or not with the store, or swallows what that says.
TEST_F(FileTest, SyncedWritesSyncTheStoreBeforeTheyReturnAndReturnItsError) {
  for (const OpenFlags flag : {OpenFlags::kSync, OpenFlags::kDataSync}) {
    File file = open("d", kRw | flag);
    int syncs = 0;
    std::error_code answer;
    store_->set_hook([&](const StoreRequest& r) {
      StoreVerdict v;
      if (r.op == StoreOp::kSync) {
        ++syncs;
        v.error = answer;
      }
      return v;
    });
    ASSERT_TRUE(file.write(bytes_of("one"), 0).ok());
    EXPECT_EQ(syncs, 1);
    ASSERT_TRUE(file.append(bytes_of("two")).ok());
    EXPECT_EQ(syncs, 2);
    answer = std::make_error_code(std::errc::io_error);
    EXPECT_EQ(file.write(bytes_of("ONE"), 0).code(), std::errc::io_error);
    EXPECT_EQ(file.append(bytes_of("three")).code(), std::errc::io_error);
    EXPECT_GE(syncs, 4);
    EXPECT_EQ(read(file, 0, 100), "ONEtwothree") << "in the cache all the same";
    answer = {};
    ASSERT_TRUE(file.write(bytes_of("!"), 11).ok());
    EXPECT_EQ(text_of(store_->durable_contents("d")), "ONEtwothree!");
    store_->set_hook({});
    ASSERT_TRUE(file.truncate(0).ok());
    ASSERT_TRUE(file.close().ok());
  }
}

// Fails when the destructor does not ask for the error, or keeps it to itself.
TEST_F(FileTest, AWriteErrorThatNobodyAskedForIsReturnedByCloseAndLoggedByTheDestructor) {
  const auto refuse_writes = [this] {
    store_->set_hook([](const StoreRequest& r) {
      StoreVerdict v;
      if (r.op == StoreOp::kWrite) v.error = std::make_error_code(std::errc::io_error);
      return v;
    });
  };
  File closed = open("closed");
  ASSERT_TRUE(closed.write(bytes_of("x"), 0).ok());
  refuse_writes();
  const Status status = closed.close();
  EXPECT_EQ(status.code(), std::errc::io_error);
  EXPECT_NE(status.error().message().find("closed"), std::string::npos);
  EXPECT_FALSE(closed.is_open());
  EXPECT_TRUE(errors_.empty()) << "returned, not logged: " << errors_.front();
  store_->set_hook({});
  ASSERT_TRUE(cache_->sync().ok());

  {
    File dropped = open("dropped");
    ASSERT_TRUE(dropped.write(bytes_of("x"), 0).ok());
    refuse_writes();
  }
  ASSERT_EQ(errors_.size(), 1u);
  EXPECT_NE(errors_[0].find("dropped"), std::string::npos) << errors_[0];
  store_->set_hook({});
  ASSERT_TRUE(cache_->sync().ok());
  EXPECT_EQ(text_of(store_->durable_contents("dropped")), "x") << "and kept";
}

TEST_F(FileTest, GrowthTakesNoSpace) {
  File file = open("sparse");
  ASSERT_TRUE(file.truncate(limits::kFileSizeMaxBytes).ok());
  ASSERT_TRUE(file.sync().ok());
  EXPECT_EQ(file.stat()->size_bytes, limits::kFileSizeMaxBytes);
  EXPECT_EQ(file.stat()->allocated_bytes, 0u);
  EXPECT_EQ(read(file, limits::kFileSizeMaxBytes - 5, 5), std::string(5, '\0'));
  EXPECT_EQ(file.stat()->allocated_bytes, 0u) << "nor does reading it";
  ASSERT_TRUE(file.close().ok());
}

TEST_F(FileTest, SequentialReadsAreReadAhead) {
  const auto data = pattern(2 << 20, 9);
  store_->poke("seq", data);
  File file = open("seq");
  for (std::size_t at = 0; at < data.size(); at += 4096) {
    std::vector<std::byte> buffer(4096);
    ASSERT_EQ(*file.read(buffer, at), 4096u);
    ASSERT_TRUE(std::equal(buffer.begin(), buffer.end(), data.begin() + static_cast<long>(at)));
  }
  const CacheStats stats = cache_->stats();
  EXPECT_LT(stats.read_requests, 40u);
  EXPECT_GT(stats.readahead_pages, 400u);
  ASSERT_TRUE(file.close().ok());
}

TEST_F(FileTest, TimeStampsAreTheCaches) {
  File file = open("stamp");
  ASSERT_TRUE(file.write(bytes_of("x"), 0).ok());
  const TimeSpec old{1'000'000, 5};
  ASSERT_TRUE(file.set_times(nullptr, &old).ok());
  EXPECT_EQ(file.stat()->mtime, old);
  ASSERT_TRUE(file.sync().ok());
  EXPECT_EQ(file.stat()->mtime, old) << "writeback is no change";
  ASSERT_TRUE(file.write(bytes_of("y"), 0).ok());
  EXPECT_NE(file.stat()->mtime, old);
  ASSERT_TRUE(file.close().ok());
}

}  // namespace
}  // namespace quire
