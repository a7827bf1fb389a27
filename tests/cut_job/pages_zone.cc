#include "cut_job/pages_zone.h"

#include <fmt/format.h>

namespace quire::cut_job {

void PagesZone::begin_write(std::uint64_t first, Bytes bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += kPage, ++first) {
    const std::uint32_t change = pages_[first].begun.load() + 1;
    pages_[first].begun.store(change);
    const Stamp stamp{file_, static_cast<std::uint32_t>(first), change};
    render({stamp, kPage}, 0, bytes.subspan(at, kPage));
  }
}

void PagesZone::begin_zero(std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t page = first; page < first + count; ++page) {
    const std::uint32_t change = pages_[page].begun.load() + 1;
    pages_[page].begun.store(change);
    pages_[page].zeroed.store(change);
  }
}

void PagesZone::end(std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t page = first; page < first + count; ++page) {
    pages_[page].ended.store(pages_[page].begun.load());
  }
}

std::string PagesZone::check(std::uint64_t page, std::uint32_t ended_before, std::size_t in_page,
                             ConstBytes part) const {
  const Changes& changes = pages_[page];
  const std::uint32_t begun = changes.begun.load();
  if (all_zero(part)) {
    if (const std::uint32_t zeroed = changes.zeroed.load(); zeroed != 0 && zeroed >= ended_before) {
      return {};
    }
  } else {
    for (std::uint32_t change = begun; change >= ended_before && change != 0; --change) {
      if (holds({{file_, static_cast<std::uint32_t>(page), change}, kPage}, in_page, part)) {
        return {};
      }
    }
  }
  return fmt::format(
      "page {} of file {} holds {}; changes {} to {} are possible, {} last zeroed it", page, file_,
      describe(in_page, part), ended_before, begun, changes.zeroed.load());
}

PageContent PagesZone::content(std::uint64_t page) const {
  const std::uint32_t change = pages_[page].begun.load();
  const std::uint32_t serial = pages_[page].zeroed.load() == change ? 0 : change;
  return {{file_, static_cast<std::uint32_t>(page), serial}, kPage};
}

}  // namespace quire::cut_job
