#include "quire/error.h"

#include <set>
#include <string>
#include <system_error>

#include "gtest/gtest.h"
#include "quire/result.h"

namespace quire {
namespace {

constexpr int kFirst = static_cast<int>(Errc::kForked);
constexpr int kLast = static_cast<int>(Errc::kBusy);

TEST(ErrorTest, EveryValueHasItsOwnMessage) {
  std::set<std::string> messages;
  for (int value = kFirst; value <= kLast; ++value) {
    const std::string text = quire_category().message(value);
    EXPECT_EQ(text.find("unknown"), std::string::npos) << value;
    EXPECT_TRUE(messages.insert(text).second) << "said twice: " << text;
  }
}

TEST(ErrorTest, OtherValuesAreNamedAsUnknown) {
  EXPECT_EQ(quire_category().message(0), "unknown quire error 0");
  EXPECT_EQ(quire_category().message(kLast + 1),
            "unknown quire error " + std::to_string(kLast + 1));
}

TEST(ErrorTest, ConvertsToAnErrorCodeOfItsOwnCategory) {
  const std::error_code code = Errc::kInUse;
  EXPECT_EQ(&code.category(), &quire_category());
  EXPECT_STREQ(code.category().name(), "quire");
  EXPECT_EQ(code, Errc::kInUse);
  EXPECT_NE(code, Errc::kOpenFiles);
}

TEST(ErrorTest, ComparesWithThePortableConditionThatMeansTheSame) {
  EXPECT_EQ(std::error_code(Errc::kTimedOut), std::errc::timed_out);
  EXPECT_EQ(std::error_code(Errc::kInterrupted), std::errc::operation_canceled);
  EXPECT_EQ(std::error_code(Errc::kClosed), std::errc::bad_file_descriptor);
  EXPECT_EQ(std::error_code(Errc::kInUse), std::errc::device_or_resource_busy);
  EXPECT_EQ(std::error_code(Errc::kOpenFiles), std::errc::device_or_resource_busy);
  EXPECT_EQ(std::error_code(Errc::kBusy), std::errc::resource_unavailable_try_again);
  EXPECT_NE(std::error_code(Errc::kPathEscapes), std::errc::permission_denied);
  EXPECT_NE(std::error_code(Errc::kForked), std::errc::operation_not_permitted);
}

TEST(ErrorTest, AnErrorSaysWhatFailedAndWhy) {
  const Error error(Errc::kOpenFiles, "close");
  EXPECT_EQ(error.message(), "close: files are still open");
}

// Fails if what is not there is handed out all the same.
TEST(ResultDeathTest, AskingForWhatIsNotThereEndsTheProgram) {
  Result<int> failed(Error(Errc::kBusy, "x"));
  EXPECT_DEATH((void)*failed, "");
  Result<int> good(1);
  EXPECT_DEATH((void)good.error(), "");
  EXPECT_DEATH((void)Status().error(), "");
}

}  // namespace
}  // namespace quire
