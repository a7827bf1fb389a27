#include "tool/machine_checks.h"

#include <optional>
#include <set>
#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace quire::tool {
namespace {

TEST(MachineChecksTest, KernelReleases) {
  EXPECT_EQ(kernel_release("6.1.0-18-amd64"), std::pair(6u, 1u));
  EXPECT_EQ(kernel_release("6.18.44"), std::pair(6u, 18u));
  EXPECT_EQ(kernel_release("7.0-rc1"), std::pair(7u, 0u));
  EXPECT_EQ(kernel_release("x.1"), std::nullopt);
  EXPECT_EQ(kernel_release("6"), std::nullopt);
  EXPECT_EQ(kernel_release("6."), std::nullopt);
  EXPECT_LT(*kernel_release("5.19.0"), *kernel_release("6.6"));
}

TEST(MachineChecksTest, FuseConf) {
  EXPECT_TRUE(fuse_conf_has("# x\n  user_allow_other \nmount_max = 3", "user_allow_other"));
  EXPECT_TRUE(fuse_conf_has("user_allow_other", "user_allow_other"));
  EXPECT_FALSE(fuse_conf_has("#user_allow_other\n", "user_allow_other"));
  EXPECT_FALSE(fuse_conf_has("user_allow_others\n", "user_allow_other"));
  EXPECT_FALSE(fuse_conf_has("", "user_allow_other"));
}

TEST(MachineChecksTest, HaltPoll) {
  EXPECT_TRUE(polls_before_halt("200000\n"));
  EXPECT_FALSE(polls_before_halt("0\n"));
}

TEST(MachineChecksTest, EveryNoSaysWhatHappensInsteadAndHowToAllowIt) {
  std::set<std::string> names;
  for (const Check& check : machine_checks()) {
    EXPECT_TRUE(names.insert(check.name).second) << check.name;
    EXPECT_EQ(check.answer == Check::Answer::kNo, !check.instead.empty()) << check.name;
    EXPECT_EQ(check.answer == Check::Answer::kNo, !check.allow.empty()) << check.name;
  }
  EXPECT_GE(names.size(), 10u);
}

}  // namespace
}  // namespace quire::tool
