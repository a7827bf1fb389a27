#include "mount/answer.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <future>

#include "quire/error.h"

namespace quire::mount {
namespace {

TEST(ErrnoOf, TheSystemsErrorsAreThemselves) {
  EXPECT_EQ(errno_of(std::error_code(ESTALE, std::generic_category())), ESTALE);
  EXPECT_EQ(errno_of(std::error_code(ENOSPC, std::system_category())), ENOSPC);
  EXPECT_EQ(errno_of(std::make_error_code(std::errc::io_error)), EIO);
}

// A program waits again for EAGAIN and gives up for EIO: what it gets must be what happened.
TEST(ErrnoOf, QuiresOwnErrorsSayWhatHappened) {
  EXPECT_EQ(errno_of(Errc::kInterrupted), EINTR);
  EXPECT_EQ(errno_of(Errc::kTimedOut), ETIMEDOUT);
  EXPECT_EQ(errno_of(Errc::kPathEscapes), EXDEV);
  EXPECT_EQ(errno_of(Errc::kBusy), EAGAIN);
  EXPECT_EQ(errno_of(Errc::kInUse), EBUSY);
  EXPECT_EQ(errno_of(Errc::kOpenFiles), EBUSY);
  EXPECT_EQ(errno_of(Errc::kForked), EIO);
  EXPECT_EQ(errno_of(Errc::kClosed), EIO);
}

// Never 0, which would be success.
TEST(ErrnoOf, WhatHasNoNumberIsAnIoError) {
  EXPECT_EQ(errno_of(std::make_error_code(std::future_errc::broken_promise)), EIO);
}

}  // namespace
}  // namespace quire::mount
