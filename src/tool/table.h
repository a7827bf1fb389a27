// A Table: rows of text in columns that line up.
//
// Thread-safety: a value.
#ifndef QUIRE_TOOL_TABLE_H_
#define QUIRE_TOOL_TABLE_H_

#include <string>
#include <utility>
#include <vector>

namespace quire::tool {

class Table {
 public:
  enum class Align { kLeft, kRight };

  // How each column stands; there are no others.
  explicit Table(std::vector<Align> columns) : columns_(std::move(columns)) {}

  // REQUIRES: not more cells than columns; missing ones are empty.
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  // The rows, each begun with `indent` and ended by a newline, without trailing blanks.
  std::string text(const std::string& indent = "") const;

 private:
  std::vector<Align> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace quire::tool

#endif  // QUIRE_TOOL_TABLE_H_
