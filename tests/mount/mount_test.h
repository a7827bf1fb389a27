// The fixture of the tests over a real mount.
#ifndef QUIRE_TESTS_MOUNT_MOUNT_TEST_H_
#define QUIRE_TESTS_MOUNT_MOUNT_TEST_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>

#include <memory>
#include <string>

#include "mount/control.h"
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
  // What the daemon answers to one of control.h's requests, by way of `name`, or null with errno set.
  template <class T>
  std::unique_ptr<T> ask(unsigned long command, const std::string& name = ".",
                         std::uint32_t version = control::kVersion) {
    const store::Fd fd(::open(mounted_.at(name).c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_TRUE(fd.ok());
    auto asked = std::make_unique<T>();
    asked->version = version;
    return ::ioctl(fd.get(), command, asked.get()) == 0 ? std::move(asked) : nullptr;
  }

  Mounted mounted_;
};

}  // namespace quire::mount::testing

#endif  // QUIRE_TESTS_MOUNT_MOUNT_TEST_H_
