#include "tool/unwritten.h"

#include <cerrno>

#include "gtest/gtest.h"

namespace quire::tool {
namespace {

TEST(UnwrittenTest, ReadsALineForEachFile) {
  const auto files = parse_unwritten("4096\t0\ta/b\n70000\t28\twith\ttab and space\n");
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].bytes, 4096u);
  EXPECT_EQ(files[0].error, 0);
  EXPECT_EQ(files[0].path, "a/b");
  EXPECT_EQ(files[1].error, ENOSPC);
  EXPECT_EQ(files[1].path, "with\ttab and space");
}

TEST(UnwrittenTest, LeavesOutWhatIsNoLine) {
  EXPECT_TRUE(parse_unwritten("").empty());
  EXPECT_TRUE(parse_unwritten("\n\n1\t2\nx\t0\ta\n1\ty\ta\n-1\t0\ta\n").empty());
  EXPECT_TRUE(parse_unwritten("4096\t0\tcut off").empty());
}

TEST(UnwrittenTest, SaysTheErrorAndHowManyAreNotShown) {
  EXPECT_EQ(describe_unwritten({{4096, 0, "a"}, {123 << 10, EIO, "b\nc"}}, 12),
            "    4.0 KiB  a\n"
            "  123.0 KiB  b\\x0ac: Input/output error\n"
            "  and 10 more\n");
  EXPECT_EQ(describe_unwritten({}, 0), "");
}

}  // namespace
}  // namespace quire::tool
