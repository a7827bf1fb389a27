#include "sync/sim/scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "sync/check.h"
#include "sync/sim/engine.h"
#include "sync/sim/fiber.h"
#include "sync/sim/hooks.h"
#include "sync/sim/strategy.h"

namespace quire::sync::sim {
namespace {

const char* to_string(Op op) noexcept {
  switch (op) {
    case Op::kStart:
      return "start";
    case Op::kLoad:
      return "load";
    case Op::kStore:
      return "store";
    case Op::kExchange:
      return "exchange";
    case Op::kCompareExchange:
      return "compare-exchange";
    case Op::kFetch:
      return "fetch-and-modify";
    case Op::kLock:
      return "lock of mutex";
    case Op::kTryLock:
      return "try-lock of mutex";
    case Op::kUnlock:
      return "unlock of mutex";
    case Op::kPark:
      return "park on parker";
    case Op::kUnpark:
      return "unpark of parker";
    case Op::kConditionWait:
      return "wait for condition";
    case Op::kNotify:
      return "notify of condition";
    case Op::kJoin:
      return "join of fiber";
    case Op::kClock:
      return "look at the clock";
    case Op::kSpin:
      return "spin";
    case Op::kEnd:
      return "end";
  }
  return "?";
}

// Spins in a row after which a fiber is taken to wait for somebody who sleeps.
constexpr unsigned kSpinsMax = 100;

class Scheduler;
Scheduler* current = nullptr;  // the run in progress
std::uint64_t run_count = 0;   // names runs for ObjectTag

// What steers one run. Fibers come and go; the scheduler resumes one after the other from outside.
class Scheduler {
 public:
  Scheduler(Strategy& strategy, std::uint64_t seed, const char* strategy_name,
            std::uint64_t steps_max)
      : strategy_(strategy),
        engine_numbers_(seed ^ 0x5eed0f7e57ed5eedu),
        seed_(seed),
        strategy_name_(strategy_name),
        steps_max_(steps_max),
        run_(++run_count) {}

  Outcome run(std::function<void()> body) {
    start_fiber("main", std::move(body));
    next_ = choose();
    while (next_ != nullptr) {
      running_ = next_;
      running_->resume();
      // A fiber that suspended itself has chosen who comes next, if anybody.
      if (!running_->ended()) continue;
      enter(running_->number(), Op::kEnd, 0);
      running_ = nullptr;
      next_ = choose();
    }
    running_ = nullptr;
    for (const auto& fiber : fibers_) {
      if (!fiber->ended()) fiber->abandon();
    }
    outcome_.trace_hash = hash_;
    outcome_.steps = steps_;
    return std::move(outcome_);
  }

  Fiber* running() const noexcept { return running_; }

  std::shared_ptr<Fiber> start_fiber(std::string name, std::function<void()> body) {
    auto fiber = std::make_shared<Fiber>(fibers_started_++, std::move(name), std::move(body));
    strategy_.started(*fiber);
    fibers_.push_back(fiber);
    enter(running_ != nullptr ? running_->number() : kNobody, Op::kStart, fiber->number());
    return fiber;
  }

  // The running fiber stands in front of `wait`: on return it is its turn and the wait is over.
  void point(const Wait& wait) {
    Fiber& self = *running_;
    self.wait = wait;
    // That a fiber starts is no step of its own: it was chosen for its first operation.
    const bool first = std::exchange(self.fresh, false);
    if (!can_run(self)) self.spins = 0;
    if (!first || !can_run(self)) {
      next_ = choose();
      if (next_ != &self) self.suspend();
    }
    enter(self.number(), wait.op, wait.ordinal);
  }

  void spin() {
    Fiber& self = *running_;
    for (const auto& other : fibers_) {
      if (other.get() != &self && can_run(*other) && !is_held(*other)) {
        self.hold.push_back(other.get());
      }
    }
    Wait wait;
    wait.op = Op::kSpin;
    self.fresh = false;
    ++self.spins;
    point(wait);
  }

  void enter(std::uint32_t fiber, Op op, std::uint32_t ordinal) noexcept {
    const std::uint32_t step[] = {fiber, static_cast<std::uint32_t>(op), ordinal};
    hash_ = XXH3_64bits_withSeed(step, sizeof step, hash_);
  }

  std::uint32_t ordinal_of(ObjectTag& tag) noexcept {
    if (tag.run != run_) tag = {run_, ++objects_};
    return tag.ordinal;
  }

  Strategy& strategy() noexcept { return strategy_; }
  std::uint64_t random() noexcept { return engine_numbers_.next(); }
  Clock::time_point now() const noexcept { return now_; }
  void allow_early_deadlines() noexcept { early_deadlines_ = true; }

