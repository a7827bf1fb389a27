#include "tool/daemon.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tool/exit_status.h"

namespace quire::tool {
namespace {

using ::testing::HasSubstr;

std::string read_all(int fd) {
  std::string text;
  std::array<char, 256> piece = {};
  ssize_t got = 0;
  while ((got = ::read(fd, piece.data(), piece.size())) > 0) {
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
  return text;
}

struct Started {
  int status = -1;
  std::string output;  // of both streams
};

// What a command that becomes a daemon looks like to its caller, until nobody holds its streams.
Started start(const std::function<int(Daemon&)>& body) {
  std::array<int, 2> output = {};
  EXPECT_EQ(::pipe(output.data()), 0);
  const pid_t command = ::fork();
  if (command == 0) {
    ::close(output[0]);
    ::dup2(output[1], STDOUT_FILENO);
    ::dup2(output[1], STDERR_FILENO);
    ::close(output[1]);
    ::_exit(Daemon::fork_and_run(body));
  }
  ::close(output[1]);
  Started started;
  started.output = read_all(output[0]);
  ::close(output[0]);
  EXPECT_EQ(::waitpid(command, &started.status, 0), command);
  return started;
}

TEST(DaemonTest, TheParentEndsWhenTheChildIsReadyAndTheChildHoldsNoStream) {
  std::array<int, 2> gate = {};
  std::array<int, 2> result = {};
  ASSERT_EQ(::pipe(gate.data()), 0);
  ASSERT_EQ(::pipe(result.data()), 0);
  const Started started = start([&](Daemon& daemon) -> int {
    ::close(gate[1]);
    daemon.note("a note\nof two lines");
    if (!daemon.ready("it is there")) ::_exit(9);
    daemon.note("not heard");
    read_all(gate[0]);
    const std::string place = std::filesystem::current_path().string() +
                              (::getsid(0) == ::getpid() ? " own session" : "");
    static_cast<void>(!::write(result[1], place.data(), place.size()));
    ::_exit(0);
  });
  EXPECT_EQ(started.status, 0);
  EXPECT_EQ(started.output, "quire: a note of two lines\nit is there\n");
  // The daemon still runs: it waits for this.
  ::close(gate[1]);
  ::close(result[1]);
  EXPECT_EQ(read_all(result[0]), "/ own session");
  ::close(gate[0]);
  ::close(result[0]);
}

TEST(DaemonTest, WhatTheChildSaysBeforeItFailsIsPassedOn) {
  const Started started = start([](Daemon& daemon) -> int {
    daemon.note("no such directory");
    ::_exit(1);
  });
  EXPECT_EQ(WEXITSTATUS(started.status), kFailure);
  EXPECT_EQ(started.output, "quire: no such directory\n");
}

TEST(DaemonTest, AChildThatDiesIsAFailureThatSaysSo) {
  const Started silent = start([](Daemon&) -> int { ::_exit(0); });
  EXPECT_EQ(WEXITSTATUS(silent.status), kFailure);
  EXPECT_THAT(silent.output, HasSubstr("ended before it had mounted"));
  const Started killed = start([](Daemon&) { return ::raise(SIGKILL); });
  EXPECT_EQ(WEXITSTATUS(killed.status), kFailure);
  EXPECT_THAT(killed.output, HasSubstr("killed by signal 9"));
}

TEST(DaemonTest, AChildWhoseParentIsGoneIsTold) {
  std::array<int, 2> gone = {};
  std::array<int, 2> result = {};
  ASSERT_EQ(::pipe(gone.data()), 0);
  ASSERT_EQ(::pipe(result.data()), 0);
  ::fflush(nullptr);
  const pid_t command = ::fork();
  if (command == 0) {
    ::_exit(Daemon::fork_and_run([&](Daemon& daemon) -> int {
      ::signal(SIGPIPE, SIG_IGN);
      ::close(gone[1]);
      ::kill(::getppid(), SIGKILL);
      read_all(gone[0]);
      const char told = daemon.ready("") ? 'y' : 'n';
      static_cast<void>(!::write(result[1], &told, 1));
      ::_exit(0);
    }));
  }
  // Only once its threads have all ended, its descriptors closed, can it be waited for.
  int status = 0;
  EXPECT_EQ(::waitpid(command, &status, 0), command);
  EXPECT_TRUE(WIFSIGNALED(status));
  ::close(gone[1]);
  ::close(result[1]);
  EXPECT_EQ(read_all(result[0]), "n");
  ::close(gone[0]);
  ::close(result[0]);
}

}  // namespace
}  // namespace quire::tool
