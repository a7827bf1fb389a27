#include "tool/mount_table.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire::tool {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kTable =
    "22 1 8:1 / / rw,relatime shared:1 master:2 - ext4 /dev/sda1 rw\n"
    "40 22 0:39 / /mnt/a\\040b rw,nosuid - fuse.quire /srv/x\\134y rw,user_id=1000,group_id=100\n"
    "41 22 0:40 / /mnt/a rw - tmpfs none rw\n"
    "42 41 0:41 / /mnt/a/c rw - tmpfs none rw\n"
    "43 41 0:42 / /mnt/a/c rw - proc none rw\n"
    "not a line\n"
    "44 22 0:43 / /mnt rw -\n";

TEST(MountTableTest, ReadsTheKernelsLines) {
  const auto mounts = parse_mounts(kTable);
  ASSERT_EQ(mounts.size(), 5u);
  EXPECT_EQ(mounts[0].type, "ext4");
  EXPECT_EQ(mounts[0].mountpoint, "/");
  EXPECT_EQ(mounts[0].owner_uid, std::nullopt);
  EXPECT_EQ(mounts[1].id, 40u);
  EXPECT_EQ(mounts[1].minor, 39u);
  EXPECT_EQ(mounts[1].mountpoint, "/mnt/a b");
  EXPECT_EQ(mounts[1].type, kMountType);
  EXPECT_EQ(mounts[1].source, "/srv/x\\y");
  EXPECT_EQ(mounts[1].owner_uid, uid_t{1000});
  EXPECT_EQ(mounts[1].owner_gid, gid_t{100});
}

TEST(MountTableTest, BelowIsBelowAndNotBesideOrItself) {
  const auto mounts = parse_mounts(kTable);
  EXPECT_THAT(mounts_below(mounts, "/mnt/a"), ElementsAre("/mnt/a/c"));
  EXPECT_THAT(mounts_below(mounts, "/"), ElementsAre("/mnt/a", "/mnt/a b", "/mnt/a/c"));
  EXPECT_THAT(mounts_below(mounts, "/mnt/a/c"), IsEmpty());
}

TEST(MountTableTest, WhatIsNoMountOfQuiresIsSaid) {
  EXPECT_THAT(find_quire_mount("/proc").error().context,
              HasSubstr("/proc is a mount of type proc"));
  EXPECT_THAT(find_quire_mount("/proc/self/").error().context, HasSubstr("nothing is mounted on"));
  EXPECT_EQ(find_quire_mount("/nowhere/at/all").error().code, std::errc::no_such_file_or_directory);
  EXPECT_FALSE(find_quire_mount("").ok());
}

TEST(MountTableTest, MountPointsAreFoundThroughLinksAndDots) {
  EXPECT_EQ(*resolve_mountpoint("/proc"), "/proc");
  EXPECT_EQ(*resolve_mountpoint("/proc/"), "/proc");
  EXPECT_EQ(*resolve_mountpoint("/proc/../proc"), "/proc");
  EXPECT_EQ(*resolve_mountpoint("/proc/self/.."), "/proc");
  EXPECT_EQ(*resolve_mountpoint("/"), "/");
}

}  // namespace
}  // namespace quire::tool
