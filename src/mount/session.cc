#include "mount/session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "mount/limits.h"
#include "mount/served.h"
#include "mount/setxattr_request.h"
#include "store/fd.h"
#include "sync/thread_local.h"

namespace quire::mount {
namespace {

// A value among mount options: commas and backslashes are quoted.
std::string quoted(const std::string& value) {
  std::string result;
  for (const char c : value) {
    if (c == ',' || c == '\\') result += '\\';
    result += c;
  }
  return result;
}

// libfuse's own arguments, freed with it.
struct Arguments {
  explicit Arguments(const std::vector<std::string>& words) {
    for (const std::string& word : words) fuse_opt_add_arg(&args, word.c_str());
  }
  ~Arguments() { fuse_opt_free_args(&args); }
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  fuse_args args = FUSE_ARGS_INIT(0, nullptr);
};

// What libfuse and fusermount3 write to standard error while they mount: the only place where they say why
// they do not.
class StandardError {
 public:
  StandardError() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return;
    saved_ = store::Fd(::dup(STDERR_FILENO));
    read_ = store::Fd(ends[0]);
    const store::Fd write(ends[1]);
    if (saved_.ok()) (void)::dup2(write.get(), STDERR_FILENO);
  }
  ~StandardError() { restore(); }
  StandardError(const StandardError&) = delete;
  StandardError& operator=(const StandardError&) = delete;

  // Its lines so far, joined.
  std::string text() {
    restore();
    std::array<char, 1024> buffer{};
    const ssize_t got = read_.ok() ? ::read(read_.get(), buffer.data(), buffer.size()) : 0;
    std::string text(buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    for (char& c : text) {
      if (c == '\n') c = ' ';
    }
    return text;
  }

 private:
  void restore() {
    if (saved_.ok()) (void)::dup2(saved_.get(), STDERR_FILENO);
    saved_.reset();
  }
  store::Fd saved_;
  store::Fd read_;
};

}  // namespace

Session::Session(const Options& options)
    : mountpoint_(options.mountpoint), init_(options.shared_mmap) {}

Session::~Session() {
  if (session_ == nullptr) return;
  // Where the connection has ended this detaches nothing, and frees what libfuse keeps.
  if (!mounted_ || !is_covered()) fuse_session_unmount(session_);
  fuse_session_destroy(session_);
}

std::size_t Session::request_bytes_max() const noexcept {
  // The largest WRITE and its header, as libfuse reckons it: a page for headers.
  return limits::kRequestMaxBytes + 4096;
}

namespace {

// While the first request is served there is one session that it can be of: this thread's.
struct ServingInit {
  InitReply* reply = nullptr;
};
struct ServingInitTag {};

InitReply*& serving_init() {
  return sync::ThreadLocal<ServingInit, ServingInitTag>::get().reply;
}

ssize_t write_reply(int fd, iovec* parts, int count, void* /*userdata*/) {
  if (InitReply* const init = serving_init()) {
    init->sending({parts, static_cast<std::size_t>(count)});
  }
  return ::writev(fd, parts, count);
}

ssize_t read_request(int fd, void* memory, std::size_t size, void* /*userdata*/) {
  return ::read(fd, memory, size);
}

}  // namespace

Result<std::unique_ptr<Session>> Session::mount(const Options& options,
                                                const fuse_lowlevel_ops& operations,
                                                void* filesystem) {
  std::unique_ptr<Session> session(new Session(options));
  std::string mount_options =
      fmt::format("default_permissions,subtype=quire,fsname={}", quoted(options.source));
  if (options.allow_other) mount_options += ",allow_other";
  Arguments arguments({"quire", "-o", mount_options});
  session->session_ =
      fuse_session_new(&arguments.args, &operations, sizeof(operations), filesystem);
  if (session->session_ == nullptr) {
    return Error(std::errc::not_enough_memory, "starting libfuse");
  }
  {
    StandardError said;
    if (fuse_session_mount(session->session_, options.mountpoint.c_str()) != 0) {
      const int number = errno;
      std::string text = said.text();
      if (text.empty()) text = std::strerror(number);
      return Error(std::error_code(number != 0 ? number : EIO, std::generic_category()),
                   fmt::format("mounting on {}: {}; `quire doctor` tells what this machine allows",
                               options.mountpoint, text));
    }
  }
  session->mounted_ = true;
  fuse_custom_io io = {};
  io.read = &read_request;
  io.writev = &write_reply;
  if (const int failed =
          fuse_session_custom_io(session->session_, &io, fuse_session_fd(session->session_));
      failed != 0) {
    return Error(std::error_code(failed < 0 ? EINVAL : failed, std::generic_category()),
                 "taking over libfuse's connection");
  }

  // The kernel asks first of all what the daemon can do.
  const std::size_t capacity = session->request_bytes_max();
  const auto memory = std::make_unique_for_overwrite<std::byte[]>(capacity);
  serving_init() = &session->init_;
  while (!session->init_.done()) {
    const std::size_t size = session->read(memory.get(), capacity);
    if (size == 0) break;
    session->init_.received(memory.get(), size);
    session->serve(memory.get(), size);
  }
  serving_init() = nullptr;
  if (!session->init_.done()) {
    return Error(std::errc::connection_aborted,
                 fmt::format("{} was unmounted before it was served", options.mountpoint));
  }
  return session;
}

std::size_t Session::read(std::byte* memory, std::size_t capacity) {
  for (;;) {
    const ssize_t size = ::read(fuse_session_fd(session_), memory, capacity);
    if (size > 0) return static_cast<std::size_t>(size);
    // ENOENT: the request was interrupted before it got here. ENODEV: unmounted, or aborted.
    if (size < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT)) continue;
    return 0;
  }
}

void Session::serve(std::byte* request, std::size_t size) {
  if (init_.extended_setxattr()) size = shorten_setxattr(request, size);
  fuse_buf buffer = {};
  buffer.mem = request;
  buffer.size = size;
  fuse_session_process_buf(session_, &buffer);
}

bool Session::cut_off() {
  const std::size_t colon = device_.find(':');
  if (colon == std::string::npos) return false;
  const std::string path =
      fmt::format("/sys/fs/fuse/connections/{}/abort", device_.substr(colon + 1));
  const store::Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return fd.ok() && ::write(fd.get(), "1", 1) == 1;
}

bool Session::is_covered() const {
  const auto table = mounts();
  if (device_.empty() || !table.ok()) return false;
  // The one that is on top comes last.
  const auto top = std::find_if(table->rbegin(), table->rend(), [this](const MountLine& line) {
    return line.mountpoint == mountpoint_;
  });
  return top != table->rend() && top->device != device_;
}

int Session::detach(bool lazy) {
  if (is_covered()) return EADDRINUSE;
  if (::geteuid() == 0) {
    const int flags = UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0);
    if (::umount2(mountpoint_.c_str(), flags) != 0) return errno;
  } else {
    std::string program = "fusermount3";
    std::string options = lazy ? "-uqz" : "-uq";
    std::string end = "--";
    std::string where = mountpoint_;
    std::array<char*, 5> argv = {program.data(), options.data(), end.data(), where.data(), nullptr};
    pid_t child = 0;
    if (const int failed =
            ::posix_spawnp(&child, program.c_str(), nullptr, nullptr, argv.data(), environ);
        failed != 0) {
      return failed;
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return EBUSY;
  }
  mounted_ = false;
  return 0;
}

}  // namespace quire::mount
