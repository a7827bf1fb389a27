#include "tool/text_file.h"

#include <string>

#include "gtest/gtest.h"
#include "store/test_directory.h"

namespace quire::tool {
namespace {

TEST(TextFileTest, AllOfItOrNothing) {
  const store::testing::TestDirectory directory;
  const std::string text(50'000, 'x');
  directory.put("file", text);
  EXPECT_EQ(text_of_file((directory / "file").c_str()), text);
  EXPECT_EQ(text_of_file((directory / "none").c_str()), "");
  EXPECT_EQ(text_of_file(directory.path().c_str()), "");
}

}  // namespace
}  // namespace quire::tool
