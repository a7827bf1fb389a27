// Tests in the simulation. They all link into one program, sim_suite (quire_sim_test() in CMake).
//
//   SIM_TEST(Gate, AddersAndBlockersExclude) {
//     ... sync::Thread, EXPECT_EQ, ...           // runs once per seed, as the fiber "main"
//   }
//   SIM_EXPLORE(Gate, TwoAgainstOne, 2) { ... }  // runs once per schedule of at most 2 preemptions
//
// Odd seeds run under PCT, even ones at random. A test fails at the first seed at which an
// expectation fails, the run deadlocks or does not end, and says how to replay it. At the end the
// first seed is run again: another trace hash means that the test depends on something besides its
// seed (addresses, real time, what an earlier run left behind), and fails it, for its failures
// could not be replayed.
//
// sim_suite takes, besides GoogleTest's flags:
//   --seeds N            as many seeds per test (50)
//   --seed N             just this one, printing each test's trace hash
//   --schedule S         random or pct, for all seeds
#ifndef QUIRE_SYNC_SIM_SIM_TEST_H_
#define QUIRE_SYNC_SIM_SIM_TEST_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>

#include "sync/sim/scheduler.h"

namespace quire::sync::sim {

struct SuiteOptions {
  std::uint64_t seeds = 50;
  std::optional<std::uint64_t> seed;
  std::optional<Schedule> schedule;
};
// What the command line said.
SuiteOptions& suite_options();
// Takes the flags above out of the command line. False, with a line on standard error, if one is
// wrong.
bool parse_suite_options(int* argc, char** argv);

// The options under which `seed` runs.
Options options_of_seed(std::uint64_t seed);

// Run `body` as SIM_TEST and SIM_EXPLORE do, adding GoogleTest failures.
void run_seeds(const char* test_name, void (*body)());
void run_explore(const char* test_name, unsigned preemptions_max, void (*body)());

// The test that is running, for reports of a crash; null if none is.
const char* running_test() noexcept;

}  // namespace quire::sync::sim

#define QUIRE_SIM_BODY(suite, name) quire_sim_body_##suite##_##name

#define SIM_TEST(suite, name)                                                      \
  static void QUIRE_SIM_BODY(suite, name)();                                       \
  TEST(suite, name) {                                                              \
    ::quire::sync::sim::run_seeds(#suite "." #name, &QUIRE_SIM_BODY(suite, name)); \
  }                                                                                \
  static void QUIRE_SIM_BODY(suite, name)()

#define SIM_EXPLORE(suite, name, preemptions_max)                      \
  static void QUIRE_SIM_BODY(suite, name)();                           \
  TEST(suite, name) {                                                  \
    ::quire::sync::sim::run_explore(#suite "." #name, preemptions_max, \
                                    &QUIRE_SIM_BODY(suite, name));     \
  }                                                                    \
  static void QUIRE_SIM_BODY(suite, name)()

#endif  // QUIRE_SYNC_SIM_SIM_TEST_H_
