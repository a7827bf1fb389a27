#include "tool/daemon.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <string>

#include "tool/message.h"

namespace quire::tool {

namespace {

// Lines of the pipe: what they are, then their text.
constexpr char kNote = 'n';
constexpr char kReady = 'r';

std::string read_to_the_end(int fd) {
  std::string text;
  std::array<char, 4096> piece = {};
  while (true) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got > 0) text.append(piece.data(), static_cast<std::size_t>(got));
    if (got == 0 || (got < 0 && errno != EINTR)) return text;
  }
}

// The child closes the pipe when it is ready, or by its end.
int follow(int pipe, pid_t child) {
  const std::string said = read_to_the_end(pipe);
  bool ready = false;
  bool noted = false;
  for (std::size_t begin = 0; begin < said.size();) {
    const std::size_t end = std::min(said.find('\n', begin), said.size());
    const std::string text = said.substr(begin + 1, end - begin - 1);
    if (said[begin] == kReady) {
      ready = true;
      if (!put(text + '\n')) say("cannot write to standard output");
    } else {
      noted = true;
      say(text);
    }
    begin = end + 1;
  }
  if (ready) return kSuccess;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) {
    return fail(
        fmt::format("the daemon was killed by signal {} before it had mounted", WTERMSIG(status)));
  }
  return noted ? kFailure : fail("the daemon ended before it had mounted");
}

void leave_terminal() {
  // The directory may be one that somebody wants to unmount.
  static_cast<void>(!::chdir("/"));
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (null >= 0) ::dup2(null, stream);
  }
  if (null > STDERR_FILENO) ::close(null);
}

}  // namespace

int Daemon::fork_and_run(const std::function<int(Daemon&)>& body) {
  std::array<int, 2> ends = {};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return -1;
  store::Fd read_end(ends[0]);
  store::Fd write_end(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return -1;
  if (child > 0) {
    write_end.reset();
    return follow(read_end.get(), child);
  }
  read_end.reset();
  ::setsid();
  Daemon daemon(std::move(write_end));
  return body(daemon);
}

bool Daemon::tell(char kind, std::string_view text) {
  // One write of at most PIPE_BUF bytes: lines of several threads do not mix.
  std::string line = kind + std::string(text.substr(0, PIPE_BUF - 2));
  std::ranges::replace(line, '\n', ' ');
  line += '\n';
  return ::write(pipe_.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size());
}

void Daemon::note(std::string_view text) {
  if (pipe_.ok()) tell(kNote, text);
}

bool Daemon::ready(std::string_view text) {
  leave_terminal();
  const bool told = tell(kReady, text);
  pipe_.reset();
  return told;
}

}  // namespace quire::tool
