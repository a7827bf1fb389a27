// Becoming a daemon: the process that was started waits until the one that it forked has mounted, and
// passes on what that one says until then.
//
//   parent                          child
//   fork ------------------------->
//   wait on a pipe  <--- note() ---  starts the mount
//   print its note
//                   <--- ready() --  serves, without a terminal
//   exit 0
//                   or its end ----  what went wrong was a note
//   exit 1
//
// Thread-safety: note() from any thread, the rest from the child's main thread.
// REQUIRES: the process has one thread when it forks.
#ifndef QUIRE_TOOL_DAEMON_H_
#define QUIRE_TOOL_DAEMON_H_

#include <functional>
#include <string_view>
#include <utility>

#include "store/fd.h"

namespace quire::tool {

class Daemon {
 public:
  // Forks. In the parent: waits, returns the exit status of the command. In the child: runs `body` in a
  // session of its own and returns what it returns. -1 with errno if there is no child.
  static int fork_and_run(const std::function<int(Daemon&)>& body);

  // A line for the parent's standard error. After ready(): nothing.
  void note(std::string_view text);

  // Lets the parent go, with a line for its standard output; leaves the terminal and the working
  // directory. False if the parent was gone before it was told: whoever started it does not know that
  // there is a daemon.
  bool ready(std::string_view text);

 private:
  explicit Daemon(store::Fd pipe) : pipe_(std::move(pipe)) {}
  bool tell(char kind, std::string_view text);

  store::Fd pipe_;
};

}  // namespace quire::tool

#endif  // QUIRE_TOOL_DAEMON_H_
