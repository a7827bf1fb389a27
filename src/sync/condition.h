// sync::Condition: a condition variable for sync::Mutex. Only for the library's own short queues,
// where many threads wait for a state that a mutex guards; a wait that a user's call depends on
// goes through Parker and takes a WaitLimit.
//
// As with every condition variable a wait may return for no reason: callers loop over their state.
// Written as a loop, and not with a predicate, so that clang sees the state read under its mutex:
//
//   MutexLock lock(mutex_);
//   while (queue_.empty() && !stopping_) changed_.wait(mutex_);
//
// In the simulation such spurious returns happen when the seed says so.
#ifndef QUIRE_SYNC_CONDITION_H_
#define QUIRE_SYNC_CONDITION_H_

#include <condition_variable>
#include <mutex>

#include "sync/clock.h"
#include "sync/mutex.h"
#include "sync/thread_annotations.h"

#ifdef QUIRE_SIM
#include "sync/sim/sim_condition.h"
#endif

namespace quire::sync {

class Condition {
 public:
  Condition() = default;
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  // Lets go of `mutex`, waits for a notification, takes `mutex` again.
  void wait(Mutex& mutex) REQUIRES(mutex);
  // The same until `deadline`: false if that has passed. Clock::kNever waits for ever.
  bool wait_until(Mutex& mutex, Clock::time_point deadline) REQUIRES(mutex);

  void notify_one() noexcept { raw_.notify_one(); }
  void notify_all() noexcept { raw_.notify_all(); }

 private:
#ifdef QUIRE_SIM
  sim::SimCondition raw_;
#else
  std::condition_variable raw_;
#endif
};

#ifdef QUIRE_SIM

inline void Condition::wait(Mutex& mutex) {
  raw_.wait_until(mutex.raw_, Clock::kNever);
}

inline bool Condition::wait_until(Mutex& mutex, Clock::time_point deadline) {
  return raw_.wait_until(mutex.raw_, deadline);
}

#else

// The caller's lock is lent to a std::unique_lock for the wait and taken back from it.
inline void Condition::wait(Mutex& mutex) {
  std::unique_lock<std::mutex> lent(mutex.raw_, std::adopt_lock);
  raw_.wait(lent);
  lent.release();
}

inline bool Condition::wait_until(Mutex& mutex, Clock::time_point deadline) {
  if (deadline == Clock::kNever) {
    wait(mutex);
    return true;
  }
  std::unique_lock<std::mutex> lent(mutex.raw_, std::adopt_lock);
  const std::cv_status status = raw_.wait_until(lent, deadline);
  lent.release();
  return status == std::cv_status::no_timeout;
}

#endif

}  // namespace quire::sync

#endif  // QUIRE_SYNC_CONDITION_H_
