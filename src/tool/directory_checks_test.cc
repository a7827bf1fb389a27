#include "tool/directory_checks.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/fd.h"
#include "store/host_directory.h"
#include "store/test_directory.h"

namespace quire::tool {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Answer = Check::Answer;

const Check& named(const std::vector<Check>& checks, const std::string& part) {
  const auto found = std::ranges::find_if(
      checks, [&](const Check& check) { return check.name.find(part) != std::string::npos; });
  EXPECT_NE(found, checks.end()) << part;
  return found == checks.end() ? checks.front() : *found;
}

TEST(DirectoryChecksTest, AgreeWithTheStoreAndLeaveNothingBehind) {
  const store::testing::TestDirectory directory;
  const auto checks = directory_checks(directory.path());
  EXPECT_EQ(named(checks, "can be opened").answer, Answer::kYes);
  EXPECT_THAT(named(checks, "can be opened").found, HasSubstr("file system: "));
  EXPECT_EQ(named(checks, "no other Quire").answer, Answer::kYes);
  EXPECT_EQ(named(checks, "mounted below").answer, Answer::kYes);

  const auto host = store::HostDirectory::open(directory.path());
  ASSERT_TRUE(host.ok());
  const auto agrees = [&](const std::string& name, Cut kind) {
    const bool there = (host->cuts() >> static_cast<unsigned>(kind) & 1) != 0;
    EXPECT_EQ(named(checks, name).answer, there ? Answer::kYes : Answer::kNo) << name;
  };
  agrees("punch range", Cut::kPunch);
  agrees("zero range", Cut::kZero);
  agrees("insert range", Cut::kInsert);
  agrees("collapse range", Cut::kCollapse);
  EXPECT_EQ(named(checks, "reserved").answer, host->reserves_space() ? Answer::kYes : Answer::kNo);
  EXPECT_THAT(named(checks, "reserved").found, ::testing::Not(IsEmpty()));
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(DirectoryChecksTest, ADirectoryThatIsServedIsNoticedAndStaysServed) {
  const store::testing::TestDirectory directory;
  const auto host = store::HostDirectory::open(directory.path());
  ASSERT_TRUE(host.ok());
  const Check served = named(directory_checks(directory.path()), "no other Quire");
  EXPECT_EQ(served.answer, Answer::kNo);
  EXPECT_TRUE(served.needed);
  EXPECT_FALSE(store::HostDirectory::open(directory.path()).ok());
}

TEST(DirectoryChecksTest, LookingDoesNotLock) {
  const store::testing::TestDirectory directory;
  directory_checks(directory.path());
  EXPECT_TRUE(store::HostDirectory::open(directory.path()).ok());
}

TEST(DirectoryChecksTest, WhatIsMountedBelowIsNamed) {
  const Check below = named(directory_checks("/"), "mounted below");
  EXPECT_EQ(below.answer, Answer::kNo);
  EXPECT_THAT(below.found, HasSubstr("/"));
}

// /proc makes no files, not even for root.
TEST(DirectoryChecksTest, WhereNoFileCanBeMadeThatIsSaid) {
  const auto checks = directory_checks("/proc");
  EXPECT_EQ(named(checks, "direct IO").answer, Answer::kUnknown);
  EXPECT_THAT(named(checks, "direct IO").found, HasSubstr("no file can be made here"));
}

TEST(DirectoryChecksTest, ADirectoryThatIsNotThere) {
  const auto checks = directory_checks("/nowhere/at/all");
  ASSERT_EQ(checks.size(), 1u);
  EXPECT_EQ(checks.front().answer, Answer::kNo);
  EXPECT_TRUE(checks.front().needed);
  EXPECT_THAT(checks.front().instead, ::testing::Not(IsEmpty()));
}

}  // namespace
}  // namespace quire::tool
