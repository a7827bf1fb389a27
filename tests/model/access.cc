#include "model/access.h"

#include <setjmp.h>
#include <signal.h>

namespace quire::model {
namespace {

thread_local sigjmp_buf* after_signal = nullptr;

void on_signal(int signal) {
  if (after_signal != nullptr) siglongjmp(*after_signal, signal);
  // Not ours: the access is repeated, and ends the program.
  ::signal(signal, SIG_DFL);
}

Access copy(volatile std::byte* to, const volatile std::byte* from, std::size_t bytes) {
  handle_signals();
  volatile std::size_t done = 0;
  sigjmp_buf here;
  // With the mask of signals: the handler runs with its own barred, and ThreadSanitizer bars all of them.
  const int signal = sigsetjmp(here, 1);
  if (signal == 0) {
    after_signal = &here;
    for (std::size_t i = 0; i < bytes; ++i) {
      to[i] = from[i];
      done = i + 1;
    }
  }
  after_signal = nullptr;
  return {done, signal};
}

}  // namespace

void handle_signals() {
  static const bool installed = [] {
    struct sigaction action = {};
    action.sa_handler = on_signal;
    return ::sigaction(SIGBUS, &action, nullptr) == 0 &&
           ::sigaction(SIGSEGV, &action, nullptr) == 0;
  }();
  static_cast<void>(installed);
}

Access load(const std::byte* from, std::span<std::byte> to) {
  return copy(to.data(), from, to.size());
}

Access store(std::byte* to, std::span<const std::byte> from) {
  return copy(to, from.data(), from.size());
}

}  // namespace quire::model
