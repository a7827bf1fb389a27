// Interruptible: lets a program that is being killed end the engine's wait for it. While one lives, the kernel's
// INTERRUPT for the request stops `call()` if that is the reason.
//
// The kernel sends INTERRUPT for every signal. One that the program catches does not count: fsync(2) and
// write(2) on a local file system do not end for it, and programs do not expect it.
//
// It must be gone before the request is answered, since the answer frees the request.
#ifndef QUIRE_MOUNT_REQUEST_H_
#define QUIRE_MOUNT_REQUEST_H_

#include <fuse3/fuse_lowlevel.h>
#include <sys/types.h>

#include <stop_token>

#include "quire/file.h"
#include "sync/wait.h"

namespace quire::mount {

// A thread has SIGKILL pending: the kernel turns every signal that kills into that. False if it is in another
// pid namespace and cannot be looked at.
bool is_dying(pid_t thread);

class Interruptible {
 public:
  // `path`: how the engine's calls shall get at the bytes.
  explicit Interruptible(fuse_req_t request, IoPath path = IoPath::kCached) : request_(request) {
    call_.stop = source_.get_token();
    call_.path = path;
    fuse_req_interrupt_func(request_, &Interruptible::interrupted, this);
  }
  ~Interruptible() { fuse_req_interrupt_func(request_, nullptr, nullptr); }
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;

  const CallOptions& call() const noexcept { return call_; }
  sync::WaitLimit limit() const noexcept { return {call_.deadline, call_.stop}; }

 private:
  static void interrupted(fuse_req_t request, void* self) {
    if (is_dying(fuse_req_ctx(request)->pid)) {
      static_cast<Interruptible*>(self)->source_.request_stop();
    }
  }

  fuse_req_t request_;
  std::stop_source source_;
  CallOptions call_;
};

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_REQUEST_H_
