#include "tool/detach.h"

#include <cerrno>

#include "gtest/gtest.h"

namespace quire::tool {
namespace {

TEST(DetachTest, WhatFusermountSays) {
  EXPECT_EQ(detach_error("fusermount3: failed to unmount /m: Device or resource busy\n"), EBUSY);
  EXPECT_EQ(detach_error("fusermount3: failed to unmount /m: Operation not permitted\n"), EPERM);
  EXPECT_EQ(detach_error("fusermount3: entry for /m not found in /etc/mtab\n"), EINVAL);
  EXPECT_EQ(detach_error(""), EPERM);
}

}  // namespace
}  // namespace quire::tool
