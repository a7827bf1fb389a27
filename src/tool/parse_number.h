// parse_number: a whole text as a number, or nothing. From any thread.
#ifndef QUIRE_TOOL_PARSE_NUMBER_H_
#define QUIRE_TOOL_PARSE_NUMBER_H_

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace quire::tool {

template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, failed] = std::from_chars(text.data(), end, value);
  return failed == std::errc() && rest == end ? std::optional(value) : std::nullopt;
}

}  // namespace quire::tool

#endif  // QUIRE_TOOL_PARSE_NUMBER_H_
