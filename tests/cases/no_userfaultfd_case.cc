// Where the kernel refuses userfaultfd(2): File::map() says how to allow it, and everything else works. Run by
// tests/no_userfaultfd/without_userfaultfd.cc, so that it is the kernel that refuses.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "cases/support.h"
#include "map/test_faults.h"
#include "quire/mapping.h"

namespace quire::cases {
namespace {

constexpr std::size_t kPage = limits::kPageBytes;

class NoUserfaultfd : public CaseTest {
 protected:
  void SetUp() override {
    ASSERT_TRUE(map::userfault_refused()) << "to be run by without_userfaultfd";
    make();
  }
};

// Fails if the error is another, or names no remedy.
TEST_F(NoUserfaultfd, MappingSaysHowToAllowIt) {
  File file = open("f");
  ASSERT_TRUE(file.truncate(kPage).ok());
  for (int i = 0; i < 2; ++i) {
    const Result<Mapping> refused = file.map(0, kPage);
    ASSERT_EQ(refused.code(), std::errc::operation_not_permitted);
    const std::string message = refused.error().message();
    EXPECT_TRUE(message.starts_with("mapping ")) << message;
    EXPECT_NE(message.find("userfaultfd is refused"), std::string::npos) << message;
    EXPECT_NE(message.find("permit userfaultfd in the seccomp profile"), std::string::npos)
        << message;
  }
  // Nothing of the attempt is left: with the file open once too often the cache would not close.
  EXPECT_TRUE(file.close().ok());
  EXPECT_TRUE(cache_->close().ok());
  cache_.reset();
}

// Fails if a mapping that could not be made leaves the file in another state than it was in.
TEST_F(NoUserfaultfd, EverythingElseWorks) {
  File file = open("f");
  alignas(kPage) std::array<std::byte, 4 * kPage> memory;
  memory.fill(std::byte{'a'});
  const std::vector<std::byte> bytes(memory.begin(), memory.end());
  const auto put = [&](std::uint64_t offset, const CallOptions& call) {
    const Result<std::size_t> wrote = file.write(memory, offset, call);
    return wrote.ok() && *wrote == bytes.size();
  };
  ASSERT_TRUE(put(0, {}));
  ASSERT_FALSE(file.map(0, bytes.size()).ok());
  EXPECT_EQ(read(file, 0, bytes.size()), bytes);
  EXPECT_TRUE(put(bytes.size(), {.path = IoPath::kDirect}));
  EXPECT_EQ(read(file, bytes.size(), bytes.size()), bytes);
  EXPECT_TRUE(file.sync().ok());
  EXPECT_TRUE(file.truncate(kPage + 1).ok());
  EXPECT_EQ(read(file, kPage, kPage), std::vector<std::byte>(1, std::byte{'a'}));
  EXPECT_TRUE(file.close().ok());
}

}  // namespace
}  // namespace quire::cases
