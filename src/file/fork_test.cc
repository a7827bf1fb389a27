// After a fork: every call in the child fails at once, and the child may destroy what it has.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "quire/cache.h"
#include "quire/error.h"
#include "quire/store_memory.h"

namespace quire {
namespace {

// Fails if a call does not look at the fork generation, or if ~CacheImpl in the child joins threads.
TEST(Fork, CallsInTheChildFailAndItsCopyCanBeDestroyed) {
  auto store = MemoryStore::create();
  auto cache = std::move(Cache::create(store, {.memory_bytes = limits::kMemoryMinBytes}).value());
  File file = std::move(cache->open("f", OpenFlags::kReadWrite | OpenFlags::kCreate).value());
  std::byte byte{1};
  ASSERT_TRUE(file.write({&byte, 1}, 0).ok());
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int wrong = 0;
    wrong += file.read({&byte, 1}, 0).code() != Errc::kForked;
    wrong += file.write({&byte, 1}, 0).code() != Errc::kForked;
    wrong += file.append({}).code() != Errc::kForked;
    wrong += file.truncate(0).code() != Errc::kForked;
    wrong += file.sync().code() != Errc::kForked;
    wrong += file.stat().code() != Errc::kForked;
    wrong += file.submit(SyncOp{}, [](Result<std::size_t>) {}).code() != Errc::kForked;
    wrong += cache->open("g", OpenFlags::kRead).code() != Errc::kForked;
    wrong += cache->sync().code() != Errc::kForked;
    wrong += cache->close().code() != Errc::kForked;
    wrong += cache->stats().memory_bytes != 0;
    wrong += file.close().code() != Errc::kForked;
    cache.reset();
    _exit(wrong);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(file.close().ok());
  EXPECT_TRUE(cache->close().ok());
}

}  // namespace
}  // namespace quire
