#include "tool/end_signals.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace quire::tool {

namespace {

sigset_t end_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set, signal);
  return set;
}

}  // namespace

void EndSignals::block() {
  const sigset_t set = end_signals();
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
}

Result<std::unique_ptr<EndSignals>> EndSignals::start(std::function<void(int)> on_signal) {
  const sigset_t set = end_signals();
  store::Fd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  store::Fd done(::eventfd(0, EFD_CLOEXEC));
  if (!signals.ok() || !done.ok()) {
    const std::error_code code = store::errno_code(errno);
    return Error(code, fmt::format("cannot wait for signals: {}", code.message()));
  }
  std::unique_ptr<EndSignals> self(new EndSignals(std::move(signals), std::move(done)));
  auto thread = sync::Thread::start(
      "quire-signals", [raw = self.get(), call = std::move(on_signal)] { raw->take(call); });
  if (!thread) return thread.error();
  self->thread_ = std::move(*thread);
  return self;
}

EndSignals::~EndSignals() {
  if (!thread_.joinable()) return;
  ::eventfd_write(done_.get(), 1);
  thread_.join();
}

void EndSignals::take(const std::function<void(int)>& on_signal) {
  std::array<struct pollfd, 2> polls = {{{signals_.get(), POLLIN, 0}, {done_.get(), POLLIN, 0}}};
  while (true) {
    if (::poll(polls.data(), polls.size(), -1) < 0) continue;
    struct signalfd_siginfo info = {};
    while (::read(signals_.get(), &info, sizeof(info)) == ssize_t{sizeof(info)}) {
      on_signal(static_cast<int>(info.ssi_signo));
    }
    if (polls[1].revents != 0) return;
  }
}

}  // namespace quire::tool
