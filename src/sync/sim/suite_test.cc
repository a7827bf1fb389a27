// The harness of simulation tests: what it says of a failing run.
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include "sync/check.h"
#include "sync/parker.h"
#include "sync/sim/scheduler.h"
#include "sync/sim/sim_test.h"
#include "sync/thread.h"

namespace quire::sync::sim {
namespace {

TEST(SimSuite, FailureSaysHowToReplay) {
  EXPECT_NONFATAL_FAILURE(run_seeds("Some.Test", [] { Parker().park(); }),
                          "./test --sim --seed 0 --case Some.Test");
  EXPECT_NONFATAL_FAILURE(run_seeds("Some.Test", [] { Parker().park(); }),
                          "waits at park on parker 1");
}

TEST(SimSuite, NoticesRunsThatDependOnEarlierOnes) {
  static int runs = 0;
  runs = 0;
  EXPECT_NONFATAL_FAILURE(run_seeds("Some.Test",
                                    [] {
                                      if (++runs == 1) yield_thread();
                                    }),
                          "depends on something besides its seed");
}

TEST(SimSuite, SeedsAlternateSchedules) {
  if (suite_options().schedule) return;
  EXPECT_EQ(options_of_seed(6).schedule, Schedule::kRandom);
  EXPECT_EQ(options_of_seed(7).schedule, Schedule::kPct);
}

TEST(SimSuiteDeathTest, FailedCheckNamesItsSeed) {
  EXPECT_DEATH(run({.seed = 42}, [] { QUIRE_CHECK(1 + 1 == 3); }),
               "check failed: 1 \\+ 1 == 3(.|\n)*seed 42, random schedule.*'main'");
}

}  // namespace
}  // namespace quire::sync::sim
