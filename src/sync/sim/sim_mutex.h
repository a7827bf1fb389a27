// SimMutex: what lies under sync::Mutex in the simulation build. Like std::mutex it is not fair:
// whoever of those who want it runs first after an unlock has it.
#ifndef QUIRE_SYNC_SIM_SIM_MUTEX_H_
#define QUIRE_SYNC_SIM_SIM_MUTEX_H_

#include <cstdint>

#include "sync/check.h"
#include "sync/sim/hooks.h"

namespace quire::sync::sim {

class SimMutex {
 public:
  SimMutex() = default;
  SimMutex(const SimMutex&) = delete;
  SimMutex& operator=(const SimMutex&) = delete;

  void lock() noexcept {
    Wait wait;
    wait.op = Op::kLock;
    wait.ordinal = ordinal_of(tag_);
    wait.ready = &free_;
    wait.holder = &holder_;
    wait_point(wait);
    take();
  }
  bool try_lock() noexcept {
    yield_point(Op::kTryLock, ordinal_of(tag_));
    if (!free_) return false;
    take();
    return true;
  }
  void unlock() noexcept {
    yield_point(Op::kUnlock, ordinal_of(tag_));
    release();
  }

  // unlock() as a part of another operation, which was the yield point.
  void release() noexcept {
    QUIRE_CHECK(!free_ && holder_ == running_fiber());
    free_ = true;
    holder_ = kNobody;
  }

 private:
  void take() noexcept {
    free_ = false;
    holder_ = running_fiber();
  }

  bool free_ = true;
  std::uint32_t holder_ = kNobody;
  ObjectTag tag_;
};

}  // namespace quire::sync::sim

#endif  // QUIRE_SYNC_SIM_SIM_MUTEX_H_
