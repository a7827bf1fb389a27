// Direct IO where time must pass: a page that stays pinned, a store that never answers. Under all locking
// strategies.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <optional>
#include <stop_token>

#include "cache/fill.h"
#include "file/direct.h"
#include "file/test_engine.h"
#include "file/test_sim.h"
#include "sync/clock.h"
#include "sync/sim/sim_test.h"

namespace quire::file {
namespace {

using cache::filled;

Transfer write(Engine& engine, std::uint64_t offset, std::size_t bytes, char with,
               const sync::WaitLimit& limit = {}) {
  const auto data = filled(bytes, with);
  const std::span<const std::byte> buffer = data;
  return direct_write(engine.inode, {&buffer, 1}, bytes, &offset, limit);
}

// pinned-page-fallback: somebody keeps a page of the range for longer than it is waited for. The write goes
// through the cache then, as soon as that can be, and to the store before it returns; what is in other pieces
// went directly. Fails if EBUSY is the caller's, or without flush_all() in write_through_cache.
SIM_TEST(DirectSim, PinnedPageFallback) {
  for (const Locking locking : kStrategies) {
    Engine engine({.initial_bytes = 3 * kPage, .frames = 24, .locking = locking});
    engine.pages->flusher().stop();
    std::optional<cache::PinnedRun> pinned(std::in_place);
    ASSERT_FALSE(cache::fill_run(*engine.inode, 1, 1, {}, *pinned));
    Transfer moved;
    const auto begun = sync::Clock::now();
    sync::Thread writer = cache::start_thread("writer", [&] {
      // That can be left, so that each page is a piece.
      moved =
          write(engine, 0, 3 * kPage, 'd', {sync::deadline_after(10 * limits::kPinnedWaitMax), {}});
    });
    cache::until([&] { return engine.pages->counters().direct_fallbacks.load() == 1; });
    EXPECT_GE(sync::Clock::now() - begun, limits::kPinnedWaitMax);
    EXPECT_FALSE(engine.value(1).sealed());
    EXPECT_EQ(engine.store->contents("f")[0], std::byte{'d'});
    pinned.reset();
    writer.join();
    EXPECT_FALSE(moved.error) << moved.error.message();
    EXPECT_EQ(moved.bytes, 3 * kPage);
    EXPECT_EQ(engine.store->contents("f"), filled(3 * kPage, 'd'));
    EXPECT_EQ(engine.value(1).state(), cache::PageState::kClean);
    EXPECT_EQ(engine.read(0, 3 * kPage), filled(3 * kPage, 'd'));
  }
}

// A store that does not answer: whoever asked for a way out gets out in time, from a read, from a write, from
// the writing of what was dirty before it. All of it ends when the store answers. Fails if a call that can be
// left waits inside the store.
SIM_TEST(DirectSim, AWayOutOfAHungStore) {
  for (const Locking locking : kStrategies) {
    Engine engine({.initial_bytes = 2 * kPage, .frames = 32, .locking = locking});
    engine.pages->flusher().stop();
    engine.store->set_hook([](const StoreRequest&) { return cache::held(); });
    const auto soon = [] {
      return sync::WaitLimit{sync::deadline_after(std::chrono::milliseconds(5)), {}};
    };
    std::vector<std::byte> out(kPage);
    const std::span<std::byte> buffer = out;
    EXPECT_EQ(direct_read(engine.inode, {&buffer, 1}, kPage, 0, soon()).error, Errc::kTimedOut);
    // Under `inode` the write would wait for the end of the read.
    engine.store->release_held();
    EXPECT_EQ(write(engine, kPage, kPage, 'd', soon()).error, Errc::kTimedOut);
    engine.store->set_hook({});
    engine.store->release_held();
    engine.write(0, kPage, 'b');
    engine.store->set_hook([](const StoreRequest&) { return cache::held(); });
    EXPECT_EQ(write(engine, 0, kPage, 'd', soon()).error, Errc::kTimedOut);
    std::stop_source stop;
    stop.request_stop();
    EXPECT_EQ(write(engine, 0, kPage, 'e', {sync::Clock::kNever, stop.get_token()}).error,
              Errc::kInterrupted);
    engine.store->set_hook({});
    engine.store->release_held();
    EXPECT_EQ(engine.inode->wait_idle({}), sync::WaitStatus::kReady);
    // The dirty page was written; the direct write had not begun.
    EXPECT_EQ(engine.read(0, kPage), filled(kPage, 'b'));
    EXPECT_EQ(engine.read(kPage, kPage), filled(kPage, 'd'));
  }
}

}  // namespace
}  // namespace quire::file
