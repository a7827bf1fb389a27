// The process's memory: the peak resident set of a program that works on much more data than its
// budget stays within the budget and a stated constant.
//
// The constant is for all that is not the cache's data: the program's and the libraries' code, the
// C++ heap, the stacks of the library's threads and of the program's, what the kernel maps for
// io_uring. File objects are the heap's: a kilobyte or two each, and so are files that were closed
// and whose pages are still cached.

#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "cases/support.h"

namespace quire::cases {
namespace {

// As include/quire/options.h says.
constexpr std::uint64_t kBesideMaxBytes = std::uint64_t{16} << 20;
constexpr std::size_t kThreads = 8;

// Of /proc/self/status, in bytes.
std::uint64_t status_bytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word != name + ":") continue;
    std::uint64_t kib = 0;
    status >> kib;
    return kib << 10;
  }
  return 0;
}

// Forgets the peak until now, so that each test has its own.
void reset_peak() {
  std::ofstream("/proc/self/clear_refs") << "5";
}

std::uint64_t random_of(std::uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

class BudgetCase : public CaseTest {
 protected:
  void make_with(std::size_t memory_bytes) {
    CacheOptions options;
    options.memory_bytes = memory_bytes;
    make(options);
    reset_peak();
  }
  void check_use() {
    const CacheStats stats = cache_->stats();
    EXPECT_LE(stats.memory_used_bytes, stats.memory_bytes);
  }
  void expect_peak_within(std::size_t memory_bytes) {
    const std::uint64_t peak = status_bytes("VmHWM");
    std::printf("budget %zu MiB, peak %.1f MiB, beside the budget %.1f MiB\n", memory_bytes >> 20,
                static_cast<double>(peak) / (1 << 20),
                (static_cast<double>(peak) - static_cast<double>(memory_bytes)) / (1 << 20));
    EXPECT_GT(peak, memory_bytes / 2) << "the work did not fill the cache";
    EXPECT_LE(peak, memory_bytes + kBesideMaxBytes);
  }
};

// Fails when a frame is allocated outside the budget, or IO buffers are not counted.
TEST_F(BudgetCase, EightThreadsOnAGibibyte) {
  constexpr std::size_t kMemory = 64 << 20;
  constexpr std::uint64_t kFile = std::uint64_t{1} << 30;
  make_with(kMemory);
  ASSERT_TRUE(open("f").truncate(kFile).ok());
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      // Each has an eighth, sparse but for what it writes: 32 MiB in pieces, scattered and in a
      // row.
      File file = open("f", OpenFlags::kReadWrite);
      const std::uint64_t begin = kFile / kThreads * t;
      const auto data = pattern(100'000, static_cast<unsigned>(t));
      std::vector<std::byte> buffer(data.size());
      std::uint64_t state = t + 1;
      for (int i = 0; i < 160; ++i) {
        const std::uint64_t at = begin + random_of(state) % (kFile / kThreads - data.size());
        ASSERT_EQ(*file.write(data, at), data.size());
        ASSERT_EQ(*file.read(buffer, at), buffer.size());
        EXPECT_EQ(buffer, data);
        const std::uint64_t other = begin + random_of(state) % (kFile / kThreads - data.size());
        ASSERT_EQ(*file.read(buffer, other), buffer.size());
        check_use();
      }
      for (std::uint64_t at = begin; at < begin + kFile / kThreads; at += buffer.size()) {
        ASSERT_TRUE(file.read(buffer, at).ok());
      }
      check_use();
      EXPECT_TRUE(file.close().ok());
    });
  }
  threads.clear();
  EXPECT_GT(cache_->stats().evicted_pages, kMemory / kPage);
  expect_peak_within(kMemory);
}

// The least budget, and more files than it has room for.
TEST_F(BudgetCase, TheLeastBudgetAndManyFiles) {
  constexpr std::size_t kMemory = limits::kMemoryMinBytes;
  constexpr std::size_t kFiles = 3000;
  make_with(kMemory);
  const auto data = pattern(3 * kPage + 100, 1);
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = t; i < kFiles; i += 4) {
        File file = open("f" + std::to_string(i));
        ASSERT_EQ(*file.write(data, i % 5 * kPage), data.size());
        ASSERT_TRUE(file.close().ok());
        if (i % 64 == t) check_use();
      }
    });
  }
  threads.clear();
  std::vector<std::byte> buffer(data.size());
  for (std::size_t i = 0; i < kFiles; ++i) {
    File file = open("f" + std::to_string(i), OpenFlags::kRead);
    ASSERT_EQ(*file.read(buffer, i % 5 * kPage), buffer.size());
    ASSERT_EQ(buffer, data) << i;
  }
  check_use();
  expect_peak_within(kMemory);
}

}  // namespace
}  // namespace quire::cases
