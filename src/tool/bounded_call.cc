#include "tool/bounded_call.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "sync/clock.h"

namespace quire::tool {

namespace {

// In the child, which does not return.
[[noreturn]] void make_call(int pipe, std::size_t answer_bytes, const BoundedCall::Call& call) {
  // A child that hangs must not keep a pipeline waiting for the end of our output.
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (null >= 0) ::dup2(null, stream);
  }
  std::vector<std::byte> message(sizeof(int) + answer_bytes);
  const int error = call(std::span(message).subspan(sizeof(int)));
  std::memcpy(message.data(), &error, sizeof(int));
  const bool told =
      ::write(pipe, message.data(), message.size()) == static_cast<ssize_t>(message.size());
  ::_exit(told ? 0 : 1);
}

// Until `bytes` is full or the writer is gone; false then.
bool read_all(int fd, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t got = ::read(fd, bytes.data(), bytes.size());
    if (got == 0 || (got < 0 && errno != EINTR)) return false;
    if (got > 0) bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
  return true;
}

Error cannot(const char* what) {
  const std::error_code code = store::errno_code(errno);
  return {code, fmt::format("cannot {}: {}", what, code.message())};
}

}  // namespace

Result<BoundedCall> BoundedCall::start(std::size_t answer_bytes, const Call& call) {
  std::array<int, 2> ends = {};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return cannot("make a pipe");
  store::Fd read_end(ends[0]);
  const store::Fd write_end(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return cannot("start a process");
  if (child == 0) make_call(write_end.get(), answer_bytes, call);
  return BoundedCall(std::move(read_end), child, answer_bytes);
}

BoundedCall::~BoundedCall() {
  if (!pipe_.ok()) return;
  ::kill(child_, SIGKILL);
  // It is gone at once, or not until its call returns; then whoever inherits it sees to it.
  ::waitpid(child_, nullptr, WNOHANG);
}

bool BoundedCall::wait(std::chrono::milliseconds timeout) {
  if (!pipe_.ok()) return true;
  const auto deadline = sync::deadline_after(timeout);
  struct pollfd poll = {pipe_.get(), POLLIN, 0};
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - sync::Clock::now());
    const int ready = ::poll(&poll, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready > 0) break;
    if (ready == 0) return false;
  }
  if (!read_all(pipe_.get(), std::as_writable_bytes(std::span(&error_, 1))) ||
      !read_all(pipe_.get(), answer_)) {
    error_ = ECANCELED;
  }
  pipe_.reset();
  ::waitpid(child_, nullptr, 0);
  return true;
}

}  // namespace quire::tool
