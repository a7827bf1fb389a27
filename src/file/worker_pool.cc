#include "file/worker_pool.h"

#include <fmt/format.h>

#include "quire/limits.h"
#include "sync/check.h"
#include "sync/lock_rank.h"

namespace quire::file {

WorkerPool::~WorkerPool() {
  QUIRE_CHECK(threads_.empty());
}

Status WorkerPool::start(unsigned threads) {
  for (unsigned i = 0; i < threads; ++i) {
    auto thread = sync::Thread::start(fmt::format("quire-work-{}", i).c_str(), [this] { run(); });
    if (!thread.ok()) {
      stop();
      return std::move(thread).error();
    }
    threads_.push_back(std::move(*thread));
  }
  return {};
}

void WorkerPool::stop() {
  {
    sync::MutexLock lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  for (sync::Thread& thread : threads_) thread.join();
  threads_.clear();
}

bool WorkerPool::accept(std::function<void()>& request) {
  {
    sync::MutexLock lock(mutex_);
    if (stopping_ || accepted_ >= limits::kSubmitMax) return false;
    queue_.push_back(std::move(request));
    ++accepted_;
  }
  work_.notify_one();
  return true;
}

void WorkerPool::run() {
  for (;;) {
    std::function<void()> request;
    {
      sync::MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_) work_.wait(mutex_);
      if (queue_.empty()) return;
      request = std::move(queue_.front());
      queue_.pop_front();
    }
    request();
    sync::lock_rank::assert_none_held();
    sync::MutexLock lock(mutex_);
    --accepted_;
  }
}

}  // namespace quire::file
