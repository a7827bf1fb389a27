// Each in a process of its own, whose limit it is.
#include "sync/resize_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <functional>

namespace quire::sync {
namespace {

constexpr std::uint64_t kMost = 1 << 20;

int with_limit(const std::function<bool(int)>& holds) {
  const rlimit limit = {kMost, kMost};
  if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
  const int fd = ::memfd_create("test", MFD_CLOEXEC);
  if (fd < 0) return 3;
  return holds(fd) ? 0 : 1;
}

// Fails if the signal comes, now or later; or if the limit is taken for any other error.
TEST(ResizeFile, PastTheLimitThereIsAnErrorAndNoSignal) {
  const auto holds = [](int fd) {
    const bool small = !resize_file(fd, kMost);
    const bool large = resize_file(fd, kMost + 1) == std::errc::file_too_large;
    return small && large && !resize_file(fd, 0);
  };
  EXPECT_EXIT(::_exit(with_limit(holds)), testing::ExitedWithCode(0), "");
  const auto ignored = [&](int fd) {
    ::signal(SIGXFSZ, SIG_IGN);
    return holds(fd);
  };
  EXPECT_EXIT(::_exit(with_limit(ignored)), testing::ExitedWithCode(0), "");
}

// Fails if the mask is not put back, or a signal that the program keeps waiting is taken from it.
TEST(ResizeFile, TheProgramsSignalsStayAsTheyWere) {
  const auto holds = [](int fd) {
    sigset_t exceeded;
    sigemptyset(&exceeded);
    sigaddset(&exceeded, SIGXFSZ);
    sigset_t mask;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    bool right = sigismember(&mask, SIGXFSZ) == 0;
    (void)resize_file(fd, 2 * kMost);
    ::pthread_sigmask(SIG_BLOCK, &exceeded, &mask);
    right = right && sigismember(&mask, SIGXFSZ) == 0;

    sigset_t pending;
    (void)resize_file(fd, 2 * kMost);
    ::sigpending(&pending);
    right = right && sigismember(&pending, SIGXFSZ) == 0;
    ::pthread_kill(::pthread_self(), SIGXFSZ);
    (void)resize_file(fd, 2 * kMost);
    ::sigpending(&pending);
    return right && sigismember(&pending, SIGXFSZ) == 1;
  };
  EXPECT_EXIT(::_exit(with_limit(holds)), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace quire::sync
