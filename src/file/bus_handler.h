// BusHandler: the process's handler of SIGBUS, while mappings with MapOptions::in_thread need one. It answers their
// accesses (in_thread_fault.h), and does with every other SIGBUS what would have been done without it: it passes on to
// whatever was there before.
//
//   SIGBUS -> answer -- answered ---> errno as it was, back to the access, which is repeated
//               | not answered
//               +--> a handler from before: called, as the kernel would, with the same siginfo
//               +--> none, or ignored: the default action is put in its place, and the access is repeated: it kills
//               +--> ignored, and sent by somebody: ignored
//
// It is installed with the first such mapping and stays for as long as the process lives: to take it away while other
// threads may be in it, or after others have installed one that calls it, is what cannot be done safely. A program that
// installs one of its own later must call answer_sigbus() in it (mapping.h). The child of a fork has it too, and no
// mappings.
//
// Who calls: map(), install(); the kernel the rest.
//
// Invariants:
//  1. All signals are blocked while it runs but those that the thread's own code raises (SIGSEGV, SIGILL, SIGFPE,
//     SIGTRAP, SIGSYS, SIGABRT, another SIGBUS): a program's handler that accessed a mapping then, or left by longjmp,
//     would find or leave locks held. So must none of those that another thread or process sends.
//  2. What was there before is known before the kernel can call it.
#ifndef QUIRE_FILE_BUS_HANDLER_H_
#define QUIRE_FILE_BUS_HANDLER_H_

#include "quire/result.h"
#include "sync/mutex.h"

namespace quire::file {

class BusHandler {
 public:
  // Does nothing from the second time on.
  static Status install();

 private:
  friend struct BusHandlerPeer;  // lets the tests hold the mutex

  static sync::Mutex& mutex() noexcept;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_BUS_HANDLER_H_
