#include "store/uring_engine.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "quire/error.h"
#include "quire/limits.h"
#include "sync/check.h"

namespace quire::store {

Result<std::unique_ptr<UringEngine>> UringEngine::start(unsigned workers_max) {
  // Without EFD_NONBLOCK: the ring polls it, and a read that would block waits in the kernel.
  Fd wake_fd(::eventfd(0, EFD_CLOEXEC));
  if (!wake_fd.ok()) return Error(errno_code(errno), "make an eventfd for io_uring");
  std::unique_ptr<UringEngine> engine(new UringEngine(std::move(wake_fd)));
  Result<sync::Thread> thread = sync::Thread::start(
      "quire-uring", [raw = engine.get(), workers_max] { raw->run(workers_max); });
  if (!thread) return thread.error();
  engine->thread_ = std::move(*thread);
  engine->set_up_done_.park();
  if (engine->set_up_error_ != 0) {
    return Error(errno_code(engine->set_up_error_), "set up io_uring");
  }
  return engine;
}

UringEngine::~UringEngine() {
  if (!thread_.joinable()) return;
  {
    sync::MutexLock lock(mutex_);
    QUIRE_CHECK(waiting_.empty());
    stopping_ = true;
  }
  wake();
  thread_.join();
}

std::error_code UringEngine::submit(std::unique_ptr<TransferTask> task) {
  sync::MutexLock lock(mutex_);
  QUIRE_DCHECK(!stopping_);
  if (waiting_.size() >= limits::kStoreRequestsMax) return Errc::kBusy;
  waiting_.push_back(std::move(task));
  // Under the lock: once it is released the transfer may be answered, and with it the engine end.
  if (std::exchange(asleep_, false)) wake();
  return {};
}

void UringEngine::wake() const {
  const std::uint64_t one = 1;
  ssize_t written = 0;
  do {
    written = ::write(wake_fd_.get(), &one, sizeof(one));
  } while (written < 0 && errno == EINTR);
  QUIRE_CHECK(written == sizeof(one));
}

void UringEngine::run(unsigned workers_max) {
  set_up_error_ = set_up(workers_max);
  const bool ready = set_up_error_ == 0;
  set_up_done_.unpark();
  if (!ready) return;
  loop();
  QUIRE_CHECK(in_kernel_ == 0);
  ::io_uring_queue_exit(&ring_);
}

int UringEngine::set_up(unsigned workers_max) {
  // The best the kernel has: 6.1, then any.
  int result = ::io_uring_queue_init(kDepth, &ring_,
                                     IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
  if (result == -EINVAL) result = ::io_uring_queue_init(kDepth, &ring_, 0);
  if (result < 0) return -result;
  // Advice; kernels before 5.15 cannot be told.
  std::array<unsigned, 2> workers = {workers_max, workers_max};
  static_cast<void>(::io_uring_register_iowq_max_workers(&ring_, workers.data()));
  return 0;
}

void UringEngine::loop() {
  listen();
  while (take_waiting()) {
    // Errors (EINTR, EBUSY, EAGAIN) leave the calls queued or the completions unread: both are seen
    // to in the next round.
    static_cast<void>(::io_uring_submit_and_wait(&ring_, 1));
    reap();
  }
}

bool UringEngine::take_waiting() {
  sync::MutexLock lock(mutex_);
  while (!waiting_.empty() && in_kernel_ < kDepth - 1) {
    std::unique_ptr<TransferTask> task = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    make_call(std::move(task));
    lock.lock();
  }
  if (stopping_ && waiting_.empty() && in_kernel_ == 0) return false;
  asleep_ = waiting_.empty();
  return true;
}

void UringEngine::listen() {
  io_uring_sqe* const call = ::io_uring_get_sqe(&ring_);
  QUIRE_CHECK(call != nullptr);
  ::io_uring_prep_read(call, wake_fd_.get(), &wake_count_, sizeof(wake_count_), 0);
  ::io_uring_sqe_set_data(call, nullptr);
}

void UringEngine::make_call(std::unique_ptr<TransferTask> task) {
  Transfer& transfer = task->transfer();
  Transfer::Step step;
  if (!transfer.next(step)) {
    task->answer();
    return;
  }
  // There is a place: fewer calls than places are in the kernel or on their way there.
  io_uring_sqe* const call = ::io_uring_get_sqe(&ring_);
  QUIRE_CHECK(call != nullptr);
  const iovec& first = step.pieces[0];
  const auto length = static_cast<unsigned>(first.iov_len);
  const bool reads = transfer.kind() == Transfer::Kind::kRead;
  if (step.count > 1) {
    (reads ? ::io_uring_prep_readv : ::io_uring_prep_writev)(call, step.fd, step.pieces, step.count,
                                                             step.offset);
  } else if (reads) {
    ::io_uring_prep_read(call, step.fd, first.iov_base, length, step.offset);
  } else {
    ::io_uring_prep_write(call, step.fd, first.iov_base, length, step.offset);
  }
  ::io_uring_sqe_set_data(call, task.release());
  ++in_kernel_;
}

void UringEngine::reap() {
  io_uring_cqe* completion = nullptr;
  while (::io_uring_peek_cqe(&ring_, &completion) == 0) {
    std::unique_ptr<TransferTask> task(
        static_cast<TransferTask*>(::io_uring_cqe_get_data(completion)));
    const int result = completion->res;
    ::io_uring_cqe_seen(&ring_, completion);
    if (!task) {
      listen();
      continue;
    }
    --in_kernel_;
    task->transfer().took(result);
    make_call(std::move(task));
  }
}

}  // namespace quire::store
