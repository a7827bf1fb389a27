#include "store/worker_pool.h"

#include <string>
#include <utility>

#include "quire/error.h"
#include "quire/limits.h"
#include "sync/check.h"

namespace quire::store {

WorkerPool::~WorkerPool() {
  std::vector<std::unique_ptr<Worker>> workers;
  {
    sync::MutexLock lock(mutex_);
    QUIRE_CHECK(waiting_.empty());
    stopping_ = true;
    for (Worker* worker : idle_) worker->parker.unpark();
    idle_.clear();
    workers = std::move(workers_);
  }
  for (const auto& worker : workers) worker->thread.join();
}

std::error_code WorkerPool::submit(std::unique_ptr<Task> task) {
  sync::MutexLock lock(mutex_);
  QUIRE_DCHECK(!stopping_);
  if (waiting_.size() >= limits::kStoreRequestsMax) return Errc::kBusy;
  if (idle_.empty() && workers_.size() < threads_max_) {
    const std::error_code error = start_worker();
    if (error && workers_.empty()) return error;
  }
  waiting_.push_back(std::move(task));
  if (!idle_.empty()) {
    idle_.back()->parker.unpark();
    idle_.pop_back();
  }
  return {};
}

std::error_code WorkerPool::start_worker() {
  auto worker = std::make_unique<Worker>();
  const std::string name = "quire-io-" + std::to_string(workers_.size());
  Result<sync::Thread> thread =
      sync::Thread::start(name.c_str(), [this, w = worker.get()] { run(*w); });
  if (!thread) return thread.code();
  worker->thread = std::move(*thread);
  workers_.push_back(std::move(worker));
  return {};
}

void WorkerPool::run(Worker& worker) {
  sync::MutexLock lock(mutex_);
  while (true) {
    if (!waiting_.empty()) {
      std::unique_ptr<Task> task = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      task->run();
      task.reset();
      lock.lock();
      continue;
    }
    if (stopping_) return;
    idle_.push_back(&worker);
    lock.unlock();
    worker.parker.park();
    lock.lock();
  }
}

}  // namespace quire::store
