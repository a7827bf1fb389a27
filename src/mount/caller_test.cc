#include "mount/caller.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>

namespace quire::mount {
namespace {

bool write_text(const char* path, const std::string& text) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(fd);
  return written;
}

// Runs `body` in a child that is root in a user namespace with no other user; its result, or -1 if there can be
// no such namespace here. Born into it: unshare(2) refuses a process with more than one thread, and
// ThreadSanitizer starts one of its own in every child of fork(2).
int as_lonely_root(int (*body)()) {
  const uid_t user = ::geteuid();
  const pid_t child = static_cast<pid_t>(
      ::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, 0));
  if (child == 0) {
    if (!write_text("/proc/self/uid_map", "0 " + std::to_string(user) + " 1") || ::geteuid() != 0) {
      ::_exit(255);
    }
    ::_exit(body());
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status) == 255 ? -1 : WEXITSTATUS(status);
}

// Broken by: ActAs without looking whether the thread became the caller.
TEST(ActAsTest, SaysThatTheThreadCannotBecomeTheCaller) {
  const int error = as_lonely_root([] { return ActAs(1000, 1000, 022).error(); });
  if (error == -1) GTEST_SKIP() << "no user namespace can be made here";
  EXPECT_EQ(error, EPERM);
}

TEST(ActAsTest, BecomesTheCaller) {
  EXPECT_EQ(ActAs(::geteuid() == 0 ? 1000 : ::geteuid(), ::getegid(), 022).error(), 0);
}

}  // namespace
}  // namespace quire::mount
