#include "tool/userfault_checks.h"

#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "map/test_faults.h"

namespace quire::tool {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Answer = Check::Answer;
using map::Feature;

const Check* find(const std::vector<Check>& checks, const std::string& part) {
  for (const Check& check : checks) {
    if (check.name.find(part) != std::string::npos) return &check;
  }
  return nullptr;
}

TEST(UserfaultChecksTest, EachFeatureThatIsLackingIsANoThatSaysWhatToDo) {
  const auto all = userfault_checks();
  for (const auto& [feature, name] :
       {std::pair{Feature::kKernelFaults, "system calls"},
        std::pair{Feature::kResolveProtected, "6.4"}, std::pair{Feature::kPoison, "6.6"},
        std::pair{Feature::kAsyncStores, "6.7"}}) {
    const auto checks = userfault_checks({feature});
    ASSERT_EQ(checks.size(), all.size());
    for (std::size_t i = 0; i < checks.size(); ++i) {
      if (&checks[i] != find(checks, name)) {
        EXPECT_EQ(checks[i].answer, all[i].answer) << checks[i].name;
        continue;
      }
      EXPECT_EQ(checks[i].answer, Answer::kNo) << name;
      EXPECT_THAT(checks[i].instead, Not(IsEmpty()));
      EXPECT_THAT(checks[i].allow, Not(IsEmpty()));
      EXPECT_FALSE(checks[i].needed);
    }
  }
}

TEST(UserfaultChecksTest, AgreeWithWhatIsOpened) {
  const auto opened = map::Userfault::open({});
  const auto checks = userfault_checks();
  ASSERT_NE(find(checks, "programs map files"), nullptr);
  EXPECT_EQ(find(checks, "programs map files")->answer == Answer::kYes, opened.ok());
  if (!opened.ok()) return;
  EXPECT_EQ(find(checks, "system calls")->answer == Answer::kYes,
            (**opened).has(Feature::kKernelFaults));
  EXPECT_THAT(find(checks, "programs map files")->found,
              HasSubstr(::geteuid() == 0 ? "as root" : "as this user"));
}

TEST(UserfaultChecksTest, UserModeOnlyIsEnoughAndSaid) {
  if (map::userfault_refused()) GTEST_SKIP() << map::kUserfaultRefused;
  const auto checks = userfault_checks({Feature::kKernelFaults});
  EXPECT_EQ(checks.front().answer, Answer::kYes);
  EXPECT_THAT(checks.front().found, HasSubstr("user mode only"));
  EXPECT_THAT(find(checks, "system calls")->instead, HasSubstr("EFAULT"));
}

TEST(UserfaultChecksTest, WithoutItMappingFails) {
  if (map::userfault_refused()) GTEST_SKIP() << map::kUserfaultRefused;
  const auto refused = userfault_checks({Feature::kUserfault});
  EXPECT_EQ(refused.front().answer, Answer::kNo);
  EXPECT_THAT(refused.front().instead, HasSubstr("File::map() fails"));
  EXPECT_THAT(refused.front().allow, HasSubstr("seccomp"));
  EXPECT_EQ(refused.back().answer, Answer::kUnknown);
  const auto old = userfault_checks({Feature::kMinor});
  EXPECT_EQ(old.front().answer, Answer::kYes);
  EXPECT_EQ(old.back().answer, Answer::kNo);
  EXPECT_THAT(old.back().allow, HasSubstr("Linux 5.19"));
}

}  // namespace
}  // namespace quire::tool
