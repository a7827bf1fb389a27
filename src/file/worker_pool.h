// WorkerPool: the threads that run File::submit requests ("quire-work-N"). Each request is one blocking
// call, made by whichever worker is free, in the order they came.
//
// Who calls: File, from any thread. Bounded: at most limits::kSubmitMax requests wait or run.
//
// Invariant: a request that was accepted runs exactly once, in a thread that holds no lock.
#ifndef QUIRE_FILE_WORKER_POOL_H_
#define QUIRE_FILE_WORKER_POOL_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <vector>

#include "quire/result.h"
#include "sync/condition.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace quire::file {

class WorkerPool {
 public:
  WorkerPool() = default;
  // REQUIRES: stopped.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Errors: EAGAIN where a thread cannot be had; none is left running then.
  Status start(unsigned threads);
  // Runs what was accepted, then joins the threads.
  void stop();

  // False if the pool is full or stopping; `request` is then untouched.
  bool accept(std::function<void()>& request);

 private:
  void run();

  sync::Mutex mutex_;
  sync::Condition work_;
  std::deque<std::function<void()>> queue_ GUARDED_BY(mutex_);
  std::size_t accepted_ GUARDED_BY(mutex_) = 0;  // waiting and running
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<sync::Thread> threads_;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_WORKER_POOL_H_
