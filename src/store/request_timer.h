// RequestTimer: runs functions at given times, on a thread of its own, in the order of their times
// (and of their submission where times are equal). The latency of a memory store.
//
// Thread-safety: submit() from any thread, also from within a function that the timer runs.
//
// Invariants:
//  1. Each accepted function runs exactly once, not before its time, under no lock.
//  2. At most limits::kStoreRequestsMax functions wait; more are refused.
#ifndef QUIRE_STORE_REQUEST_TIMER_H_
#define QUIRE_STORE_REQUEST_TIMER_H_

#include <functional>
#include <map>

#include "quire/result.h"
#include "sync/clock.h"
#include "sync/mutex.h"
#include "sync/parker.h"
#include "sync/thread.h"

namespace quire::store {

class RequestTimer {
 public:
  RequestTimer() = default;
  // REQUIRES: nothing waits. Joins the thread.
  ~RequestTimer();
  RequestTimer(const RequestTimer&) = delete;
  RequestTimer& operator=(const RequestTimer&) = delete;

  // Starts the thread, "quire-mem". Once, before the first submit().
  Status start();

  // Runs `function` at `due`. False, and it never runs, if too many wait.
  [[nodiscard]] bool submit(sync::Clock::time_point due, std::function<void()> function)
      EXCLUDES(mutex_);

 private:
  void run() EXCLUDES(mutex_);

  sync::Mutex mutex_;
  // A multimap keeps equal keys in the order of insertion.
  std::multimap<sync::Clock::time_point, std::function<void()>> waiting_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  sync::Parker parker_;
  sync::Thread thread_;
};

}  // namespace quire::store

#endif  // QUIRE_STORE_REQUEST_TIMER_H_
