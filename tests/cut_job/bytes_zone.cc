#include "cut_job/bytes_zone.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "main_job/rng.h"

namespace quire::cut_job {
namespace {

constexpr std::byte kMark{0xf0};

}  // namespace

BytesZone::BytesZone(std::uint32_t file, std::uint64_t begin, std::uint64_t length)
    : begin_(begin), marks_(length), now_(length) {
  main_job::Rng rng{0xb17e5, file};
  for (std::byte& mark : marks_) {
    mark = static_cast<std::byte>(rng.next()) & kMark;
  }
}

void BytesZone::write(std::uint64_t offset, std::uint32_t number, Bytes bytes) {
  const auto low = static_cast<std::byte>(number % 15 + 1);
  const std::byte* const marks = marks_.data() + (offset - begin_);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = marks[i] | low;
  }
  std::memcpy(now_.data() + (offset - begin_), bytes.data(), bytes.size());
}

void BytesZone::clear(std::uint64_t offset, std::uint64_t length) {
  std::memset(now_.data() + (offset - begin_), 0, length);
}

std::string BytesZone::check(std::uint64_t offset, ConstBytes bytes) const {
  const std::byte* const marks = marks_.data() + (offset - begin_);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != std::byte{0} && (bytes[i] & kMark) != marks[i]) {
      return fmt::format("{:#04x} at offset {}, where bytes are zero or begin with {:#x}",
                         std::to_integer<unsigned>(bytes[i]), offset + i,
                         std::to_integer<unsigned>(marks[i]) >> 4);
    }
  }
  return {};
}

std::string BytesZone::check_own(std::uint64_t offset, ConstBytes bytes) const {
  const ConstBytes wanted = content(offset, bytes.size());
  if (std::memcmp(bytes.data(), wanted.data(), bytes.size()) == 0) {
    return {};
  }
  const auto at = static_cast<std::size_t>(
      std::mismatch(bytes.begin(), bytes.end(), wanted.begin()).first - bytes.begin());
  return fmt::format("{:#04x} at offset {} where {:#04x} was written",
                     std::to_integer<unsigned>(bytes[at]), offset + at,
                     std::to_integer<unsigned>(wanted[at]));
}

}  // namespace quire::cut_job
