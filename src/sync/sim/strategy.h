// Strategies: who decides which fiber runs next.
//
//   random       every fiber that can run is equally likely at every step
//   PCT          probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi and Nagarakatte,
//                "A randomized scheduler with probabilistic guarantees of finding bugs", ASPLOS
//                2010): fibers have random priorities, the highest that can run does, and at depth
//                - 1 random steps the running fiber's priority drops below all others. A bug that
//                needs `depth` ordering constraints among n fibers and k steps is found with
//                probability at least 1 / (n k^(depth - 1))
//   exhaustive   depth-first over all choices, each run replaying a prefix (stateless search), with
//                a bound on preemptions: switches away from a fiber that could have gone on
//                (Musuvathi and Qadeer, "Iterative context bounding", PLDI 2007)
#ifndef QUIRE_SYNC_SIM_STRATEGY_H_
#define QUIRE_SYNC_SIM_STRATEGY_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "sync/sim/fiber.h"
#include "sync/splitmix64.h"

namespace quire::sync::sim {

class Strategy {
 public:
  Strategy() = default;
  Strategy(const Strategy&) = delete;
  Strategy& operator=(const Strategy&) = delete;
  virtual ~Strategy() = default;

  virtual void started(Fiber& fiber) = 0;
  // Which of `ready`, by index. `running` is the fiber that stands at a yield point, null if it has
  // ended; it is among `ready` if it can go on. REQUIRES: `ready` is not empty.
  virtual std::size_t pick(std::span<Fiber* const> ready, Fiber* running, std::uint64_t step) = 0;
  // Whether the clock jumps to the next deadline although fibers can run.
  virtual bool early_deadline() = 0;
  // A choice of the program's: 0 is the usual one.
  virtual std::uint64_t below(std::uint64_t bound) = 0;
};

class RandomStrategy : public Strategy {
 public:
  explicit RandomStrategy(std::uint64_t seed) : numbers_(seed) {}

  void started(Fiber&) override {}
  std::size_t pick(std::span<Fiber* const> ready, Fiber* running, std::uint64_t step) override;
  bool early_deadline() override { return numbers_.below(16) == 0; }
  std::uint64_t below(std::uint64_t bound) override { return numbers_.below(bound); }

 protected:
  SplitMix64 numbers_;
};

class PctStrategy : public RandomStrategy {
 public:
  // `steps`: about how many steps the run will have; 0 draws a power of two from the seed.
  PctStrategy(std::uint64_t seed, unsigned depth, std::uint64_t steps);

  void started(Fiber& fiber) override;
  std::size_t pick(std::span<Fiber* const> ready, Fiber* running, std::uint64_t step) override;

 private:
  std::vector<std::uint64_t> change_steps_;  // descending: the next one is at the back
};

// One object for all runs of an exploration: next() moves on to the next schedule.
class ExhaustiveStrategy : public Strategy {
 public:
  explicit ExhaustiveStrategy(unsigned preemptions_max) : preemptions_max_(preemptions_max) {}

  void started(Fiber&) override {}
  std::size_t pick(std::span<Fiber* const> ready, Fiber* running, std::uint64_t step) override;
  bool early_deadline() override;
  std::uint64_t below(std::uint64_t) override { return 0; }

  // Prepares the next schedule; false when there is none.
  bool next();
  // A replayed prefix met a different number of choices: the program under test is not
  // deterministic.
  bool diverged() const noexcept { return diverged_; }
  // Some choice was withheld because of the bound.
  bool bounded() const noexcept { return bounded_; }

 private:
  struct Choice {
    std::size_t taken;
    std::size_t count;
  };

  std::size_t choose(std::size_t count);

  const unsigned preemptions_max_;
  std::vector<Choice> trail_;
  std::size_t position_ = 0;
  unsigned preemptions_ = 0;
  bool diverged_ = false;
  bool bounded_ = false;
};

}  // namespace quire::sync::sim

#endif  // QUIRE_SYNC_SIM_STRATEGY_H_
