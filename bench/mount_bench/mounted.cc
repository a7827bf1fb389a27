#include "mount_bench/mounted.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "host_bench/data.h"
#include "host_bench/row.h"
#include "mount/server.h"
#include "mount_bench/do_nothing.h"

namespace quire::bench {
namespace {

constexpr int kEndMaxMs = 60'000;

// Descriptors of the control files that abort the mounts of now; -1: free. A signal handler reads them.
std::array<std::atomic<int>, 8> abort_fds = {-1, -1, -1, -1, -1, -1, -1, -1};

void abort_all(int /*signal*/) {
  for (const std::atomic<int>& fd : abort_fds) {
    if (fd.load() >= 0 && ::write(fd.load(), "1", 1) < 0) continue;
  }
}

int keep_abort_fd(const std::string& mountpoint) {
  struct stat s = {};
  if (::stat(mountpoint.c_str(), &s) != 0) return -1;
  const std::string path = fmt::format("/sys/fs/fuse/connections/{}/abort", minor(s.st_dev));
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  for (std::size_t slot = 0; slot < abort_fds.size(); ++slot) {
    int free = -1;
    if (abort_fds[slot].compare_exchange_strong(free, fd)) return static_cast<int>(slot);
  }
  ::close(fd);
  return -1;
}

// Calls `end` when the benchmark, or its death, says so.
void end_on_signal(const sigset_t& signals, std::function<void()> end) {
  std::thread([signals, end = std::move(end)] {
    int number = 0;
    ::sigwait(&signals, &number);
    end();
  }).detach();
}

// The daemon's process. Says "+" on the pipe once it is mounted, or what went wrong.
[[noreturn]] void run_daemon(const MountSettings& settings, const std::string& mountpoint,
                             pid_t parent, int pipe) {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&signals, number);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(1);
  // What the benchmark has open keeps other mounts busy.
  constexpr int kPipe = STDERR_FILENO + 1;
  if (pipe != kPipe) ::dup2(pipe, kPipe);
  pipe = kPipe;
  ::close_range(kPipe + 1, ~0U, 0);

  const auto say = [pipe](const std::string& text) {
    (void)!::write(pipe, text.data(), text.size());
    ::close(pipe);
  };
  std::string failure;
  try {
    if (settings.daemon == MountSettings::Daemon::kNothing) {
      failure = serve_nothing({settings.source, mountpoint, settings.threads, settings.in_memory},
                              [&](auto end) {
                                end_on_signal(signals, std::move(end));
                                say("+");
                              });
    } else {
      mount::Options options;
      options.source = settings.source;
      options.mountpoint = mountpoint;
      if (settings.memory_bytes != 0) options.memory_bytes = settings.memory_bytes;
      options.dirty_max_bytes = settings.dirty_max_bytes;
      if (!settings.write_when_old) options.dirty_age = std::chrono::hours(1);
      options.log = [](LogLevel level, std::string_view text) {
        if (level != LogLevel::kInfo) fmt::print(stderr, "  quire: {}\n", text);
      };
      ::umask(0);
      auto server = mount::Server::start(options);
      if (!server.ok()) {
        failure = server.error().message();
      } else {
        end_on_signal(signals, [raw = server->get()] { raw->stop(); });
        say("+");
        for (const std::string& lost : (*server)->run().lost) {
          fmt::print(stderr, "  quire: lost {}\n", lost);
        }
      }
    }
  } catch (const std::exception& error) {
    failure = error.what();
  }
  if (!failure.empty()) say(failure);
  ::_exit(failure.empty() ? 0 : 1);
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 512> buffer{};
  for (ssize_t got = 0; (got = ::read(fd, buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(got));
    if (text == "+") break;
  }
  return text;
}

}  // namespace

std::string MountSettings::text() const {
  if (daemon == Daemon::kNothing) {
    return fmt::format("{} threads, {}", threads,
                       in_memory.empty() ? "files passed through" : "the file in its memory");
  }
  return fmt::format(
      "budget {}, dirty limit {}",
      memory_bytes == 0 ? "256 MiB" : fmt::format("{} MiB", memory_bytes / kMiB),
      dirty_max_bytes == 0 ? "the default" : fmt::format("{} MiB", dirty_max_bytes / kMiB));
}

Mounted::Mounted(const MountSettings& settings) : path_(settings.source + ".mounted") {
  std::error_code ignored;
  std::filesystem::create_directory(settings.source, ignored);
  std::filesystem::create_directory(path_, ignored);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw NotMeasured(std::strerror(errno));
  std::fflush(nullptr);
  const pid_t parent = ::getpid();
  daemon_ = ::fork();
  if (daemon_ == 0) {
    ::close(ends[0]);
    run_daemon(settings, path_, parent, ends[1]);
  }
  ::close(ends[1]);
  const std::string said = read_all(ends[0]);
  ::close(ends[0]);
  if (said != "+") {
    if (daemon_ > 0) ::waitpid(daemon_, nullptr, 0);
    throw NotMeasured(said.empty() ? "no daemon could be started" : said);
  }
  slot_ = keep_abort_fd(path_);
}

Mounted::~Mounted() {
  ::kill(daemon_, SIGTERM);
  pollfd ended = {static_cast<int>(::syscall(SYS_pidfd_open, daemon_, 0)), POLLIN, 0};
  if (::poll(&ended, 1, kEndMaxMs) != 1) {
    fmt::print(stderr, "  {} did not end in {} s; cut off\n", path_, kEndMaxMs / 1000);
    if (slot_ >= 0) (void)!::write(abort_fds[static_cast<std::size_t>(slot_)], "1", 1);
    ::umount2(path_.c_str(), MNT_DETACH);
    ::kill(daemon_, SIGKILL);
  }
  ::close(ended.fd);
  ::waitpid(daemon_, nullptr, 0);
  if (slot_ >= 0) ::close(abort_fds[static_cast<std::size_t>(slot_)].exchange(-1));
  ::rmdir(path_.c_str());
}

double Mounted::cpu_seconds() const {
  std::ifstream file(fmt::format("/proc/{}/stat", daemon_));
  std::string text;
  std::getline(file, text);
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

RowTimeout::RowTimeout(unsigned seconds) {
  ::signal(SIGALRM, abort_all);
  ::alarm(seconds);
}

RowTimeout::~RowTimeout() {
  ::alarm(0);
}

}  // namespace quire::bench
