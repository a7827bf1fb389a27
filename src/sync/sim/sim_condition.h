// SimCondition: what lies under sync::Condition in the simulation build. notify_one() picks a
// waiter by the seed, and a wait returns for no reason when the seed says so.
#ifndef QUIRE_SYNC_SIM_SIM_CONDITION_H_
#define QUIRE_SYNC_SIM_SIM_CONDITION_H_

#include <algorithm>
#include <vector>

#include "sync/clock.h"
#include "sync/sim/hooks.h"
#include "sync/sim/sim_mutex.h"

namespace quire::sync::sim {

class SimCondition {
 public:
  SimCondition() = default;
  SimCondition(const SimCondition&) = delete;
  SimCondition& operator=(const SimCondition&) = delete;

  // False if the deadline passed. REQUIRES: the running fiber holds `mutex`; it does again
  // afterwards.
  bool wait_until(SimMutex& mutex, Clock::time_point deadline) noexcept {
    // Who wakes for no reason is not in the list, so that no notification is wasted on it.
    bool notified = chance(kSpuriousOneIn);
    if (!notified) waiters_.push_back(&notified);
    // Letting go and beginning to wait are one step, as with every condition variable.
    yield_point(Op::kConditionWait, ordinal_of(tag_));
    mutex.release();
    Wait wait;
    wait.op = Op::kConditionWait;
    wait.ordinal = ordinal_of(tag_);
    wait.ready = &notified;
    wait.deadline = deadline;
    wait_point(wait);
    const bool in_time = notified;
    std::erase(waiters_, &notified);
    mutex.lock();
    return in_time;
  }

  void notify_one() noexcept {
    yield_point(Op::kNotify, ordinal_of(tag_));
    if (waiters_.empty()) return;
    const auto chosen = waiters_.begin() + static_cast<std::ptrdiff_t>(pick_below(waiters_.size()));
    **chosen = true;
    waiters_.erase(chosen);
  }
  void notify_all() noexcept {
    yield_point(Op::kNotify, ordinal_of(tag_));
    for (bool* const notified : waiters_) *notified = true;
    waiters_.clear();
  }

 private:
  static constexpr std::uint64_t kSpuriousOneIn = 16;

  std::vector<bool*> waiters_;  // whoever waits and was not notified yet; flags on their stacks
  ObjectTag tag_;
};

}  // namespace quire::sync::sim

#endif  // QUIRE_SYNC_SIM_SIM_CONDITION_H_
