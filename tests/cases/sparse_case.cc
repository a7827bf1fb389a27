// Holes take no space on the host, neither when they are made nor when they are read and synced.
#include <sys/stat.h>

#include <vector>

#include "cases/support.h"

namespace quire::cases {
namespace {

class Sparse : public CaseTest {};

// What a file system may keep of its own for a large file.
constexpr std::uint64_t kSlackBytes = 64 << 10;

// Fails when growth is written as zeros, or pages that were only read are written back.
TEST_F(Sparse, GrowthTakesNoSpace) {
  constexpr std::uint64_t kSize = std::uint64_t{1} << 40;
  make();
  File file = open("f");
  ASSERT_TRUE(file.truncate(kSize).ok());
  ASSERT_TRUE(file.sync().ok());
  EXPECT_EQ(file.stat()->size_bytes, kSize);
  EXPECT_LE(file.stat()->allocated_bytes, kSlackBytes);
  EXPECT_EQ(read(file, kSize - 10, 10), std::vector<std::byte>(10));
  EXPECT_EQ(read(file, kSize / 2, 100 * kPage), std::vector<std::byte>(100 * kPage));
  ASSERT_TRUE(file.sync().ok());
  struct stat host = {};
  ASSERT_EQ(::stat((directory_ / "f").c_str(), &host), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(host.st_size), kSize);
  EXPECT_LE(static_cast<std::uint64_t>(host.st_blocks) * 512, kSlackBytes);

  // One byte far out takes one page.
  ASSERT_TRUE(file.write(bytes_of("x"), kSize / 2).ok());
  ASSERT_TRUE(file.sync().ok());
  EXPECT_GE(file.stat()->allocated_bytes, kPage);
  EXPECT_LE(file.stat()->allocated_bytes, kPage + kSlackBytes);
}

}  // namespace
}  // namespace quire::cases
