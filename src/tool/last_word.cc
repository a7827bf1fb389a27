#include "tool/last_word.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>

#include "sync/clock.h"
#include "sync/random.h"

namespace quire::tool {

namespace {

using mount::control::Ended;

// A daemon that connects says its word at once.
constexpr time_t kReadMaxSeconds = 10;

bool is_from(int connection, pid_t process) {
  struct ucred peer = {};
  socklen_t length = sizeof(peer);
  return ::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
         peer.pid == process;
}

bool read_ended(int connection, Ended& ended) {
  const struct timeval limit = {kReadMaxSeconds, 0};
  ::setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ssize_t got = -1;
  do {
    got = ::recv(connection, &ended, sizeof(ended), 0);
  } while (got < 0 && errno == EINTR);
  return got == ssize_t{sizeof(ended)} && ended.version == mount::control::kVersion;
}

// poll(2), begun again after signals, until `deadline`.
int poll_until(std::span<struct pollfd> polls, sync::Clock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - sync::Clock::now());
    const int ready = ::poll(polls.data(), polls.size(),
                             static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready >= 0 || errno != EINTR) return ready;
  }
}

}  // namespace

Result<LastWord> LastWord::listen() {
  const auto refused = [] {
    const std::error_code code = store::errno_code(errno);
    return Error(code, fmt::format("cannot listen on a Unix socket: {}", code.message()));
  };
  store::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.ok()) return refused();
  std::string name = fmt::format("quire-unmount-{}-{:016x}", ::getpid(), sync::random_u64());
  struct sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::ranges::copy(name, std::begin(address.sun_path) + 1);
  const auto length =
      static_cast<socklen_t>(offsetof(struct sockaddr_un, sun_path) + 1 + name.size());
  // Every address family's calls take a sockaddr.
  const auto* const any = static_cast<const struct sockaddr*>(static_cast<const void*>(&address));
  if (::bind(socket.get(), any, length) != 0 || ::listen(socket.get(), 8) != 0) return refused();
  return LastWord(std::move(name), std::move(socket));
}

void LastWord::watch(pid_t daemon) {
  daemon_ = daemon;
  process_ = store::Fd(static_cast<int>(::syscall(SYS_pidfd_open, daemon, 0)));
}

bool LastWord::hear(Ended& ended) const {
  while (true) {
    const store::Fd connection(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection.ok()) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return false;
    }
    if (is_from(connection.get(), daemon_) && read_ended(connection.get(), ended)) return true;
  }
}

bool LastWord::wait_gone(std::chrono::milliseconds timeout) const {
  if (!process_.ok()) return true;
  const auto deadline = sync::deadline_after(timeout);
  struct pollfd process = {process_.get(), POLLIN, 0};
  return poll_until({&process, 1}, deadline) > 0;
}

LastWord::Outcome LastWord::wait(std::chrono::milliseconds timeout, Ended& ended) {
  const auto deadline = sync::deadline_after(timeout);
  std::array<struct pollfd, 2> polls = {
      {{socket_.get(), POLLIN, 0}, {process_.ok() ? process_.get() : -1, POLLIN, 0}}};
  while (true) {
    const int ready = poll_until(polls, deadline);
    if (hear(ended)) return Outcome::kTold;
    // Looked at after hear(), which took all that it said before it ended.
    if (ready > 0 && polls[1].revents != 0) return Outcome::kGone;
    if (ready == 0) return Outcome::kWaiting;
  }
}

}  // namespace quire::tool
