// write_and_invalidate and invalidate where time must pass: a page that stays pinned. Under all locking
// strategies.
#include <gtest/gtest.h>

#include "cache/fill.h"
#include "file/shoot_down.h"
#include "file/test_engine.h"
#include "file/test_sim.h"
#include "sync/clock.h"
#include "sync/sim/sim_test.h"

namespace quire::file {
namespace {

// invalidate-skips-dirty: somebody keeps a page pinned for longer than it is waited for. EBUSY within
// the stated time; nothing was written, nothing dropped, and nothing is sealed. When the pin is gone all
// of it goes. Fails if seal() passes over the page, waits for ever (a deadlock), or forgets to unseal.
SIM_TEST(ShootDownSim, AgainstAPinnedPage) {
  for (const Locking locking :
       {Locking::kGate, Locking::kRange, Locking::kInvalidate, Locking::kInode}) {
    Engine engine({.initial_bytes = 4 * kPage, .frames = 24, .locking = locking});
    engine.pages->flusher().stop();
    engine.write(0, kPage, 'a');
    {
      cache::PinnedRun pinned;
      ASSERT_FALSE(cache::fill_run(*engine.inode, 1, 1, {}, pinned));
      (void)engine.read(2 * kPage, kPage);
      const auto begun = sync::Clock::now();
      EXPECT_EQ(write_and_invalidate(engine.inode, 0, kLast, {}),
                std::errc::device_or_resource_busy);
      EXPECT_GE(sync::Clock::now() - begun, limits::kPinnedWaitMax);
      EXPECT_LE(sync::Clock::now() - begun, 2 * limits::kPinnedWaitMax);
      EXPECT_EQ(engine.inode->resident_pages(), 3u);
      for (std::uint64_t page = 0; page < 3; ++page) EXPECT_FALSE(engine.value(page).sealed());
      EXPECT_EQ(engine.value(0).state(), cache::PageState::kDirty);
      EXPECT_EQ(engine.store->contents("f"), cache::filled(4 * kPage, 'i'));

      cache::Stayed stayed;
      EXPECT_FALSE(invalidate(*engine.inode, 0, kLast, {}, &stayed));
      EXPECT_EQ(stayed.pages, 2u);
      EXPECT_EQ(stayed.dirty, 1u);
      EXPECT_TRUE(engine.value(2).absent());

      // The caller's own limit, if that is earlier.
      const sync::WaitLimit soon = {sync::deadline_after(limits::kPinnedWaitMax / 2), {}};
      EXPECT_EQ(write_and_invalidate(engine.inode, 0, kLast, soon), Errc::kTimedOut);
    }
    EXPECT_FALSE(write_and_invalidate(engine.inode, 0, kLast, {}));
    EXPECT_EQ(engine.inode->resident_pages(), 0u);
    EXPECT_EQ(engine.store->contents("f")[0], std::byte{'a'});
  }
}

}  // namespace
}  // namespace quire::file
