// WorkerPool: the threads that run File::submit requests ("quire-work-N"). Each request is one blocking
// call, made by whichever worker is free, in the order they came. One more thread, "quire-deadline",
// ends those whose deadline passes or whose stop is requested while they still wait for a worker: the
// workers may all hang on a store that does not answer.
//
//   accept() --> waiting --- a worker takes it -----> called with zero
//                   |
//                   +------- its limit is reached --> called with Errc::kTimedOut, kInterrupted
//
// Who calls: File, from any thread. Bounded: at most limits::kSubmitMax requests wait or run.
//
// Invariants:
//  1. A request that was accepted is called exactly once, in a thread that holds no lock.
//  2. While a request waits whose limit is earlier than watch_until_, or whose stop has been requested,
//     a wake-up of the deadline thread is on its way: accept() looks after it has put the request into
//     the queue, and the stop wakes whoever comes later.
#ifndef QUIRE_FILE_WORKER_POOL_H_
#define QUIRE_FILE_WORKER_POOL_H_

#include <cstddef>
#include <functional>
#include <list>
#include <stop_token>
#include <system_error>
#include <utility>
#include <vector>

#include "quire/result.h"
#include "sync/clock.h"
#include "sync/condition.h"
#include "sync/mutex.h"
#include "sync/parker.h"
#include "sync/thread.h"
#include "sync/wait.h"

namespace quire::file {

class WorkerPool {
 public:
  // Does its work, or, given an error, only answers with that.
  using Request = std::function<void(std::error_code)>;

  WorkerPool() = default;
  // REQUIRES: stopped.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Errors: EAGAIN where a thread cannot be had; none is left running then.
  Status start(unsigned threads);
  // Runs what was accepted, then joins the threads.
  void stop() EXCLUDES(mutex_);

  // False if the pool is full or stopping; `request` is then untouched.
  bool accept(Request& request, const sync::WaitLimit& limit) EXCLUDES(mutex_);

 private:
  struct Wake {
    sync::Parker& parker;
    void operator()() const noexcept { parker.unpark(); }
  };
  struct Waiting {
    Waiting(Request what, const sync::WaitLimit& until, sync::Parker& watch)
        : request(std::move(what)), limit(until), on_stop(until.stop, Wake{watch}) {}
    Request request;
    const sync::WaitLimit limit;
    const std::stop_callback<Wake> on_stop;
  };

  void run() EXCLUDES(mutex_);
  void watch() EXCLUDES(mutex_);
  // Moves what must not wait any longer to `late`. Sets watch_until_.
  void take_late(std::list<Waiting>& late) REQUIRES(mutex_);
  void end_front(std::list<Waiting>& taken) EXCLUDES(mutex_);

  sync::Mutex mutex_;
  sync::Condition work_;
  sync::Parker watch_;
  std::list<Waiting> queue_ GUARDED_BY(mutex_);
  std::size_t accepted_ GUARDED_BY(mutex_) = 0;  // waiting and running
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool watch_stopping_ GUARDED_BY(mutex_) = false;
  sync::Clock::time_point watch_until_ GUARDED_BY(mutex_) = sync::Clock::kNever;
  std::vector<sync::Thread> workers_;
  sync::Thread watcher_;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_WORKER_POOL_H_
