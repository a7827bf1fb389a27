// The simulation: runs a program of several threads on one, in an order that a seed decides.
//
//   const sim::Outcome outcome = sim::run({.seed = 7}, [] {
//     sync::Thread other = *sync::Thread::start("other", [] { ... });
//     ...
//     other.join();
//   });
//   EXPECT_TRUE(outcome.ok()) << outcome.failure;
//
// What is simulated: the types of the seam (Atomic, Mutex, Condition, Parker, Thread, ThreadLocal,
// Clock, random_u64). The clock stands still while any fiber can run and jumps to the next deadline
// when none can. What else the program does between two of those operations happens at once.
//
// Invariants:
//  1. A run is a function of its Options and its body: the same gives the same trace hash, in any
//     process, provided that the body does not look at addresses, real time or what earlier runs
//     left.
//  2. A run always ends: when every fiber has ended, when none can ever run again (deadlock), or
//     after steps_max steps.
//  3. After a failed run the program's objects are as the fibers left them; their stacks are
//     leaked, nothing is unwound.
//
// Thread-safety: one OS thread. Runs do not nest.
#ifndef QUIRE_SYNC_SIM_SCHEDULER_H_
#define QUIRE_SYNC_SIM_SCHEDULER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>

namespace quire::sync::sim {

// See strategy.h.
enum class Schedule { kRandom, kPct };
const char* to_string(Schedule schedule) noexcept;

struct Options {
  std::uint64_t seed = 0;
  Schedule schedule = Schedule::kRandom;
  unsigned pct_depth = 3;
  std::uint64_t pct_steps = 0;  // about how long the run is; 0: unknown
  std::uint64_t steps_max = 1'000'000;
};

struct Outcome {
  std::uint64_t trace_hash = 0;  // of every step: which fiber, which operation, which object
  std::uint64_t steps = 0;
  bool deadlock = false;
  bool step_limit = false;
  std::string failure;  // empty, or what went wrong and where every fiber stands

  bool ok() const noexcept { return !deadlock && !step_limit; }
};

// Runs `body` as the fiber "main" until it and every fiber it started have ended.
// REQUIRES: not inside a run.
Outcome run(const Options& options, std::function<void()> body);

inline constexpr unsigned kPreemptionsUnbounded = std::numeric_limits<unsigned>::max();

struct ExploreOptions {
  unsigned preemptions_max = 2;
  std::uint64_t runs_max = 100'000;
  std::uint64_t steps_max = 10'000;
  // Asked after each run: true stops the exploration and calls the run a failure.
  std::function<bool()> failed = nullptr;
};

struct ExploreResult {
  std::uint64_t runs = 0;
  bool complete = false;  // every schedule within the preemption bound was run
  bool bounded = false;   // ... and there are more beyond it
  bool failed = false;    // the last run failed, `last` says how; then not complete
  Outcome last;
};

// Runs `body` under every schedule with at most `preemptions_max` preemptions, until one fails.
// Weak compare-exchanges and condition waits do not fail for no reason here.
ExploreResult explore(const ExploreOptions& options, const std::function<void()>& body);

// From here to the end of the run the clock may jump to the next deadline although fibers can run,
// as if they had been held up for so long: that is how a time-out meets a wake-up. REQUIRES: inside
// a run.
void allow_early_deadlines() noexcept;

// "seed 7, pct schedule, step 123, fiber 2 'reader'", for reports of a crash: writes at most `size`
// bytes with the terminating zero and allocates nothing. Empty outside a run.
void describe_run(char* text, std::size_t size) noexcept;

}  // namespace quire::sync::sim

#endif  // QUIRE_SYNC_SIM_SCHEDULER_H_
