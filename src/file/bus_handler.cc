#include "file/bus_handler.h"

#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>

#include "quire/mapping.h"
#include "sync/atomic.h"
#include "sync/mutex.h"

namespace quire::file {
namespace {

using SignalAction = struct sigaction;

sync::Mutex bus_mutex;
bool bus_handled GUARDED_BY(bus_mutex) = false;

// A fork may leave it locked.
void renew_bus_mutex() {
  new (&bus_mutex) sync::Mutex;
}
[[maybe_unused]] const int kBusKnowsOfForks = ::pthread_atfork(nullptr, nullptr, renew_bus_mutex);

// What was there before: as it was read first, and as the kernel gave it back.
std::array<SignalAction, 2> bus_befores;
sync::Atomic<const SignalAction*> bus_before{nullptr};
// It was to be called once (SA_RESETHAND), and has been.
sync::Atomic<bool> bus_before_used_up{false};

// What the interrupted thread has blocked. The kernel writes so many bits, and the C library's type has more.
sigset_t mask_before(const void* context) noexcept {
  sigset_t mask;
  sigemptyset(&mask);
  std::memcpy(&mask, &static_cast<const ucontext_t*>(context)->uc_sigmask, _NSIG / 8);
  return mask;
}

// By an access of this thread, which is repeated when the handler returns.
bool raised_by_access(const siginfo_t& info) noexcept {
  return info.si_code > 0 && info.si_code != BUS_MCEERR_AO;
}

// As the kernel does where there is no handler.
void act_by_default(int signal, bool ignored, const siginfo_t& info) noexcept {
  if (ignored && !raised_by_access(info)) return;
  SignalAction action = {};
  action.sa_handler = SIG_DFL;
  ::sigaction(signal, &action, nullptr);
  // An access that is repeated kills, and says where it was.
  if (!raised_by_access(info)) ::raise(signal);
}

// As the kernel would call it.
void call_as_kernel(const SignalAction& action, int signal, siginfo_t* info,
                    void* context) noexcept {
  sigset_t mask = mask_before(context);
  sigorset(&mask, &mask, &action.sa_mask);
  if ((action.sa_flags & SA_NODEFER) == 0) sigaddset(&mask, signal);
  sigset_t own;
  ::pthread_sigmask(SIG_SETMASK, &mask, &own);
  if ((action.sa_flags & SA_SIGINFO) != 0) {
    action.sa_sigaction(signal, info, context);
  } else {
    action.sa_handler(signal);
  }
  ::pthread_sigmask(SIG_SETMASK, &own, nullptr);
}

void on_sigbus(int signal, siginfo_t* info, void* context) noexcept {
  if (answer_sigbus(info, context)) return;
  const SignalAction& action = *bus_before.load();
  const bool has_handler = (action.sa_flags & SA_SIGINFO) != 0 ||
                           (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
  const bool once = (action.sa_flags & static_cast<int>(SA_RESETHAND)) != 0;
  if (!has_handler || (once && bus_before_used_up.exchange(true))) {
    act_by_default(signal, !has_handler && action.sa_handler == SIG_IGN, *info);
    return;
  }
  call_as_kernel(action, signal, info, context);
}

}  // namespace

sync::Mutex& BusHandler::mutex() noexcept {
  return bus_mutex;
}

Status BusHandler::install() {
  sync::MutexLock lock(bus_mutex);
  if (bus_handled) return {};
  const auto failed = [] {
    return Error(std::error_code(errno, std::generic_category()), "sigaction");
  };
  SignalAction there = {};
  if (::sigaction(SIGBUS, nullptr, &there) != 0) return failed();
  if ((there.sa_flags & SA_SIGINFO) != 0 && there.sa_sigaction == on_sigbus) {
    // The process forked while another thread of the parent was here, and knows what was there before.
    bus_handled = true;
    return {};
  }
  bus_befores[0] = there;
  bus_before = &bus_befores[0];
  SignalAction action = {};
  action.sa_sigaction = on_sigbus;
  // On the alternate stack where the thread has one, as what was there before may want it.
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | (bus_befores[0].sa_flags & SA_RESTART);
  sigfillset(&action.sa_mask);
  for (const int raised : {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT}) {
    sigdelset(&action.sa_mask, raised);
  }
  if (::sigaction(SIGBUS, &action, &bus_befores[1]) != 0) return failed();
  // Somebody may have installed one in between.
  bus_before = &bus_befores[1];
  bus_handled = true;
  return {};
}

}  // namespace quire::file
