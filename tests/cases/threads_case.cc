// The threads of the library, as the kernel lists them: named quire-*, as many as docs/architecture.md
// says, every signal blocked; and none left after the end.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <latch>
#include <map>
#include <string>
#include <vector>

#include "cases/support.h"
#include "map/test_faults.h"
#include "quire/mapping.h"
#include "quire/store_memory.h"

namespace quire::cases {
namespace {

namespace fs = std::filesystem;

struct Task {
  std::string name;
  std::uint64_t blocked = 0;  // bit n: signal n + 1
};

// All threads of this process but the first, and but those of the kernel that serve its io_uring.
std::vector<Task> tasks() {
  std::vector<Task> result;
  for (const auto& entry : fs::directory_iterator("/proc/self/task")) {
    if (entry.path().filename() == std::to_string(::getpid())) continue;
    Task task;
    std::ifstream status(entry.path() / "status");
    for (std::string key; status >> key;) {
      if (key == "Name:") status >> task.name;
      if (key == "SigBlk:") status >> std::hex >> task.blocked;
    }
    if (!task.name.empty() && !task.name.starts_with("iou-")) result.push_back(task);
  }
  return result;
}

std::map<std::string, int> names() {
  std::map<std::string, int> count;
  for (const Task& task : tasks()) ++count[task.name];
  return count;
}

void expect_all_signals_blocked() {
  for (const Task& task : tasks()) {
    for (int signal = 1; signal <= 64; ++signal) {
      // The two that nobody can block, and the two that the C library keeps for itself.
      if (signal == SIGKILL || signal == SIGSTOP || signal == 32 || signal == 33) continue;
      EXPECT_NE(task.blocked >> (signal - 1) & 1, 0u) << task.name << ", signal " << signal;
    }
  }
}

class Threads : public CaseTest {
 protected:
  // Submitted syncs, enough to occupy every worker, and by them the store's threads.
  void keep_busy(File& file) {
    constexpr int kRequests = 40;
    std::latch ended(kRequests);
    for (int i = 0; i < kRequests; ++i) {
      ASSERT_TRUE(file.submit(SyncOp{}, [&](auto) { ended.count_down(); }).ok());
    }
    ended.wait();
  }
};

// Fails when a thread is started behind sync::Thread's back, or one more than is documented.
TEST_F(Threads, AreNamedCountedAndBlockEverySignal) {
  for (const auto engine : {HostStoreOptions::Engine::kThreads, HostStoreOptions::Engine::kAuto}) {
    HostStoreOptions host_options;
    host_options.engine = engine;
    host_options.threads = 3;
    auto host = open_host_store(directory_.path(), host_options);
    ASSERT_TRUE(host.ok()) << host.error().message();
    CacheOptions options;
    options.memory_bytes = 8 << 20;
    options.worker_threads = 5;
    auto cache = Cache::create(std::move(*host), options);
    ASSERT_TRUE(cache.ok());
    auto file = (*cache)->open("f", kRw);
    ASSERT_TRUE(file.ok());
    keep_busy(*file);

    std::map<std::string, int> expected = {{"quire-flush", 1}, {"quire-deadline", 1}};
    for (int i = 0; i < 5; ++i) expected["quire-work-" + std::to_string(i)] = 1;
    // A thread gives itself its name as the first thing that it does.
    EXPECT_TRUE(eventually([&] {
      std::map<std::string, int> found = names();
      for (int i = 0; i < 3; ++i) found.erase("quire-io-" + std::to_string(i));
      if (engine == HostStoreOptions::Engine::kAuto) found.erase("quire-uring");
      return found == expected;
    })) << testing::PrintToString(names());
    EXPECT_GE(names().count("quire-io-0"), 1u) << "syncs are its work";
    expect_all_signals_blocked();
    EXPECT_TRUE(file->close().ok());
    EXPECT_TRUE((*cache)->close().ok());
    cache->reset();
    EXPECT_TRUE(eventually([] { return tasks().empty(); })) << testing::PrintToString(names());
  }
}

// One thread answers the faults of all mappings, of all caches; it comes with the first and goes with the last. Fails
// if each mapping or cache has its own, or if it outlives them.
TEST_F(Threads, OneAnswersFaultsAsLongAsAnythingIsMapped) {
  if (map::userfault_refused()) GTEST_SKIP() << map::kUserfaultRefused;
  const auto others = MemoryStore::create();
  const auto cache = Cache::create(others, {.memory_bytes = 8 << 20}).value();
  make();
  File file = open("f");
  File other = cache->open("g", kRw).value();
  ASSERT_TRUE(file.truncate(1 << 20).ok() && other.truncate(1 << 20).ok());
  EXPECT_EQ(names().count("quire-fault"), 0u);
  {
    const Mapping first = file.map(0, 1 << 20).value();
    const Mapping second = other.map(4096, 4096).value();
    EXPECT_EQ(map::load(first.data()), map::value(0));
    EXPECT_EQ(map::load(second.data()), map::value(0));
    EXPECT_EQ(names()["quire-fault"], 1);
    expect_all_signals_blocked();
  }
  EXPECT_TRUE(eventually([] { return names().count("quire-fault") == 0; }));
  EXPECT_TRUE(file.close().ok() && other.close().ok() && cache->close().ok());
}

}  // namespace
}  // namespace quire::cases
