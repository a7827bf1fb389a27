#include "tool/unwritten.h"

#include <fmt/format.h>

#include <optional>
#include <system_error>

#include "tool/parse_number.h"
#include "tool/table.h"
#include "tool/units.h"

namespace quire::tool {

namespace {

std::optional<UnwrittenFile> parse_file(std::string_view line) {
  const std::size_t first = line.find('\t');
  const std::size_t second =
      first == std::string_view::npos ? std::string_view::npos : line.find('\t', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto bytes = parse_number<std::uint64_t>(line.substr(0, first));
  const auto error = parse_number<int>(line.substr(first + 1, second - first - 1));
  if (!bytes || !error) return std::nullopt;
  return UnwrittenFile{*bytes, *error, std::string(line.substr(second + 1))};
}

}  // namespace

std::vector<UnwrittenFile> parse_unwritten(std::string_view text) {
  std::vector<UnwrittenFile> files;
  for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    if (auto file = parse_file(text.substr(0, end))) files.push_back(std::move(*file));
    text.remove_prefix(end + 1);
  }
  return files;
}

std::string describe_unwritten(const std::vector<UnwrittenFile>& files, std::uint64_t total) {
  Table table({Table::Align::kRight, Table::Align::kLeft});
  for (const UnwrittenFile& file : files) {
    const std::string why =
        file.error == 0 ? "" : ": " + std::generic_category().message(file.error);
    table.add({human_bytes(file.bytes), printable(file.path) + why});
  }
  std::string text = table.text("  ");
  if (total > files.size()) text += fmt::format("  and {} more\n", total - files.size());
  return text;
}

}  // namespace quire::tool
