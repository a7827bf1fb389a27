#include "mount/notifier.h"

#include <fuse3/fuse_lowlevel.h>

#include <utility>

namespace quire::mount {

Notifier::Drop Notifier::through(fuse_session* session) {
  return [session](std::uint64_t number, ByteRange bytes) {
    // An offset below 0 means the attributes alone.
    if (bytes == kAttributes) return -fuse_lowlevel_notify_inval_inode(session, number, -1, 0);
    const off_t length = bytes.end == 0 ? 0 : static_cast<off_t>(bytes.end - bytes.begin);
    return -fuse_lowlevel_notify_inval_inode(session, number, static_cast<off_t>(bytes.begin),
                                             length);
  };
}

Result<std::unique_ptr<Notifier>> Notifier::start(Drop drop) {
  std::unique_ptr<Notifier> notifier(new Notifier(std::move(drop)));
  Notifier* const self = notifier.get();
  auto thread = sync::Thread::start("quire-notify", [self] { self->run(); });
  if (!thread.ok()) return std::move(thread).error();
  notifier->thread_ = std::move(*thread);
  return notifier;
}

Notifier::~Notifier() {
  if (!thread_.joinable()) return;
  {
    sync::MutexLock lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Notifier::drop(std::uint64_t number, ByteRange bytes, std::function<void(int)> then) {
  {
    sync::MutexLock lock(mutex_);
    jobs_.push_back({number, bytes, std::move(then)});
  }
  changed_.notify_one();
}

void Notifier::run() {
  sync::MutexLock lock(mutex_);
  for (;;) {
    while (jobs_.empty() && !ending_) changed_.wait(mutex_);
    if (jobs_.empty()) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    ++recalls_;
    lock.unlock();
    const int number = drop_(job.number, job.bytes);
    job.then(number);
    job = {};
    lock.lock();
  }
}

std::uint64_t Notifier::recalls() const {
  sync::MutexLock lock(mutex_);
  return recalls_;
}

}  // namespace quire::mount
