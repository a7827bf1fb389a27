// EndSignals: SIGTERM, SIGINT and SIGHUP as a call in a thread of its own, as often as they come; they
// end no process.
//
// Thread-safety: one owner. REQUIRES: block() was called before any thread was started.
#ifndef QUIRE_TOOL_END_SIGNALS_H_
#define QUIRE_TOOL_END_SIGNALS_H_

#include <functional>
#include <memory>
#include <utility>

#include "quire/result.h"
#include "store/fd.h"
#include "sync/thread.h"

namespace quire::tool {

class EndSignals {
 public:
  // From here on they wait until somebody takes them. SIGPIPE and SIGXFSZ are ignored: whoever writes
  // gets an error.
  static void block();

  // Calls `on_signal` with the number for each signal, those that wait already included.
  static Result<std::unique_ptr<EndSignals>> start(std::function<void(int)> on_signal);
  // No call is under way afterwards.
  ~EndSignals();
  EndSignals(const EndSignals&) = delete;
  EndSignals& operator=(const EndSignals&) = delete;

 private:
  EndSignals(store::Fd signals, store::Fd done)
      : signals_(std::move(signals)), done_(std::move(done)) {}
  void take(const std::function<void(int)>& on_signal);

  store::Fd signals_;
  store::Fd done_;  // an eventfd
  sync::Thread thread_;
};

}  // namespace quire::tool

#endif  // QUIRE_TOOL_END_SIGNALS_H_