  void describe(char* text, std::size_t size) const noexcept {
    std::snprintf(text, size, "seed %llu, %s schedule, step %llu, fiber %u '%s'",
                  static_cast<unsigned long long>(seed_), strategy_name_,
                  static_cast<unsigned long long>(steps_),
                  running_ != nullptr ? running_->number() : 0,
                  running_ != nullptr ? running_->name().c_str() : "none");
  }

 private:
  bool can_run(const Fiber& fiber) const noexcept {
    const Wait& wait = fiber.wait;
    return !fiber.ended() && (wait.ready == nullptr || *wait.ready || wait.deadline <= now_ ||
                              (wait.interrupted != nullptr && *wait.interrupted));
  }

  // Spinning, and somebody it must let pass has not run yet but could.
  bool is_held(const Fiber& fiber) const noexcept {
    return std::any_of(fiber.hold.begin(), fiber.hold.end(),
                       [this](const Fiber* other) { return can_run(*other); });
  }

  // The earliest deadline that is still to come.
  std::optional<Clock::time_point> next_deadline() const noexcept {
    std::optional<Clock::time_point> earliest;
    for (const auto& fiber : fibers_) {
      if (fiber->ended() || can_run(*fiber) || fiber->wait.deadline == Clock::kNever) continue;
      if (!earliest || fiber->wait.deadline < *earliest) earliest = fiber->wait.deadline;
    }
    return earliest;
  }

  // Who makes the next step; null ends the run.
  Fiber* choose() {
    std::erase_if(fibers_, [](const auto& fiber) { return fiber->ended(); });
    if (fibers_.empty()) return nullptr;
    if (steps_ == steps_max_) {
      outcome_.step_limit = true;
      outcome_.failure = fmt::format("not over after {} steps: {}", steps_, describe_fibers());
      return nullptr;
    }
    if (early_deadlines_) {
      if (const auto deadline = next_deadline(); deadline && strategy_.early_deadline()) {
        jump_to(*deadline);
      }
    }
    while (!collect_ready() || all_only_spin()) {
      if (const auto deadline = next_deadline()) {
        jump_to(*deadline);
      } else if (!ready_.empty()) {
        break;
      } else if (const bool any_spins = release_held(); !any_spins) {
        outcome_.deadlock = true;
        outcome_.failure = fmt::format("deadlock after {} steps: {}", steps_, describe_fibers());
        return nullptr;
      }
    }
    ++steps_;
    // To have been the last to run and to spin is to give way: no preemption is counted for it.
    Fiber* const chosen = ready_[strategy_.pick(ready_, running_, steps_)];
    chosen->hold.clear();
    for (const auto& fiber : fibers_) std::erase(fiber->hold, chosen);
    return chosen;
  }

  bool collect_ready() {
    ready_.clear();
    for (const auto& fiber : fibers_) {
      if (can_run(*fiber) && !is_held(*fiber)) ready_.push_back(fiber.get());
    }
    return !ready_.empty();
  }

  // Everybody who can run has been spinning for so long that it must be for somebody who sleeps.
  bool all_only_spin() const noexcept {
    return std::all_of(fibers_.begin(), fibers_.end(), [this](const auto& fiber) {
      return !can_run(*fiber) || fiber->spins >= kSpinsMax;
    });
  }

  void jump_to(Clock::time_point time) noexcept {
    now_ = time;
    for (const auto& fiber : fibers_) fiber->spins = 0;
  }

  bool release_held() {
    bool any = false;
    for (const auto& fiber : fibers_) {
      any = any || !fiber->hold.empty();
      fiber->hold.clear();
    }
    return any;
  }

  std::string describe_fibers() const {
    std::string text;
    for (const auto& fiber : fibers_) {
      const Wait& wait = fiber->wait;
      text += fmt::format("{}fiber {} '{}' {} {}", text.empty() ? "" : "; ", fiber->number(),
                          fiber->name(), can_run(*fiber) ? "at" : "waits at", to_string(wait.op));
      if (wait.ordinal != 0 || wait.op == Op::kJoin) text += fmt::format(" {}", wait.ordinal);
      if (wait.holder != nullptr && *wait.holder != kNobody) {
        text += fmt::format(", held by fiber {}", *wait.holder);
      }
    }
    return text;
  }

  Strategy& strategy_;
  SplitMix64 engine_numbers_;  // random_u64()'s, apart from the schedule's
  const std::uint64_t seed_;
  const char* const strategy_name_;
  const std::uint64_t steps_max_;
  const std::uint64_t run_;

