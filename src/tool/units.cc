#include "tool/units.h"

#include <fmt/format.h>

#include <array>

namespace quire::tool {

namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kMinute = 60 * kSecond;
constexpr std::uint64_t kHour = 60 * kMinute;
constexpr std::uint64_t kDay = 24 * kHour;

}  // namespace

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array names = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  // 1023.95 would be printed as 1024.0.
  while (value >= 1023.95 && unit + 1 < names.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, names[unit]);
}

std::string human_duration(std::uint64_t nanoseconds) {
  const auto value = static_cast<double>(nanoseconds);
  if (nanoseconds < 1000) return fmt::format("{} ns", nanoseconds);
  if (nanoseconds < 999'950) return fmt::format("{:.1f} us", value / 1e3);
  if (nanoseconds < 999'950'000) return fmt::format("{:.1f} ms", value / 1e6);
  if (nanoseconds < 2 * kMinute) return fmt::format("{:.1f} s", value / 1e9);
  if (nanoseconds < kHour) {
    return fmt::format("{} min {} s", nanoseconds / kMinute, nanoseconds % kMinute / kSecond);
  }
  if (nanoseconds < kDay) {
    return fmt::format("{} h {} min", nanoseconds / kHour, nanoseconds % kHour / kMinute);
  }
  return fmt::format("{} d {} h", nanoseconds / kDay, nanoseconds % kDay / kHour);
}

std::string human_count(std::uint64_t count) {
  std::string text = std::to_string(count);
  for (std::size_t i = text.size(); i > 3;) {
    i -= 3;
    text.insert(i, 1, ',');
  }
  return text;
}

std::string human_share(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return "-";
  return fmt::format("{:.1f} %", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string printable(std::string_view name) {
  std::string text;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || c == '\\') {
      text += fmt::format("\\x{:02x}", byte);
    } else {
      text += c;
    }
  }
  return text;
}

std::string counted(std::uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", human_count(count), noun, count == 1 ? "" : "s");
}

}  // namespace quire::tool
