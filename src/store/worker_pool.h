// WorkerPool: a few threads, "quire-io-0" and on, that run tasks in the order in which they came. A
// host store uses it for what has no asynchronous system call of its own, and for everything where
// io_uring is refused.
//
// Threads start when they are first needed and stay until the pool ends.
//
// Thread-safety: submit() from any thread.
//
// Invariants:
//  1. Each accepted task runs exactly once, under no lock.
//  2. While a task waits, either every thread is busy or a wake-up is on its way to an idle one:
//     who queues a task takes an idle worker off the list and unparks it, under the lock.
//  3. At most limits::kStoreRequestsMax tasks wait; more are refused.
#ifndef QUIRE_STORE_WORKER_POOL_H_
#define QUIRE_STORE_WORKER_POOL_H_

#include <deque>
#include <memory>
#include <system_error>
#include <vector>

#include "store/task.h"
#include "sync/mutex.h"
#include "sync/parker.h"
#include "sync/thread.h"

namespace quire::store {

class WorkerPool {
 public:
  explicit WorkerPool(unsigned threads_max) : threads_max_(threads_max) {}
  // REQUIRES: no task waits or runs. Joins the threads.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Zero, or why `task` was deleted without being run: Errc::kBusy, or no thread could be started.
  [[nodiscard]] std::error_code submit(std::unique_ptr<Task> task) EXCLUDES(mutex_);

 private:
  struct Worker {
    sync::Parker parker;
    sync::Thread thread;
  };

  void run(Worker& worker) EXCLUDES(mutex_);
  std::error_code start_worker() REQUIRES(mutex_);

  const unsigned threads_max_;
  sync::Mutex mutex_;
  std::deque<std::unique_ptr<Task>> waiting_ GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Worker>> workers_ GUARDED_BY(mutex_);
  std::vector<Worker*> idle_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace quire::store

#endif  // QUIRE_STORE_WORKER_POOL_H_
