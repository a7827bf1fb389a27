#include "tool/last_word.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <functional>
#include <iterator>
#include <memory>
#include <string>

#include "gtest/gtest.h"

namespace quire::tool {
namespace {

using mount::control::Ended;
using std::chrono::milliseconds;
using std::chrono::minutes;
using Outcome = LastWord::Outcome;

int connect_to(const std::string& name) {
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  struct sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::ranges::copy(name, std::begin(address.sun_path) + 1);
  const auto length =
      static_cast<socklen_t>(offsetof(struct sockaddr_un, sun_path) + 1 + name.size());
  const void* const any = &address;
  EXPECT_EQ(::connect(fd, static_cast<const struct sockaddr*>(any), length), 0);
  return fd;
}

void say_ended(const std::string& name, std::uint32_t version, std::uint32_t lost) {
  const int fd = connect_to(name);
  const auto ended = std::make_unique<Ended>();
  ended->version = version;
  ended->lost = lost;
  EXPECT_EQ(::send(fd, ended.get(), sizeof(Ended), MSG_NOSIGNAL), ssize_t{sizeof(Ended)});
  ::close(fd);
}

// A process that does `body` once released, and ends.
class Daemon {
 public:
  explicit Daemon(const std::function<void()>& body) {
    EXPECT_EQ(::pipe(gate_.data()), 0);
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::close(gate_[1]);
    char byte = 0;
    static_cast<void>(!::read(gate_[0], &byte, 1));
    body();
    ::_exit(0);
  }
  ~Daemon() {
    ::close(gate_[0]);
    ::waitpid(pid_, nullptr, 0);
  }
  void release() { ::close(gate_[1]); }
  pid_t pid() const { return pid_; }

 private:
  std::array<int, 2> gate_ = {};
  pid_t pid_ = -1;
};

class LastWordTest : public ::testing::Test {
 protected:
  LastWord word_ = std::move(LastWord::listen()).value();
  std::unique_ptr<Ended> ended_ = std::make_unique<Ended>();
};

TEST_F(LastWordTest, TheDaemonsWordIsHeardAlsoIfItEndsAtOnce) {
  Daemon daemon([&] { say_ended(word_.name(), mount::control::kVersion, 7); });
  word_.watch(daemon.pid());
  EXPECT_EQ(word_.wait(milliseconds(0), *ended_), Outcome::kWaiting);
  daemon.release();
  EXPECT_EQ(word_.wait(minutes(1), *ended_), Outcome::kTold);
  EXPECT_EQ(ended_->lost, 7u);
}

TEST_F(LastWordTest, ADaemonThatEndsWithoutAWordIsNoticed) {
  Daemon daemon([] {});
  word_.watch(daemon.pid());
  daemon.release();
  EXPECT_EQ(word_.wait(minutes(1), *ended_), Outcome::kGone);
}

TEST_F(LastWordTest, TheEndOfTheDaemonIsWaitedFor) {
  Daemon daemon([] {});
  word_.watch(daemon.pid());
  EXPECT_FALSE(word_.wait_gone(milliseconds(0)));
  daemon.release();
  EXPECT_TRUE(word_.wait_gone(minutes(1)));
}

TEST_F(LastWordTest, AWordCutOffOrOfAnotherVersionIsNone) {
  Daemon daemon([&] {
    ::close(connect_to(word_.name()));
    say_ended(word_.name(), mount::control::kVersion + 1, 7);
  });
  word_.watch(daemon.pid());
  daemon.release();
  EXPECT_EQ(word_.wait(minutes(1), *ended_), Outcome::kGone);
}

// Without the check of the peer the first word would be believed.
TEST_F(LastWordTest, OtherProcessesAreNotBelieved) {
  Daemon daemon([&] { say_ended(word_.name(), mount::control::kVersion, 7); });
  word_.watch(daemon.pid());
  say_ended(word_.name(), mount::control::kVersion, 0);
  EXPECT_EQ(word_.wait(milliseconds(0), *ended_), Outcome::kWaiting);
  daemon.release();
  EXPECT_EQ(word_.wait(minutes(1), *ended_), Outcome::kTold);
  EXPECT_EQ(ended_->lost, 7u);
}

}  // namespace
}  // namespace quire::tool
