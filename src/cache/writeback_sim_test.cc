// What writeback promises about time, in the simulation: its clock moves only while everybody waits.
#include <gtest/gtest.h>

#include <chrono>
#include <system_error>

#include "cache/test_pages.h"
#include "cache/writeback.h"
#include "sync/clock.h"
#include "sync/parker.h"
#include "sync/sim/sim_test.h"

namespace quire::cache {
namespace {

void wait_ms(int ms) {
  sync::Parker nobody;
  (void)nobody.park_until({sync::deadline_after(std::chrono::milliseconds(ms)), {}});
}

// A writer without a limit of his own, at the dirty limit of a store that answers nothing, gets an error
// in the end, and not early. Fails (does not end) if the flusher does not call note_silence.
SIM_TEST(WritebackSim, ASilentStoreIsAnErrorAtTheDirtyLimit) {
  OneFile file({}, small_budget(64, 2));
  file.store->set_hook(when(StoreOp::kWrite, held()));
  EXPECT_FALSE(file.write(0, 'a'));
  EXPECT_FALSE(file.write(5, 'a'));
  const sync::Clock::time_point begin = sync::Clock::now();
  EXPECT_EQ(file.write(9, 'a'), std::errc::timed_out);
  const sync::Clock::duration took = sync::Clock::now() - begin;
  EXPECT_GE(took, limits::kStoreSilenceMax);
  EXPECT_LE(took, limits::kStoreSilenceMax + 3 * limits::kDirtyStallMax);
  EXPECT_EQ(file.store->held(), 2u);
  // An answer heals it.
  file.store->set_hook({});
  file.store->release_held();
  EXPECT_FALSE(file.write(9, 'a'));
}

// A store that answers late is waited for. Fails if note_silence does not look at the time.
SIM_TEST(WritebackSim, ASlowStoreIsNoError) {
  OneFile file({}, small_budget(64, 2));
  file.store->set_hook(when(StoreOp::kWrite, held()));
  EXPECT_FALSE(file.write(0, 'a'));
  EXPECT_FALSE(file.write(5, 'a'));
  sync::Thread disk = start_thread("disk", [&] {
    for (int i = 0; i < 2; ++i) {
      wait_ms(14000);
      file.store->release_held(1);
    }
  });
  EXPECT_FALSE(file.write(9, 'a'));
  EXPECT_FALSE(file.write(13, 'a'));
  disk.join();
}

// More old pages of one file than a batch holds are written without a pause. Fails if end_turn says
// false after a whole batch.
SIM_TEST(WritebackSim, OldPagesAreWrittenWithoutAPauseBetweenBatches) {
  constexpr std::uint64_t kPages = FlushBatch::kPagesMax + 4;
  OneFile file({}, small_budget(kPages + 64, kPages));
  const sync::Clock::time_point begin = sync::Clock::now();
  for (std::uint64_t i = 0; i < kPages; ++i) EXPECT_FALSE(file.write(i, 'a'));
  while (file.cache->dirty().taken() > 0) wait_ms(5);
  EXPECT_GE(sync::Clock::now() - begin, limits::kDirtyAgeDefault);
  EXPECT_LT(sync::Clock::now() - begin, limits::kDirtyAgeDefault + limits::kWritebackRetryMin);
}

}  // namespace
}  // namespace quire::cache
