// A file as those see it who add pages to it and who cut it: for tests of CacheLock in the simulation. It fails
// the test where a page is added while it is blocked.
#ifndef QUIRE_CACHE_TEST_CUT_FILE_H_
#define QUIRE_CACHE_TEST_CUT_FILE_H_

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "cache/cache_lock.h"
#include "sync/parker.h"
#include "sync/test_threads.h"
#include "sync/thread.h"
#include "sync/wait.h"

namespace quire::cache {

using sync::RwMode;
using sync::start_thread;
using sync::WaitLimit;
using sync::WaitStatus;

// Plain numbers: fibers change over at yield points only.
class CutFile {
 public:
  static constexpr std::uint64_t kPages = 8;

  explicit CutFile(Locking strategy) : lock(strategy) {}

  // A read that misses: adds, lets a "store" in another thread fill, and goes.
  void miss(std::uint64_t first, std::uint64_t last, const WaitLimit& limit = {}) {
    CacheLock::Operation operation;
    if (operation.begin(lock, RwMode::kRead, limit) != WaitStatus::kReady) return;
    CacheLock::Add add;
    if (add.begin(lock, first, last, limit) != WaitStatus::kReady) return;
    const std::uint64_t blocks_before = blocks_begun;
    look_at_adds(first, last, 1);
    sync::yield_thread();
    look_at_adds(first, last, -1);
    add.added();
    const bool kept = lock.strategy() == Locking::kInvalidate;
    sync::Parker filled;
    sync::Thread store = start_thread("store", [&] {
      sync::yield_thread();
      // Until the pages are filled no cut of this file began.
      EXPECT_TRUE(!kept || blocks_begun == blocks_before);
      add.end();
      filled.unpark();
    });
    filled.park();
    store.join();
    EXPECT_TRUE(!lock.guards_operations() || blocks_begun == blocks_before);
  }
  // A cut, which ends in another thread than it began.
  void cut(std::uint64_t first, std::uint64_t last, const WaitLimit& limit = {}) {
    CacheLock::Operation operation;
    if (operation.begin(lock, RwMode::kWrite, limit) != WaitStatus::kReady) return;
    CacheLock::Block block;
    if (block.begin(lock, first, last, limit) != WaitStatus::kReady) return;
    ++blocks_begun;
    ++cuts;
    operation.hand_over();
    block.hand_over();
    start_thread("store", [&] {
      look_at_block(first, last, 1);
      sync::yield_thread();
      look_at_block(first, last, -1);
      block.end();
      operation.end();
    }).join();
  }

  // Who adds says so before (1) and after (-1).
  void look_at_adds(std::uint64_t first, std::uint64_t last, int change) {
    for (std::uint64_t i = first; i <= last; ++i) {
      adding_[i] += change;
      EXPECT_EQ(blocked_[i], 0) << "a page is added where it is blocked";
    }
  }

  CacheLock lock;
  std::uint64_t blocks_begun = 0;
  int cuts = 0;

 private:
  void look_at_block(std::uint64_t first, std::uint64_t last, int change) {
    for (std::uint64_t i = first; i <= last; ++i) {
      blocked_[i] += change;
      EXPECT_EQ(adding_[i], 0) << "a page is blocked while it is added";
    }
  }

  std::array<int, kPages> adding_ = {};
  std::array<int, kPages> blocked_ = {};
};

// Nobody waits, and everything can still be done.
inline void expect_free(CutFile& file) {
  EXPECT_EQ(file.lock.waiting_count(sync::GateSide::kAdd), 0u);
  EXPECT_EQ(file.lock.waiting_count(sync::GateSide::kBlock), 0u);
  const int before = file.cuts;
  file.miss(0, CutFile::kPages - 1);
  file.cut(0, CutFile::kPages - 1);
  EXPECT_EQ(file.cuts, before + 1);
}

}  // namespace quire::cache

#endif  // QUIRE_CACHE_TEST_CUT_FILE_H_
