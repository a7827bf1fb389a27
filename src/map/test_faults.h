// What tests of map/ share: a memfd, accesses that report their signal, in this thread or in one that waits for its
// fault, and the wait for a fault.
#ifndef QUIRE_MAP_TEST_FAULTS_H_
#define QUIRE_MAP_TEST_FAULTS_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "map/userfault.h"
#include "quire/limits.h"
#include "sync/atomic.h"
#include "sync/test_threads.h"
#include "sync/thread.h"

namespace quire::map {

inline constexpr std::size_t kPage = limits::kPageBytes;

// This machine refuses userfaultfd(2), even for faults of user mode only. Asked of the kernel itself: that the library
// gets none is for the tests to find.
inline bool userfault_refused() {
  const long fd = ::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
  if (fd >= 0) ::close(static_cast<int>(fd));
  return fd < 0 && (errno == EPERM || errno == EACCES || errno == ENOSYS);
}
// It has these bits of uffdio_api::features. Asked likewise.
inline bool kernel_offers(std::uint64_t features) {
  const int fd =
      static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY));
  if (fd < 0) return false;
  uffdio_api api{.api = UFFD_API, .features = 0, .ioctls = 0};
  const bool answered = ::ioctl(fd, UFFDIO_API, &api) == 0;
  ::close(fd);
  return answered && (api.features & features) == features;
}
inline constexpr const char* kUserfaultRefused = "userfaultfd(2) is refused here";

// A memfd, and the engine's own sight of it.
class TestMemory {
 public:
  explicit TestMemory(std::size_t pages) : fd_(::memfd_create("map_test", MFD_CLOEXEC)) {
    resize(pages);
  }
  ~TestMemory() { ::close(fd_); }
  TestMemory(const TestMemory&) = delete;
  TestMemory& operator=(const TestMemory&) = delete;

  int fd() const { return fd_; }
  void resize(std::size_t pages) {
    EXPECT_EQ(::ftruncate(fd_, static_cast<off_t>(pages * kPage)), 0);
  }
  // The page is there from now on, and this is its first byte.
  void put(std::size_t page, char value) {
    EXPECT_EQ(::pwrite(fd_, &value, 1, static_cast<off_t>(page * kPage)), 1);
  }
  void put_all(std::size_t first, std::size_t count) {
    for (std::size_t page = first; page < first + count; ++page) put(page, static_cast<char>(page));
  }
  char at(std::size_t page) const {
    char value = 0;
    EXPECT_EQ(::pread(fd_, &value, 1, static_cast<off_t>(page * kPage)), 1);
    return value;
  }
  // How many pages are there.
  std::size_t present() const {
    struct stat stat = {};
    EXPECT_EQ(::fstat(fd_, &stat), 0);
    return static_cast<std::size_t>(stat.st_blocks) * 512 / kPage;
  }

 private:
  const int fd_;
};

// What an access gave: a value, or a signal.
struct Outcome {
  char value = 0;
  int signal = 0;

  friend bool operator==(const Outcome&, const Outcome&) = default;
};
inline std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
  if (outcome.signal != 0) return out << "signal " << outcome.signal;
  return out << "value " << static_cast<int>(outcome.value);
}
inline constexpr Outcome value(int what) {
  return {static_cast<char>(what), 0};
}
inline constexpr Outcome kBus{0, SIGBUS};
inline constexpr Outcome kSegv{0, SIGSEGV};

// Where this thread's access goes on after a signal.
inline thread_local sigjmp_buf* after_signal = nullptr;

// Asked first about each SIGBUS: true if the access is to be repeated. For tests of whoever answers in this thread.
inline bool (*bus_is_answered)(const siginfo_t* info, void* ucontext) = nullptr;

// Makes an access of this thread. `stored`: a store of it, else a load.
inline Outcome access(std::byte* at, std::optional<char> stored) {
  struct sigaction action = {};
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = [](int signal, siginfo_t* info, void* ucontext) {
    if (signal == SIGBUS && bus_is_answered != nullptr && bus_is_answered(info, ucontext)) return;
    siglongjmp(*after_signal, signal);
  };
  struct sigaction bus = {};
  struct sigaction segv = {};
  ::sigaction(SIGBUS, &action, &bus);
  ::sigaction(SIGSEGV, &action, &segv);
  sigjmp_buf here;
  after_signal = &here;
  volatile char* const memory = reinterpret_cast<volatile char*>(at);
  volatile Outcome outcome{};
  const int signal = sigsetjmp(here, 1);
  if (signal == 0) {
    if (stored) {
      *memory = *stored;
      outcome.value = *stored;
    } else {
      outcome.value = *memory;
    }
  } else {
    outcome.signal = signal;
  }
  after_signal = nullptr;
  return {outcome.value, outcome.signal};
}
inline Outcome load(std::byte* at) {
  return access(at, std::nullopt);
}
inline Outcome store(std::byte* at, int what) {
  return access(at, static_cast<char>(what));
}

// A thread that makes one access.
class Accessor {
 public:
  static std::unique_ptr<Accessor> loads(std::byte* at) { return start(at, std::nullopt); }
  static std::unique_ptr<Accessor> stores(std::byte* at, int what) {
    return start(at, static_cast<char>(what));
  }
  ~Accessor() {
    if (thread_.joinable()) thread_.join();
  }

  bool done() const { return done_.load(); }
  pid_t thread() const { return id_.load(); }
  // What it gave, once it has.
  Outcome outcome() {
    thread_.join();
    return outcome_;
  }

 private:
  static std::unique_ptr<Accessor> start(std::byte* at, std::optional<char> stored) {
    std::unique_ptr<Accessor> accessor(new Accessor);
    Accessor* const self = accessor.get();
    self->thread_ = sync::start_thread("accessor", [=] {
      // The library's threads have all signals blocked.
      sigset_t signals;
      sigemptyset(&signals);
      sigaddset(&signals, SIGBUS);
      sigaddset(&signals, SIGSEGV);
      ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
      self->id_ = ::gettid();
      self->outcome_ = access(at, stored);
      self->done_ = true;
    });
    return accessor;
  }

  sync::Atomic<bool> done_{false};
  sync::Atomic<pid_t> id_{0};
  Outcome outcome_;
  sync::Thread thread_;
};

// The next fault, once there is one.
inline Fault wait_for_fault(Userfault& userfault) {
  pollfd fd{.fd = userfault.fd(), .events = POLLIN, .revents = 0};
  std::array<Fault, 1> fault;
  EXPECT_EQ(::poll(&fd, 1, 60'000), 1) << "no fault comes";
  EXPECT_EQ(userfault.next(fault), 1u);
  return fault[0];
}

inline std::unique_ptr<Userfault> open_userfault(const Userfault::Options& options = {}) {
  auto opened = Userfault::open(options);
  EXPECT_TRUE(opened.ok()) << opened.error().message();
  return opened.ok() ? std::move(*opened) : nullptr;
}

}  // namespace quire::map

#endif  // QUIRE_MAP_TEST_FAULTS_H_
