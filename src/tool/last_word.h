// LastWord: where a daemon that ends says what it could not write (control::Ended).
//
// The tool listens on an abstract Unix socket of type SOCK_SEQPACKET, tells the daemon its name with
// control::WriteBack, and unmounts; the daemon connects once it has written what it can. Anybody on the
// machine may connect, so only what the daemon's own process sends is believed.
//
// Thread-safety: one owner.
#ifndef QUIRE_TOOL_LAST_WORD_H_
#define QUIRE_TOOL_LAST_WORD_H_

#include <sys/types.h>

#include <chrono>
#include <string>
#include <utility>

#include "mount/control.h"
#include "quire/result.h"
#include "store/fd.h"

namespace quire::tool {

class LastWord {
 public:
  enum class Outcome {
    kTold,     // `ended` is what the daemon said
    kGone,     // the daemon has ended without a word
    kWaiting,  // neither, in the time given
  };

  // Listens under a name of its own.
  static Result<LastWord> listen();

  // The socket's name, without the zero byte that it begins with.
  const std::string& name() const { return name_; }

  // From here on it is noticed when the daemon ends. Before it may have ended: pids are used again.
  void watch(pid_t daemon);
  // REQUIRES: watch() was called.
  Outcome wait(std::chrono::milliseconds timeout, mount::control::Ended& ended);
  // Until the daemon has ended, which it does soon after its word: only then is its hold on the source gone.
  // False after `timeout`.
  // REQUIRES: watch() was called.
  bool wait_gone(std::chrono::milliseconds timeout) const;

 private:
  LastWord(std::string name, store::Fd socket)
      : name_(std::move(name)), socket_(std::move(socket)) {}
  // Takes connections until one is the daemon's or there is none.
  bool hear(mount::control::Ended& ended) const;

  std::string name_;
  store::Fd socket_;
  pid_t daemon_ = -1;
  store::Fd process_;  // of the daemon
};

}  // namespace quire::tool

#endif  // QUIRE_TOOL_LAST_WORD_H_
