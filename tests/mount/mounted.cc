#include "mount/mounted.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "mount/served.h"
#include "sync/clock.h"

namespace quire::mount::testing {
namespace {

// A test that takes longer hangs.
constexpr std::chrono::seconds kTestMax{120};
constexpr const char* kControl = "/sys/fs/fuse/connections";

// What the daemon logs goes to the test's own output.
void log_to_stderr(LogLevel level, std::string_view text) {
  if (level < LogLevel::kWarning) return;
  std::string line = "daemon: ";
  line += text;
  line += '\n';
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

// Whoever looks at all mounts of the machine may be looking at this one: it is tried again for a while.
int unmount_root(const std::string& root) {
  int error = 0;
  (void)eventually([&] {
    error = ::umount2(root.c_str(), UMOUNT_NOFOLLOW) == 0 ? 0 : errno;
    return error != EBUSY;
  });
  return error;
}

std::string control_of(const std::string& device) {
  return std::string(kControl) + "/" + device.substr(device.find(':') + 1);
}

// Where an init system runs it is mounted from the start, and stays so. Root may mount it; an ordinary user finds it
// there or not.
void have_control(const std::string& device) {
  if (std::filesystem::exists(control_of(device))) return;
  (void)::mount("fusectl", kControl, "fusectl", 0, nullptr);
}

}  // namespace

int Mounted::unmount() const {
  if (::geteuid() == 0) return unmount_root(root_);
  return std::system(("fusermount3 -u '" + root_ + "'").c_str()) == 0 ? 0 : EBUSY;
}

std::string Mounted::cannot() {
  const store::Fd fd(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!fd.ok()) {
    return std::string("/dev/fuse cannot be opened (") + std::strerror(errno) +
           "); load the module: modprobe fuse";
  }
  if (::geteuid() != 0 && std::system("command -v fusermount3 >/dev/null") != 0) {
    return "fusermount3 is not there; install the package fuse3";
  }
  return {};
}

Mounted::Mounted() {
  // In the test's own directory, and found by canonical path.
  const std::string base = std::filesystem::canonical(directory_.path());
  source_ = base + "/source";
  root_ = base + "/mounted";
  std::filesystem::create_directory(source_);
  std::filesystem::create_directory(root_);
}

Mounted::~Mounted() {
  if (daemon_ > 0) (void)end();
}

void Mounted::serve(const std::function<void(Options&)>& adapt, int ready) {
  // Whatever becomes of the test.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t all;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  Options options;
  options.source = source_;
  options.mountpoint = root_;
  options.memory_bytes = std::size_t{32} << 20;
  options.log = &log_to_stderr;
  if (adapt) adapt(options);
  auto server = Server::start(options);
  const std::string said = server.ok() ? std::string("+") : "-" + server.error().message();
  (void)!::write(ready, said.data(), said.size());
  ::close(ready);
  if (!server.ok()) ::_exit(1);
  auto stopper = sync::Thread::start("test-signals", [&server] {
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    int number = 0;
    ::sigwait(&wanted, &number);
    (*server)->stop();
  });
  if (!stopper.ok()) ::_exit(1);
  const Ended ended = (*server)->run();
  for (const std::string& line : ended.lost) log_to_stderr(LogLevel::kError, "lost " + line);
  // The thread may wait still, where nobody asked for the end.
  ::kill(::getpid(), SIGTERM);
  stopper->join();
  server->reset();
  ::_exit(ended.lost.empty() ? 0 : 3);
}

std::string Mounted::begin(const std::function<void(Options&)>& adapt) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return std::strerror(errno);
  daemon_ = ::fork();
  if (daemon_ < 0) return std::strerror(errno);
  if (daemon_ == 0) {
    ::close(ends[0]);
    serve(adapt, ends[1]);
  }
  ::close(ends[1]);
  std::string said;
  std::array<char, 1024> buffer{};
  for (ssize_t got = 0; (got = ::read(ends[0], buffer.data(), buffer.size())) > 0;) {
    said.append(buffer.data(), static_cast<std::size_t>(got));
  }
  ::close(ends[0]);
  if (said != "+") {
    (void)wait();
    return said.empty() ? "the daemon ended before it mounted" : said.substr(1);
  }
  if (const auto table = mounts(); table.ok()) {
    for (const MountLine& line : *table) {
      if (line.mountpoint == root_) device_ = line.device;
    }
  }
  have_control(device_);
  watch();
  return {};
}

void Mounted::watch() {
  {
    sync::MutexLock lock(mutex_);
    over_ = aborted_ = false;
  }
  auto thread = sync::Thread::start("test-watch", [this] {
    const auto deadline = sync::deadline_after(kTestMax);
    sync::MutexLock lock(mutex_);
    while (!over_) {
      if (changed_.wait_until(mutex_, deadline)) continue;
      aborted_ = true;
      lock.unlock();
      abort();
      lock.lock();
      return;
    }
  });
  if (thread.ok()) watcher_ = std::move(*thread);
}

void Mounted::unwatch() {
  {
    sync::MutexLock lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  if (watcher_.joinable()) watcher_.join();
}

void Mounted::abort() {
  ADD_FAILURE() << "the mount did not end in " << kTestMax.count() << " s; aborted";
  std::ofstream(control_of(device_) + "/abort") << "1";
  signal(SIGKILL);
  ::umount2(root_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
}

int Mounted::end() {
  if (const int failed = unmount(); failed != 0) {
    ADD_FAILURE() << "unmounting " << root_ << ": " << std::strerror(failed);
    signal(SIGTERM);
  }
  return wait();
}

void Mounted::signal(int number) {
  // Nobody, where there is no daemon: -1 would mean every process there is.
  if (daemon_ > 0) ::kill(daemon_, number);
}

int Mounted::wait() {
  int status = 0;
  while (::waitpid(daemon_, &status, 0) < 0 && errno == EINTR) {
  }
  daemon_ = -1;
  unwatch();
  // After a SIGKILL the mount point is there still, without a daemon.
  ::umount2(root_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// The flags lie in memory that the daemon, a child, shares; the events are inherited by it.
struct Held::Shared {
  struct Flags {
    std::atomic<bool> armed;
    std::atomic<bool> taken;
  };

  Shared()
      : flags(new (::mmap(nullptr, sizeof(Flags), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Flags{}),
        there(::eventfd(0, EFD_CLOEXEC)),
        free(::eventfd(0, EFD_CLOEXEC)) {}
  ~Shared() { ::munmap(flags, sizeof(Flags)); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  Flags* const flags;
  const store::Fd there;
  const store::Fd free;
};

Held::Held(Which which) : which_(std::move(which)), shared_(std::make_shared<Shared>()) {}

std::function<void(std::span<const std::byte>)> Held::on_request() {
  return [which = which_, shared = shared_](std::span<const std::byte> request) {
    Shared::Flags& flags = *shared->flags;
    if (!flags.armed.load() || !which(request) || flags.taken.exchange(true)) return;
    ::eventfd_write(shared->there.get(), 1);
    eventfd_t count = 0;
    (void)::eventfd_read(shared->free.get(), &count);
  };
}

void Held::arm() {
  shared_->flags->armed.store(true);
}

bool Held::is_there() {
  pollfd there = {.fd = shared_->there.get(), .events = POLLIN, .revents = 0};
  return ::poll(&there, 1, 60'000) == 1;
}

void Held::let_go() {
  ::eventfd_write(shared_->free.get(), 1);
}

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
  file.close();
  EXPECT_TRUE(file.good()) << path;
}

bool eventually(const std::function<bool()>& what) {
  const auto end = sync::Clock::now() + std::chrono::minutes(1);
  while (!what()) {
    if (sync::Clock::now() > end) return false;
    sync::yield_thread();
  }
  return true;
}

}  // namespace quire::mount::testing
