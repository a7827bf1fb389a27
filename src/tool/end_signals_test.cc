#include "tool/end_signals.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>

#include "gtest/gtest.h"

namespace quire::tool {
namespace {

// In a process of its own, since block() is for good. It exits with 0 once it has got each of
// `signals` in turn, sent by itself.
int exit_status_of_one_that_gets(const std::string& signals) {
  const pid_t child = ::fork();
  if (child == 0) {
    EndSignals::block();
    std::array<int, 2> pipe = {};
    if (::pipe(pipe.data()) != 0) ::_exit(1);
    {
      auto taken = EndSignals::start([&](int number) {
        const char byte = static_cast<char>(number);
        static_cast<void>(!::write(pipe[1], &byte, 1));
      });
      if (!taken) ::_exit(2);
      for (const char signal : signals) {
        ::kill(::getpid(), signal);
        char got = 0;
        if (::read(pipe[0], &got, 1) != 1 || got != signal) ::_exit(3);
      }
    }
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

TEST(EndSignalsTest, EachSignalIsACallAndASecondOneDoesNotKill) {
  EXPECT_EQ(exit_status_of_one_that_gets({SIGINT, SIGINT, SIGTERM, SIGHUP, SIGTERM}), 0);
}

TEST(EndSignalsTest, EndsWithoutASignal) {
  EXPECT_EQ(exit_status_of_one_that_gets(""), 0);
}

TEST(EndSignalsTest, OthersStillKill) {
  EXPECT_EQ(WTERMSIG(exit_status_of_one_that_gets({SIGQUIT})), SIGQUIT);
}

}  // namespace
}  // namespace quire::tool
