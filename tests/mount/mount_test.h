// The fixture of the tests over a real mount.
#ifndef QUIRE_TESTS_MOUNT_MOUNT_TEST_H_
#define QUIRE_TESTS_MOUNT_MOUNT_TEST_H_

#include <gtest/gtest.h>

#include <string>

#include "mount/mounted.h"

namespace quire::mount::testing {

class MountTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = Mounted::cannot(); !why.empty()) GTEST_SKIP() << why;
  }
  // Serves the source; the test ends here if that fails.
  void begin(const std::function<void(Options&)>& adapt = {}) {
    ASSERT_EQ(mounted_.begin(adapt), "");
  }

  Mounted mounted_;
};

}  // namespace quire::mount::testing

#endif  // QUIRE_TESTS_MOUNT_MOUNT_TEST_H_
