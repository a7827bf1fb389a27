#include "file/worker_pool.h"

#include <fmt/format.h>

#include <algorithm>

#include "quire/limits.h"
#include "sync/check.h"
#include "sync/lock_rank.h"

namespace quire::file {
namespace {

// Zero, or why nothing more is to be begun within `limit`.
std::error_code too_late(const sync::WaitLimit& limit) {
  if (limit.stop.stop_requested()) return Errc::kInterrupted;
  if (limit.deadline != sync::Clock::kNever && limit.deadline <= sync::Clock::now()) {
    return Errc::kTimedOut;
  }
  return {};
}

}  // namespace

WorkerPool::~WorkerPool() {
  QUIRE_CHECK(workers_.empty() && !watcher_.joinable());
}

Status WorkerPool::start(unsigned threads) {
  auto watcher = sync::Thread::start("quire-deadline", [this] { watch(); });
  if (!watcher.ok()) return std::move(watcher).error();
  watcher_ = std::move(*watcher);
  for (unsigned i = 0; i < threads; ++i) {
    auto thread = sync::Thread::start(fmt::format("quire-work-{}", i).c_str(), [this] { run(); });
    if (!thread.ok()) {
      stop();
      return std::move(thread).error();
    }
    workers_.push_back(std::move(*thread));
  }
  return {};
}

void WorkerPool::stop() {
  {
    sync::MutexLock lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  for (sync::Thread& thread : workers_) thread.join();
  workers_.clear();
  // Kept until here: what waited still had its limits.
  if (!watcher_.joinable()) return;
  {
    sync::MutexLock lock(mutex_);
    watch_stopping_ = true;
  }
  watch_.unpark();
  watcher_.join();
}

bool WorkerPool::accept(Request& request, const sync::WaitLimit& limit) {
  std::list<Waiting> one;
  one.emplace_back(std::move(request), limit, watch_);
  bool wake_watch = false;
  {
    sync::MutexLock lock(mutex_);
    if (stopping_ || accepted_ >= limits::kSubmitMax) {
      request = std::move(one.front().request);
      return false;
    }
    queue_.splice(queue_.end(), one);
    ++accepted_;
    // A stop requested from here on wakes the watch by itself.
    wake_watch = limit.deadline < watch_until_ || limit.stop.stop_requested();
  }
  work_.notify_one();
  if (wake_watch) watch_.unpark();
  return true;
}

void WorkerPool::end_front(std::list<Waiting>& taken) {
  Waiting& front = taken.front();
  front.request(too_late(front.limit));
  sync::lock_rank::assert_none_held();
  taken.pop_front();
  sync::MutexLock lock(mutex_);
  --accepted_;
}

void WorkerPool::run() {
  for (;;) {
    std::list<Waiting> taken;
    {
      sync::MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_) work_.wait(mutex_);
      if (queue_.empty()) return;
      taken.splice(taken.end(), queue_, queue_.begin());
    }
    end_front(taken);
  }
}

void WorkerPool::take_late(std::list<Waiting>& late) {
  watch_until_ = sync::Clock::kNever;
  for (auto it = queue_.begin(); it != queue_.end();) {
    const auto here = it++;
    if (too_late(here->limit)) {
      late.splice(late.end(), queue_, here);
    } else {
      watch_until_ = std::min(watch_until_, here->limit.deadline);
    }
  }
}

void WorkerPool::watch() {
  for (;;) {
    std::list<Waiting> late;
    sync::WaitLimit limit;
    {
      sync::MutexLock lock(mutex_);
      if (watch_stopping_) return;
      take_late(late);
      limit.deadline = watch_until_;
    }
    while (!late.empty()) end_front(late);
    // The next deadline, an earlier one, a stop or the end: the loop tells them apart.
    static_cast<void>(watch_.park_until(limit));
  }
}

}  // namespace quire::file
