#include "tool/table.h"

#include "gtest/gtest.h"

namespace quire::tool {
namespace {

TEST(TableTest, ColumnsLineUpAndLinesEndInNoBlanks) {
  Table table({Table::Align::kLeft, Table::Align::kRight, Table::Align::kLeft});
  table.add({"name", "size", "what"});
  table.add({"a", "12345"});
  table.add({"longer", "1", "x"});
  EXPECT_EQ(table.text("  "),
            "  name     size  what\n"
            "  a       12345\n"
            "  longer      1  x\n");
}

TEST(TableTest, NoRowsAreNoText) {
  EXPECT_EQ(Table({Table::Align::kLeft}).text(), "");
}

}  // namespace
}  // namespace quire::tool
