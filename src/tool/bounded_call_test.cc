#include "tool/bounded_call.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>

#include "gtest/gtest.h"

namespace quire::tool {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;

TEST(BoundedCallTest, BringsTheAnswerBack) {
  auto call = BoundedCall::start(40'000, [](std::span<std::byte> answer) {
    EXPECT_EQ(answer.size(), 40'000u);
    answer.front() = std::byte{1};
    answer.back() = std::byte{2};
    return 0;
  });
  ASSERT_TRUE(call.ok());
  ASSERT_TRUE(call->wait(minutes(1)));
  EXPECT_EQ(call->error(), 0);
  EXPECT_EQ(call->answer().front(), std::byte{1});
  EXPECT_EQ(call->answer()[1], std::byte{0});
  EXPECT_EQ(call->answer().back(), std::byte{2});
  EXPECT_TRUE(call->wait(milliseconds(0)));
}

TEST(BoundedCallTest, BringsTheErrorBack) {
  auto call = BoundedCall::start(8, [](std::span<std::byte>) { return ENOTCONN; });
  ASSERT_TRUE(call.ok());
  ASSERT_TRUE(call->wait(minutes(1)));
  EXPECT_EQ(call->error(), ENOTCONN);
}

TEST(BoundedCallTest, AChildThatDiesIsAnErrorAndNotAHang) {
  auto call = BoundedCall::start(8, [](std::span<std::byte>) { return ::raise(SIGKILL); });
  ASSERT_TRUE(call.ok());
  ASSERT_TRUE(call->wait(minutes(1)));
  EXPECT_EQ(call->error(), ECANCELED);
}

TEST(BoundedCallTest, ACallThatHangsIsWaitedForAsLongAsSaidAndLeft) {
  std::array<int, 2> alive = {};
  ASSERT_EQ(::pipe(alive.data()), 0);
  {
    auto call = BoundedCall::start(8, [](std::span<std::byte>) { return ::pause(); });
    ASSERT_TRUE(call.ok());
    ::close(alive[1]);
    EXPECT_FALSE(call->wait(milliseconds(1)));
    EXPECT_FALSE(call->wait(milliseconds(0)));
  }
  // The child held the other end; this returns once it is dead.
  char byte = 0;
  EXPECT_EQ(::read(alive[0], &byte, 1), 0);
  ::close(alive[0]);
}

}  // namespace
}  // namespace quire::tool
