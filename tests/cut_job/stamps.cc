#include "cut_job/stamps.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace quire::cut_job {
namespace {

using Word = std::uint64_t;

constexpr std::size_t kWords = kPage / sizeof(Word);
// From one word of a page to the next. Odd, and large: words of different pages do not meet.
constexpr Word kStep = 0x9e3779b97f4a7c15u;

Word first_word(const Stamp& stamp) {
  return Word{stamp.file} << 56 | Word{stamp.place} << 32 | stamp.serial;
}

Stamp stamp_of(Word first) {
  return {static_cast<std::uint32_t>(first >> 56),
          static_cast<std::uint32_t>(first >> 32) & kTailPlace, static_cast<std::uint32_t>(first)};
}

// The whole page.
std::array<Word, kWords> page_of(const PageContent& content) {
  std::array<Word, kWords> page;
  if (content.stamp.serial == 0) {
    page.fill(0);
    return page;
  }
  Word word = first_word(content.stamp);
  for (Word& each : page) {
    each = word;
    word += kStep;
  }
  if (content.valid_bytes < kPage) {
    const Bytes bytes = std::as_writable_bytes(std::span(page));
    std::memset(bytes.data() + content.valid_bytes, 0, kPage - content.valid_bytes);
  }
  return page;
}

}  // namespace

void render(const PageContent& content, std::size_t in_page, Bytes part) {
  const auto page = page_of(content);
  std::memcpy(part.data(), std::as_bytes(std::span(page)).data() + in_page, part.size());
}

bool holds(const PageContent& content, std::size_t in_page, ConstBytes part) {
  const auto page = page_of(content);
  return std::memcmp(part.data(), std::as_bytes(std::span(page)).data() + in_page, part.size()) ==
         0;
}

bool all_zero(ConstBytes bytes) {
  return bytes.empty() || (bytes[0] == std::byte{0} &&
                           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

std::string describe(std::size_t in_page, ConstBytes part) {
  if (all_zero(part)) {
    return "zeros";
  }
  const std::size_t index = (in_page + sizeof(Word) - 1) / sizeof(Word);
  const std::size_t at = index * sizeof(Word) - in_page;
  if (at + sizeof(Word) <= part.size()) {
    Word word = 0;
    std::memcpy(&word, part.data() + at, sizeof word);
    if (word == 0) {
      const auto zeros =
          std::find_if(part.begin(), part.end(), [](std::byte b) { return b != std::byte{0}; }) -
          part.begin();
      return fmt::format("zeros up to byte {}, then something else",
                         in_page + static_cast<std::size_t>(zeros));
    }
    const Stamp stamp = stamp_of(word - index * kStep);
    std::array<std::byte, kPage> wanted;
    render({stamp, kPage}, in_page, Bytes(wanted).first(part.size()));
    const auto same = static_cast<std::size_t>(
        std::mismatch(part.begin(), part.end(), wanted.begin()).first - part.begin());
    // More than the word itself, or it says nothing.
    if (same >= std::min(part.size(), at + 2 * sizeof(Word))) {
      const std::string page = stamp.place == kTailPlace ? std::string("a page of the tail")
                                                         : fmt::format("page {}", stamp.place);
      const std::string whole =
          same == part.size() ? ""
                              : fmt::format(" up to byte {}, then something else", in_page + same);
      return fmt::format("{} of file {} as write {} left it{}", page, stamp.file, stamp.serial,
                         whole);
    }
  }
  return fmt::format("what nobody wrote ({:#04x} at its byte {})",
                     std::to_integer<unsigned>(part[0]), in_page);
}

}  // namespace quire::cut_job
