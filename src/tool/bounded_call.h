// BoundedCall: a call that may never return, made where that does no harm: in a process of its own.
//
// A request to a FUSE daemon that hangs cannot be taken back, not even by SIGKILL, once the daemon has
// read it. So what touches a mount runs in a child, which holds no descriptor of the parent's standard
// streams; the parent waits as long as it wants, and may leave the child behind.
//
// Invariants:
//  1. The child runs `call` and nothing else: no destructors, no handlers of exit.
//  2. What the child had open is closed before its answer can be seen.
//
// Thread-safety: one owner. REQUIRES: the process has one thread.
#ifndef QUIRE_TOOL_BOUNDED_CALL_H_
#define QUIRE_TOOL_BOUNDED_CALL_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "quire/result.h"
#include "store/fd.h"

namespace quire::tool {

class BoundedCall {
 public:
  // Puts its answer into the buffer, which is zeroed before, and returns an errno, 0 for success.
  using Call = std::function<int(std::span<std::byte> answer)>;

  // REQUIRES: answer_bytes fits in a pipe (limit 60,000).
  static Result<BoundedCall> start(std::size_t answer_bytes, const Call& call);
  BoundedCall(BoundedCall&&) = default;
  // Kills the child if it has not answered.
  ~BoundedCall();

  // Waits for the answer, for so long at most. True once it is there.
  bool wait(std::chrono::milliseconds timeout);

  // What `call` returned; ECANCELED if the child ended without an answer. REQUIRES: wait() was true.
  int error() const { return error_; }
  // REQUIRES: error() is 0.
  std::span<const std::byte> answer() const { return answer_; }

 private:
  BoundedCall(store::Fd pipe, pid_t child, std::size_t answer_bytes)
      : pipe_(std::move(pipe)), child_(child), answer_(answer_bytes) {}

  store::Fd pipe_;  // until the answer is there
  pid_t child_;
  std::vector<std::byte> answer_;
  int error_ = 0;
};

}  // namespace quire::tool

#endif  // QUIRE_TOOL_BOUNDED_CALL_H_
