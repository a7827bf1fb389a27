#include "tool/doctor.h"

#include <array>
#include <nlohmann/json.hpp>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire::tool {
namespace {

using ::testing::HasSubstr;

const std::array kChecks = {
    make_check("one", true, "seen", "not shown", "not shown"),
    make_check("two", false, "", "something else", "do this"),
    untried_check("three", "why not"),
};

TEST(DoctorTest, EachCheckIsALineAndEachNoSaysWhatToDo) {
  EXPECT_EQ(doctor_text(kChecks),
            "yes      one: seen\n"
            "no       two\n"
            "         instead: something else\n"
            "         to have it: do this\n"
            "unknown  three: why not\n"
            "A mount would work.\n");
}

TEST(DoctorTest, OnlyWhatIsNeededPreventsAMount) {
  std::array checks = kChecks;
  EXPECT_TRUE(mount_would_work(checks));
  checks[0].needed = true;
  checks[2].needed = true;
  EXPECT_TRUE(mount_would_work(checks));
  checks[1].needed = true;
  EXPECT_FALSE(mount_would_work(checks));
  EXPECT_THAT(doctor_text(checks), HasSubstr("would not work"));
  EXPECT_FALSE(nlohmann::json::parse(doctor_json(checks))["mount_would_work"].get<bool>());
}

TEST(DoctorTest, TextAndJsonSayTheSame) {
  const auto json = nlohmann::json::parse(doctor_json(kChecks));
  const std::string text = doctor_text(kChecks);
  ASSERT_EQ(json["checks"].size(), kChecks.size());
  for (const auto& check : json["checks"]) {
    for (const char* const key : {"check", "answer", "found", "instead", "to_have_it"}) {
      EXPECT_THAT(text, HasSubstr(check[key].get<std::string>()));
    }
  }
}

TEST(DoctorTest, BytesThatAreNoTextAreReplaced) {
  const std::array checks = {make_check("a\xff", true, "", "", "")};
  EXPECT_EQ(nlohmann::json::parse(doctor_json(checks))["checks"][0]["check"], "a\xef\xbf\xbd");
}

}  // namespace
}  // namespace quire::tool
