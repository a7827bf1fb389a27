#include "sync/sim/strategy.h"

#include <algorithm>

#include "sync/check.h"

namespace quire::sync::sim {

std::size_t RandomStrategy::pick(std::span<Fiber* const> ready, Fiber*, std::uint64_t) {
  return static_cast<std::size_t>(numbers_.below(ready.size()));
}

PctStrategy::PctStrategy(std::uint64_t seed, unsigned depth, std::uint64_t steps)
    : RandomStrategy(seed) {
  // A run's length is not known beforehand: without a hint, every order of magnitude gets its
  // share.
  if (steps == 0) steps = std::uint64_t{1} << (4 + numbers_.below(12));
  for (unsigned i = 1; i < depth; ++i) change_steps_.push_back(1 + numbers_.below(steps));
  std::sort(change_steps_.rbegin(), change_steps_.rend());
}

void PctStrategy::started(Fiber& fiber) {
  // Above every priority that a change point gives.
  fiber.priority = (numbers_.next() >> 1) + (std::uint64_t{1} << 32);
}

std::size_t PctStrategy::pick(std::span<Fiber* const> ready, Fiber*, std::uint64_t step) {
  const auto highest = [&ready]() {
    return std::max_element(ready.begin(), ready.end(), [](const Fiber* a, const Fiber* b) {
      return a->priority < b->priority;
    });
  };
  while (!change_steps_.empty() && step >= change_steps_.back()) {
    // The fiber that would have run next steps back; later change points put theirs lower still.
    (*highest())->priority = change_steps_.size();
    change_steps_.pop_back();
  }
  return static_cast<std::size_t>(highest() - ready.begin());
}

std::size_t ExhaustiveStrategy::pick(std::span<Fiber* const> ready, Fiber* running, std::uint64_t) {
  const auto held = std::find(ready.begin(), ready.end(), running);
  if (held == ready.end()) return choose(ready.size());
  const auto stay = static_cast<std::size_t>(held - ready.begin());
  if (ready.size() == 1) return stay;
  if (preemptions_ >= preemptions_max_) {
    bounded_ = true;
    return stay;
  }
  // Choice 0 stays; the others follow in order, without the one that stays.
  const std::size_t choice = choose(ready.size());
  if (choice == 0) return stay;
  ++preemptions_;
  return choice <= stay ? choice - 1 : choice;
}

bool ExhaustiveStrategy::early_deadline() {
  if (preemptions_ >= preemptions_max_) {
    bounded_ = true;
    return false;
  }
  if (choose(2) == 0) return false;
  ++preemptions_;
  return true;
}

std::size_t ExhaustiveStrategy::choose(std::size_t count) {
  if (count == 1) return 0;
  if (position_ == trail_.size()) trail_.push_back({0, count});
  Choice& choice = trail_[position_++];
  if (choice.count != count) {
    diverged_ = true;
    return 0;
  }
  return choice.taken;
}

bool ExhaustiveStrategy::next() {
  position_ = 0;
  preemptions_ = 0;
  while (!trail_.empty() && trail_.back().taken + 1 == trail_.back().count) trail_.pop_back();
  if (trail_.empty()) return false;
  ++trail_.back().taken;
  return true;
}

}  // namespace quire::sync::sim
