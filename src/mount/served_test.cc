#include "mount/served.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>

#include "quire/error.h"
#include "store/test_directory.h"

namespace quire::mount {
namespace {

namespace fs = std::filesystem;

TEST(ParseMounts, TakesTheFieldsAndUndoesEscapes) {
  const auto lines = parse_mounts(
      "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
      "40 22 0:52 / /mnt/with\\040space rw,nosuid - fuse.quire /srv/a\\134b rw\n"
      "not a mount\n");
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].mountpoint, "/");
  EXPECT_EQ(lines[0].type, "ext4");
  EXPECT_EQ(lines[1].device, "0:52");
  EXPECT_EQ(lines[1].mountpoint, "/mnt/with space");
  EXPECT_EQ(lines[1].source, "/srv/a\\b");
}

class ServedTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"a/b/c", "elsewhere", "mnt"}) fs::create_directories(at(name));
  }
  std::string at(const std::string& name) const { return directory_.path() + "/" + name; }
  std::vector<MountLine> serving(const std::string& source) const {
    return {{"0:9999", at("mnt"), "fuse.quire", source}};
  }

  store::testing::TestDirectory directory_;
};

TEST_F(ServedTest, LiesInGoesUpThroughSymbolicLinks) {
  fs::create_directory_symlink(at("a/b"), at("elsewhere/link"));
  EXPECT_TRUE(lies_in(at("a/b/c"), at("a")));
  EXPECT_TRUE(lies_in(at("a"), at("a")));
  EXPECT_TRUE(lies_in(at("elsewhere/link/c"), at("a")));
  EXPECT_FALSE(lies_in(at("a"), at("a/b")));
  EXPECT_FALSE(lies_in(at("elsewhere"), at("a")));
  EXPECT_FALSE(lies_in(at("gone"), at("a")));
}

TEST_F(ServedTest, RefusesAMountPointInsideTheSource) {
  EXPECT_EQ(check_served(at("a"), at("a/b"), {}).code(), std::errc::invalid_argument);
  EXPECT_EQ(check_served(at("a"), at("a"), {}).code(), std::errc::invalid_argument);
  EXPECT_TRUE(check_served(at("a"), at("elsewhere"), {}).ok());
}

TEST_F(ServedTest, RefusesWhatIsServedOrLiesInItOrContainsIt) {
  for (const char* source : {"a", "a/b", "a/b/c"}) {
    const Status checked = check_served(at(source), at("elsewhere"), serving(at("a/b")));
    EXPECT_EQ(checked.code(), Errc::kInUse) << source;
    EXPECT_NE(checked.error().message().find(at("mnt")), std::string::npos)
        << checked.error().message();
  }
  EXPECT_TRUE(check_served(at("elsewhere"), at("mnt"), {}).ok());
  EXPECT_TRUE(check_served(at("elsewhere"), at("a"), serving(at("a/b"))).ok());
}

TEST_F(ServedTest, OtherFileSystemsDoNotCount) {
  auto table = serving(at("a"));
  table[0].type = "fuse.other";
  EXPECT_TRUE(check_served(at("a"), at("elsewhere"), table).ok());
}

TEST_F(ServedTest, RefusesAMountPointInUse) {
  EXPECT_EQ(check_served(at("elsewhere"), at("mnt"), serving(at("a"))).code(), Errc::kInUse);
  // Its own, when it looks again after it mounted.
  EXPECT_TRUE(check_served(at("a"), at("mnt"), serving(at("a")), at("mnt")).ok());
}

TEST_F(ServedTest, RefusesASourceOnAnotherQuiresMount) {
  struct stat s = {};
  ASSERT_EQ(::stat(at("a").c_str(), &s), 0);
  std::vector<MountLine> table = serving("/nowhere");
  table[0].device = std::to_string(major(s.st_dev)) + ":" + std::to_string(minor(s.st_dev));
  EXPECT_EQ(check_served(at("a"), at("elsewhere"), table).code(), Errc::kInUse);
}

TEST_F(ServedTest, NamesWhatIsMountedBelow) {
  const std::vector<MountLine> table = {{"0:1", at("a/b/c"), "tmpfs", "tmpfs"},
                                        {"0:2", at("elsewhere"), "tmpfs", "tmpfs"},
                                        {"0:3", at("a"), "tmpfs", "tmpfs"}};
  EXPECT_EQ(submounts(at("a"), table), std::vector<std::string>{at("a/b/c")});
}

}  // namespace
}  // namespace quire::mount
