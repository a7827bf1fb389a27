// The local/global lock under the simulation's schedules.
#include <gtest/gtest.h>

#include <functional>
#include <utility>
#include <vector>

#include "sync/local_global_lock.h"
#include "sync/sim/sim_test.h"
#include "sync/test_threads.h"
#include "sync/thread.h"

namespace quire::sync {
namespace {

using Lock = LocalGlobalLock<2>;

// Who is in, as they say themselves.
struct LocalGlobalRoom {
  int locals[Lock::kStripeCount] = {};
  int globals = 0;

  void local(Lock& lock, std::size_t stripe) {
    const Lock::LocalGuard guard(lock, stripe);
    EXPECT_EQ(++locals[stripe], 1);
    yield_thread();
    EXPECT_EQ(globals, 0);
    --locals[stripe];
  }
  void global(Lock& lock) {
    const Lock::GlobalGuard guard(lock);
    EXPECT_EQ(++globals, 1);
    yield_thread();
    for (const int local : locals) EXPECT_EQ(local, 0);
    --globals;
  }
};

SIM_EXPLORE(LocalGlobalLockSim, TwoGlobalsAndALocal, 2) {
  Lock lock;
  LocalGlobalRoom room;
  Thread local = start_thread("local", [&] { room.local(lock, 1); });
  Thread global = start_thread("global", [&] { room.global(lock); });
  room.global(lock);
  local.join();
  global.join();
}

SIM_EXPLORE(LocalGlobalLockSim, TwoLocalsAndAGlobal, 2) {
  Lock lock;
  LocalGlobalRoom room;
  Thread one = start_thread("one", [&] { room.local(lock, 0); });
  Thread two = start_thread("two", [&] { room.local(lock, 0); });
  room.global(lock);
  one.join();
  two.join();
}

SIM_TEST(LocalGlobalLockSim, AFiberKeepsItsStripe) {
  Lock lock;
  LocalGlobalRoom room;
  std::vector<Thread> threads;
  for (int number = 0; number < 4; ++number) {
    threads.push_back(start_thread("thread", [&] {
      const std::size_t stripe = Lock::this_thread_stripe();
      for (int round = 0; round < 3; ++round) {
        EXPECT_EQ(Lock::this_thread_stripe(), stripe);
        room.local(lock, stripe);
      }
    }));
  }
  room.global(lock);
  for (Thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace quire::sync
