// UringEngine: transfers through io_uring. One ring and one thread, "quire-uring", which alone
// touches it: it takes transfers from a queue, makes their calls, and answers them.
//
// Why one thread, and not submission by whoever has a request: the kernel ties a request to the
// thread that submitted it. If that thread ends, what the kernel had handed to its workers is
// cancelled, and completions interrupt it wherever it is. Owned by one thread the ring needs no
// lock and may use DEFER_TASKRUN. The cost, a wake-up per request from idle, is paid only by
// requests that nobody waits for; those go through the calling thread.
//
// The thread sleeps in the kernel, in one place, for completions and for an eventfd that tells of
// new transfers. `asleep_` says whether it must be told; it is set under the lock only while the
// queue is empty, so no transfer is left behind.
//
// Thread-safety: submit() from any thread.
//
// Invariants:
//  1. Each accepted transfer is answered exactly once, under no lock.
//  2. At most kDepth transfers are in the kernel, limits::kStoreRequestsMax wait; more are refused.
#ifndef QUIRE_STORE_URING_ENGINE_H_
#define QUIRE_STORE_URING_ENGINE_H_

#include <liburing.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <system_error>

#include "quire/result.h"
#include "store/fd.h"
#include "store/task.h"
#include "sync/mutex.h"
#include "sync/parker.h"
#include "sync/thread.h"

namespace quire::store {

class UringEngine {
 public:
  // `workers_max`: of the threads that the kernel adds for calls that would block. Errors: those of
  // io_uring_setup(2), where the kernel refuses; EMFILE, EAGAIN.
  static Result<std::unique_ptr<UringEngine>> start(unsigned workers_max);
  // REQUIRES: every transfer has been answered. Joins the thread.
  ~UringEngine();
  UringEngine(const UringEngine&) = delete;
  UringEngine& operator=(const UringEngine&) = delete;

  // Zero, or Errc::kBusy and `task` was deleted without being run.
  [[nodiscard]] std::error_code submit(std::unique_ptr<TransferTask> task) EXCLUDES(mutex_);

 private:
  static constexpr unsigned kDepth = 256;

  explicit UringEngine(Fd wake_fd) : wake_fd_(std::move(wake_fd)) {}

  // The thread.
  void run(unsigned workers_max) EXCLUDES(mutex_);
  int set_up(unsigned workers_max);
  void loop() EXCLUDES(mutex_);
  void listen();  // makes the call that a wake-up ends
  void make_call(std::unique_ptr<TransferTask> task);
  void reap();
  bool take_waiting() EXCLUDES(mutex_);  // false: the engine stops
  void wake() const;

  // Of the thread alone.
  io_uring ring_ = {};
  unsigned in_kernel_ = 0;
  std::uint64_t wake_count_ = 0;  // where the kernel puts what it read from wake_fd_

  const Fd wake_fd_;
  int set_up_error_ = 0;  // written by the thread before it unparks set_up_done_
  sync::Parker set_up_done_;
  sync::Thread thread_;

  sync::Mutex mutex_;
  std::deque<std::unique_ptr<TransferTask>> waiting_ GUARDED_BY(mutex_);
  bool asleep_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace quire::store

#endif  // QUIRE_STORE_URING_ENGINE_H_
