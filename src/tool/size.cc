#include "tool/size.h"

#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <limits>
#include <optional>
#include <string>

namespace quire::tool {

namespace {

constexpr std::string_view kLetters = "KMGT";

std::string in_upper_case(std::string_view text) {
  std::string upper;
  for (const char c : text) {
    upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return upper;
}

// How far a number with this unit is shifted; nothing if it is no unit.
std::optional<unsigned> unit_shift(std::string_view text) {
  const std::string unit = in_upper_case(text);
  if (unit.empty() || unit == "B") return 0;
  const std::size_t power = kLetters.find(unit.front());
  const bool known =
      power != std::string_view::npos && (unit.size() == 1 || unit.substr(1) == "IB");
  return known ? std::optional(10 * (static_cast<unsigned>(power) + 1)) : std::nullopt;
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, failed] = std::from_chars(text.data(), end, number);
  const Error too_large(std::errc::result_out_of_range, fmt::format("'{}' is too large", text));
  if (failed == std::errc::result_out_of_range) return too_large;
  const auto shift = unit_shift(std::string_view(rest, static_cast<std::size_t>(end - rest)));
  if (failed != std::errc() || !shift) {
    return Error(
        std::errc::invalid_argument,
        fmt::format("'{}' is no size: write a whole number of bytes, or one followed by K, "
                    "M, G or T (powers of 1024), as in 256M",
                    text));
  }
  if (number > std::numeric_limits<std::uint64_t>::max() >> *shift) return too_large;
  return number << *shift;
}

}  // namespace quire::tool
