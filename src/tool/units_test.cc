#include "tool/units.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace quire::tool {
namespace {

TEST(UnitsTest, BytesChangeTheirUnitBeforeTheyRoundUpToFourDigits) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1024), "1.0 KiB");
  EXPECT_EQ(human_bytes((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(human_bytes(256 << 20), "256.0 MiB");
  EXPECT_EQ(human_bytes(UINT64_MAX), "16.0 EiB");
}

TEST(UnitsTest, Durations) {
  EXPECT_EQ(human_duration(0), "0 ns");
  EXPECT_EQ(human_duration(999), "999 ns");
  EXPECT_EQ(human_duration(12'500), "12.5 us");
  EXPECT_EQ(human_duration(999'999), "1.0 ms");
  EXPECT_EQ(human_duration(999'999'999), "1.0 s");
  EXPECT_EQ(human_duration(119'000'000'000), "119.0 s");
  EXPECT_EQ(human_duration(125'000'000'000), "2 min 5 s");
  EXPECT_EQ(human_duration(12'000'000'000'000), "3 h 20 min");
  EXPECT_EQ(human_duration(350'000'000'000'000), "4 d 1 h");
}

TEST(UnitsTest, CountsAndShares) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(1000), "1,000");
  EXPECT_EQ(human_count(1234567), "1,234,567");
  EXPECT_EQ(human_share(0, 0), "-");
  EXPECT_EQ(human_share(39, 40), "97.5 %");
  EXPECT_EQ(counted(1, "file"), "1 file");
  EXPECT_EQ(counted(2000, "file"), "2,000 files");
}

TEST(UnitsTest, NamesStayOnTheirLineAndCannotControlTheTerminal) {
  EXPECT_EQ(printable("a b/\xc3\xa4"), "a b/\xc3\xa4");
  EXPECT_EQ(printable("a\nb\x1b[2J\x7f"), "a\\x0ab\\x1b[2J\\x7f");
  EXPECT_EQ(printable("a\\x0a"), "a\\x5cx0a");
}

}  // namespace
}  // namespace quire::tool
