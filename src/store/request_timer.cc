#include "store/request_timer.h"

#include <utility>

#include "quire/limits.h"
#include "sync/check.h"

namespace quire::store {

RequestTimer::~RequestTimer() {
  {
    sync::MutexLock lock(mutex_);
    QUIRE_CHECK(waiting_.empty());
    stopping_ = true;
  }
  if (!thread_.joinable()) return;
  parker_.unpark();
  thread_.join();
}

Status RequestTimer::start() {
  Result<sync::Thread> thread = sync::Thread::start("quire-mem", [this] { run(); });
  if (!thread) return thread.error();
  thread_ = std::move(*thread);
  return {};
}

bool RequestTimer::submit(sync::Clock::time_point due, std::function<void()> function) {
  sync::MutexLock lock(mutex_);
  QUIRE_DCHECK(!stopping_);
  if (waiting_.size() >= limits::kStoreRequestsMax) return false;
  const auto place = waiting_.emplace(due, std::move(function));
  // Under the lock: once it is released the function may run, and with it the timer may end.
  if (place == waiting_.begin()) parker_.unpark();
  return true;
}

void RequestTimer::run() {
  sync::MutexLock lock(mutex_);
  while (!stopping_) {
    if (waiting_.empty() || waiting_.begin()->first > sync::Clock::now()) {
      sync::WaitLimit limit;
      if (!waiting_.empty()) limit.deadline = waiting_.begin()->first;
      lock.unlock();
      // A time-out, a new earliest function, or the end: the loop tells them apart.
      static_cast<void>(parker_.park_until(limit));
      lock.lock();
      continue;
    }
    const std::function<void()> function = std::move(waiting_.begin()->second);
    waiting_.erase(waiting_.begin());
    lock.unlock();
    function();
    lock.lock();
  }
}

}  // namespace quire::store