  std::vector<std::shared_ptr<Fiber>> fibers_;  // in order of start, those that have not ended
  std::vector<Fiber*> ready_;                   // scratch for choose()
  Fiber* running_ = nullptr;
  Fiber* next_ = nullptr;
  std::uint32_t fibers_started_ = 0;
  std::uint32_t objects_ = 0;
  std::uint64_t steps_ = 0;
  std::uint64_t hash_ = 0;
  // Well after the epoch, so that deadlines in the past exist.
  Clock::time_point now_{std::chrono::hours(24)};
  bool early_deadlines_ = false;
  Outcome outcome_;
};

Outcome run_with(Strategy& strategy, std::uint64_t seed, const char* strategy_name,
                 std::uint64_t steps_max, std::function<void()> body) {
  QUIRE_CHECK(current == nullptr);
  Scheduler scheduler(strategy, seed, strategy_name, steps_max);
  current = &scheduler;
  Outcome outcome = scheduler.run(std::move(body));
  current = nullptr;
  return outcome;
}

bool inside() noexcept {
  return current != nullptr && current->running() != nullptr;
}

}  // namespace

const char* to_string(Schedule schedule) noexcept {
  return schedule == Schedule::kRandom ? "random" : "pct";
}

Outcome run(const Options& options, std::function<void()> body) {
  std::unique_ptr<Strategy> strategy;
  if (options.schedule == Schedule::kPct) {
    strategy = std::make_unique<PctStrategy>(options.seed, options.pct_depth, options.pct_steps);
  } else {
    strategy = std::make_unique<RandomStrategy>(options.seed);
  }
  return run_with(*strategy, options.seed, to_string(options.schedule), options.steps_max,
                  std::move(body));
}

ExploreResult explore(const ExploreOptions& options, const std::function<void()>& body) {
  ExploreResult result;
  ExhaustiveStrategy strategy(options.preemptions_max);
  do {
    if (result.runs == options.runs_max) return result;
    result.last = run_with(strategy, result.runs, "exhaustive", options.steps_max, body);
    ++result.runs;
    QUIRE_CHECK(!strategy.diverged());
    result.bounded = strategy.bounded();
    result.failed = !result.last.ok() || (options.failed != nullptr && options.failed());
    if (result.failed) return result;
  } while (strategy.next());
  result.complete = true;
  return result;
}

void allow_early_deadlines() noexcept {
  QUIRE_CHECK(inside());
  current->allow_early_deadlines();
}

void describe_run(char* text, std::size_t size) noexcept {
  if (size == 0) return;
  text[0] = '\0';
  if (current != nullptr) current->describe(text, size);
}

// hooks.h

std::uint32_t running_fiber() noexcept {
  return inside() ? current->running()->number() : kNobody;
}

std::uint32_t ordinal_of(ObjectTag& tag) noexcept {
  return inside() ? current->ordinal_of(tag) : 0;
}

void yield_point(Op op, std::uint32_t ordinal) noexcept {
  if (!inside()) return;
  Wait wait;
  wait.op = op;
  wait.ordinal = ordinal;
  current->point(wait);
}

void wait_point(const Wait& wait) noexcept {
  if (inside()) {
    current->point(wait);
    return;
  }
  // Outside a run nobody else can make it ready; only time can pass.
  const bool over = *wait.ready || (wait.interrupted != nullptr && *wait.interrupted);
  QUIRE_CHECK(over || wait.deadline != Clock::kNever);
}

void note(Op op, std::uint32_t ordinal) noexcept {
  if (inside()) current->enter(current->running()->number(), op, ordinal);
}

void spin() noexcept {
  if (inside()) current->spin();
}

bool chance(std::uint64_t one_in) noexcept {
  return inside() && current->strategy().below(one_in) == one_in - 1;
}

std::uint64_t pick_below(std::uint64_t bound) noexcept {
  return inside() ? current->strategy().below(bound) : 0;
}

void*& fiber_local(const void* key, void (*destroy)(void*)) {
  QUIRE_CHECK(inside());
  return current->running()->local(key, destroy);
}

// engine.h

std::shared_ptr<Fiber> start_fiber(std::string name, std::function<void()> body) {
  QUIRE_CHECK(inside());
  return current->start_fiber(std::move(name), std::move(body));
}

Clock::time_point virtual_now() noexcept {
  return current != nullptr ? current->now() : Clock::time_point(std::chrono::hours(24));
}

std::uint64_t engine_random() noexcept {
  return current != nullptr ? current->random() : 4;
}

}  // namespace quire::sync::sim
