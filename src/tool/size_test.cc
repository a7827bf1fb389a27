#include "tool/size.h"

#include <cstdint>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire::tool {
namespace {

using ::testing::HasSubstr;

TEST(SizeTest, UnitsArePowersOf1024) {
  EXPECT_EQ(*parse_size("0"), 0u);
  EXPECT_EQ(*parse_size("65536"), 65536u);
  EXPECT_EQ(*parse_size("12B"), 12u);
  EXPECT_EQ(*parse_size("1K"), 1024u);
  EXPECT_EQ(*parse_size("256M"), std::uint64_t{256} << 20);
  EXPECT_EQ(*parse_size("3G"), std::uint64_t{3} << 30);
  EXPECT_EQ(*parse_size("2T"), std::uint64_t{2} << 40);
  EXPECT_EQ(*parse_size("7KiB"), 7u << 10);
  EXPECT_EQ(*parse_size("7MiB"), 7u << 20);
  EXPECT_EQ(*parse_size("7GiB"), std::uint64_t{7} << 30);
  EXPECT_EQ(*parse_size("7TiB"), std::uint64_t{7} << 40);
  EXPECT_EQ(*parse_size("64m"), *parse_size("64mib"));
}

TEST(SizeTest, WhatIsNoSizeIsQuotedWithWhatToWrite) {
  for (const char* const text :
       {"", "M", "-1", "+1", "1.5G", "1KB", "1MB", "1 M", " 1", "1X", "0x10", "1KiBs", "1Ki"}) {
    const auto size = parse_size(text);
    ASSERT_FALSE(size.ok()) << text;
    EXPECT_THAT(size.error().context, HasSubstr("'" + std::string(text) + "' is no size"));
    EXPECT_THAT(size.error().context, HasSubstr("256M"));
  }
}

TEST(SizeTest, WhatDoesNotFitIsTooLarge) {
  EXPECT_EQ(*parse_size("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(*parse_size("16777215T"), std::uint64_t{16777215} << 40);
  for (const char* const text : {"18446744073709551616", "16777216T", "99999999999999999999999K"}) {
    const auto size = parse_size(text);
    ASSERT_FALSE(size.ok()) << text;
    EXPECT_THAT(size.error().context, HasSubstr("is too large"));
  }
}

}  // namespace
}  // namespace quire::tool
