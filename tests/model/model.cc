#include "model/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace quire::model {
namespace {

// Calls part(page, in_page, at, bytes) for each page that [offset, offset + length) touches.
template <class Part>
void for_each_part(std::uint64_t offset, std::size_t length, Part part) {
  for (std::size_t at = 0; at < length;) {
    const std::size_t in_page = (offset + at) % kPageBytes;
    const std::size_t bytes = std::min(length - at, kPageBytes - in_page);
    part(page_of(offset + at), in_page, at, bytes);
    at += bytes;
  }
}

template <class Map>
void erase_range(Map& map, std::uint64_t first, std::uint64_t last) {
  map.erase(map.lower_bound(first), map.upper_bound(last));
}

template <class Container>
bool any_in(const Container& container, std::uint64_t first, std::uint64_t last) {
  return container.lower_bound(first) != container.upper_bound(last);
}

// The first byte that differs, for people.
std::size_t first_difference(const PageRef& page, std::size_t in_page,
                             std::span<const std::byte> got) {
  const auto begin = bytes_of(page).begin() + static_cast<std::ptrdiff_t>(in_page);
  return static_cast<std::size_t>(std::mismatch(got.begin(), got.end(), begin).first - got.begin());
}

}  // namespace

std::uint64_t ModelFile::readable(std::uint64_t offset, std::uint64_t length) const {
  return offset >= size_ ? 0 : std::min(length, size_ - offset);
}

PageRef ModelFile::page(std::uint64_t index) const {
  const auto found = pages_.find(index);
  return found == pages_.end() ? nullptr : found->second;
}

void ModelFile::change(std::uint64_t index, PageRef page) {
  auto& versions = unsynced_[index];
  if (versions.empty()) versions.push_back(this->page(index));
  if (versions.back() != page) versions.push_back(page);
  maybe_dirty_.insert(index);
  if (page == nullptr) {
    pages_.erase(index);
  } else {
    pages_[index] = std::move(page);
  }
}

void ModelFile::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const std::uint64_t end = offset + bytes.size();
  if (end > size_) grow_or_shrink(end);
  put(offset, bytes, true);
}

void ModelFile::store(std::uint64_t offset, std::span<const std::byte> bytes) {
  const auto in_file = static_cast<std::size_t>(readable(offset, bytes.size()));
  if (in_file > 0) put(offset, bytes.first(in_file), false);
  for_each_part(offset, in_file, [&](std::uint64_t index, std::size_t, std::size_t, std::size_t) {
    torn_.insert(index);
  });
  if (in_file == bytes.size()) return;
  const std::uint64_t behind = offset + in_file;
  behind_ = with(behind_, behind % kPageBytes, bytes.subspan(in_file));
  touch(page_of(behind), page_of(behind));
}

void ModelFile::touch(std::uint64_t first, std::uint64_t last) {
  for (std::uint64_t index = first; index <= last && index < pages_up_to(size_); ++index) {
    change(index, page(index));
  }
}

void ModelFile::watch(std::uint64_t first, std::uint64_t last) {
  for (std::uint64_t index = first; index <= last; ++index) watched_.insert(index);
  touch(first, last);
}

void ModelFile::put(std::uint64_t offset, std::span<const std::byte> bytes, bool cures) {
  for_each_part(offset, bytes.size(),
                [&](std::uint64_t index, std::size_t in_page, std::size_t at, std::size_t n) {
                  const auto part = bytes.subspan(at, n);
                  if (const auto lost = lost_.find(index); lost != lost_.end()) {
                    // Bytes past the end are not lost: there are none.
                    const bool whole =
                        cures && in_page == 0 && (n == kPageBytes || offset + at + n >= size_);
                    if (whole) {
                      lost_.erase(lost);
                    } else if (lost->second.differs) {
                      lost->second.instead = with(lost->second.instead, in_page, part);
                      unsynced_[index].push_back(lost->second.instead);
                    }
                  }
                  change(index, with(page(index), in_page, part));
                  fresh_.insert(index);
                });
}

void ModelFile::grow_or_shrink(std::uint64_t size) {
  if (size != size_) behind_ = nullptr;
  size_ = size;
  size_min_ = std::min(size_min_, size);
  size_max_ = std::max(size_max_, size);
}

void ModelFile::set_size(std::uint64_t size) {
  const std::uint64_t before = size_;
  grow_or_shrink(size);
  if (size >= before) return;

  const std::uint64_t gone = pages_up_to(size);
  while (!pages_.empty() && pages_.rbegin()->first >= gone) {
    change(std::prev(pages_.end())->first, nullptr);
  }
  erase_range(maybe_dirty_, gone, kLastPage);
  erase_range(fresh_, gone, kLastPage);
  erase_range(lost_, gone, kLastPage);
  // The store cuts what it has by then: any of the pages' contents, without what was beyond the end.
  for (auto it = unsynced_.lower_bound(gone); it != unsynced_.end(); ++it) {
    if (it->second.back() != nullptr) it->second.push_back(nullptr);
  }
  const std::size_t tail = size % kPageBytes;
  if (tail == 0) return;
  const std::uint64_t last = page_of(size);
  if (const auto lost = lost_.find(last); lost != lost_.end()) {
    lost->second.instead = zeroed(lost->second.instead, tail, kPageBytes);
    unsynced_[last].push_back(lost->second.instead);
  }
  if (page(last) == nullptr && !unsynced_.contains(last)) return;
  const bool was_dirty = maybe_dirty_.contains(last);
  auto versions = unsynced_[last];
  change(last, zeroed(page(last), tail, kPageBytes));
  for (const PageRef& version : versions) {
    PageRef cut = zeroed(version, tail, kPageBytes);
    if (!may_survive(last, cut)) unsynced_[last].push_back(std::move(cut));
  }
  // A cut is the store's to make: it makes no page dirty.
  if (!was_dirty) maybe_dirty_.erase(last);
}

void ModelFile::clear_part(std::uint64_t from, std::uint64_t to) {
  to = std::min(to, size_);
  if (from < to) write(from, {kZeros.data(), static_cast<std::size_t>(to - from)});
}

void ModelFile::see_cleared(std::uint64_t from, std::uint64_t to) {
  cut_ = true;
  const std::uint64_t index = page_of(from);
  const std::size_t in_page = from % kPageBytes;
  const std::size_t end = in_page + static_cast<std::size_t>(to - from);
  if (const auto lost = lost_.find(index); lost != lost_.end()) {
    lost->second.for_certain = false;
    lost->second.instead = zeroed(lost->second.instead, in_page, end);
  }
  change(index, zeroed(page(index), in_page, end));
  fresh_.erase(index);
}

void ModelFile::clear(std::uint64_t offset, std::uint64_t end) {
  const std::uint64_t first = pages_up_to(offset);  // the whole pages
  const std::uint64_t last = page_of(end);
  if (first > last) return clear_part(offset, end);
  clear_part(offset, first * kPageBytes);
  if (first < last) {
    cut_ = true;
    for (const std::uint64_t index : known_pages()) {
      if (first <= index && index < last) change(index, nullptr);
    }
    erase_range(lost_, first, last - 1);
    erase_range(maybe_dirty_, first, last - 1);
    erase_range(fresh_, first, last - 1);
  }
  clear_part(last * kPageBytes, end);
}

template <class From, class To>
void ModelFile::shift(std::uint64_t first, From from, To to) {
  // After a crash the store has a page as it was before the shift, or as it is after it.
  const auto versions_of = [this](std::uint64_t index) {
    if (index == kLastPage) return std::vector<PageRef>{nullptr};
    const auto found = unsynced_.find(index);
    return found != unsynced_.end() ? found->second : std::vector<PageRef>{page(index)};
  };
  std::set<std::uint64_t> touched;
  for (const std::uint64_t index : known_pages()) {
    if (index < first) continue;
    touched.insert(index);
    // What was cut off before may lie where nothing can be moved to.
    const bool there = to(index) <= page_of(limits::kFileSizeMaxBytes);
    if (there) touched.insert(to(index));
  }
  std::map<std::uint64_t, PageRef> pages(pages_.begin(), pages_.lower_bound(first));
  auto unsynced = unsynced_;
  std::map<std::uint64_t, Lost> lost(lost_.begin(), lost_.lower_bound(first));
  for (const std::uint64_t index : touched) {
    const std::uint64_t was = from(index);
    std::vector<PageRef> versions = versions_of(index);
    for (PageRef& version : versions_of(was)) versions.push_back(std::move(version));
    // Moved twice, the same come from several places.
    std::sort(versions.begin(), versions.end());
    versions.erase(std::unique(versions.begin(), versions.end()), versions.end());
    unsynced[index] = std::move(versions);
    if (was == kLastPage) continue;
    if (PageRef moved = page(was); moved != nullptr) pages.emplace(index, std::move(moved));
    if (const auto found = lost_.find(was); found != lost_.end()) {
      lost.emplace(index, found->second);
    }
  }
  pages_ = std::move(pages);
  unsynced_ = std::move(unsynced);
  lost_ = std::move(lost);
  // Wherever they are now.
  if (torn_.lower_bound(first) != torn_.end()) torn_.insert(touched.begin(), touched.end());
  cut_ = true;
  // All of it was written, and dropped.
  erase_range(maybe_dirty_, first, kLastPage);
  erase_range(fresh_, first, kLastPage);
}

void ModelFile::insert(std::uint64_t first, std::uint64_t count) {
  shift(
      first, [=](std::uint64_t index) { return index < first + count ? kLastPage : index - count; },
      [=](std::uint64_t index) { return index + count; });
  grow_or_shrink(size_ + count * kPageBytes);
}

void ModelFile::collapse(std::uint64_t first, std::uint64_t count) {
  shift(
      first, [=](std::uint64_t index) { return index + count; },
      [=](std::uint64_t index) { return index < first + count ? kLastPage : index - count; });
  grow_or_shrink(size_ - count * kPageBytes);
}

std::string ModelFile::check_read(std::uint64_t offset, std::span<const std::byte> got) {
  std::string wrong;
  for_each_part(offset, got.size(),
                [&](std::uint64_t index, std::size_t in_page, std::size_t at, std::size_t n) {
                  const auto part = got.subspan(at, n);
                  const auto lost = lost_.find(index);
                  const bool either = lost != lost_.end() && lost->second.differs;
                  const bool as_now = holds(page(index), in_page, part);
                  const bool as_instead = either && holds(lost->second.instead, in_page, part);
                  if (as_now && as_instead) return;  // the bytes in which they agree
                  if (as_now) {
                    if (either) lost->second.differs = false;
                    return;
                  }
                  if (as_instead) {
                    lost->second.for_certain = true;
                    lost->second.differs = false;
                    change(index, std::exchange(lost->second.instead, nullptr));
                    return;
                  }
                  if (!wrong.empty()) return;
                  const std::size_t byte = first_difference(page(index), in_page, part);
                  wrong =
                      fmt::format("byte {} (page {}, {} in it) is {:#04x} instead of {:#04x}",
                                  offset + at + byte, index, in_page + byte,
                                  std::to_integer<unsigned>(part[byte]),
                                  std::to_integer<unsigned>(bytes_of(page(index))[in_page + byte]));
                });
  return wrong;
}

std::string ModelFile::check_load(std::uint64_t offset, std::span<const std::byte> got) {
  const auto in_file = static_cast<std::size_t>(readable(offset, got.size()));
  if (in_file > 0) {
    std::string wrong = check_read(offset, got.first(in_file));
    if (!wrong.empty()) return wrong;
  }
  bool gone = false;
  const Page& behind = bytes_of(behind_);
  for (std::size_t i = in_file; i < got.size(); ++i) {
    const std::byte stored = behind[(offset + i) % kPageBytes];
    if (got[i] != std::byte{0} && got[i] != stored) {
      return fmt::format("byte {}, behind the end, is {:#04x} instead of {:#04x} or 0", offset + i,
                         std::to_integer<unsigned>(got[i]), std::to_integer<unsigned>(stored));
    }
    gone |= got[i] != stored;
  }
  // What was stored since the page was dropped and read again is there still.
  if (gone) behind_ = with(behind_, (offset + in_file) % kPageBytes, got.subspan(in_file));
  return {};
}

void ModelFile::flushed(std::uint64_t first, std::uint64_t last) {
  erase_range(maybe_dirty_, first, last);
}

void ModelFile::synced(std::uint64_t first, std::uint64_t last) {
  sync_tried();
  flushed(first, last);
  erase_range(unsynced_, first, last);
  erase_range(torn_, first, last);
  // It would have failed if one of them had been lost.
  erase_range(lost_, first, last);
  for (const std::uint64_t index : watched_) {
    if (index >= first && index <= last) touch(index, index);
  }
  if (first != 0 || last != kLastPage) return;
  size_min_ = size_max_ = size_;
  cut_ = false;
}

void ModelFile::sync_failed(bool dropped, const std::function<PageRef(std::uint64_t)>& stored) {
  sync_tried();
  for (const auto& [index, versions] : unsynced_) {
    maybe_dirty_.insert(index);
    if (index >= pages_up_to(size_)) continue;
    Lost& lost = lost_[index];
    if (!dropped) continue;
    lost.instead = stored(index);
    lost.differs = !same(lost.instead, page(index));
  }
}

bool ModelFile::sync_failed_uncached(bool dropped,
                                     const std::function<PageRef(std::uint64_t)>& stored) {
  for (const std::uint64_t index : unsynced_pages()) {
    if (index >= pages_up_to(size_)) continue;
    lost_[index].for_certain = fresh_.contains(index);
    if (!dropped) continue;
    PageRef left = stored(index);
    if (!same(left, page(index))) change(index, std::move(left));
  }
  flushed(0, kLastPage);
  return !std::exchange(fresh_, {}).empty();
}

bool ModelFile::may_be_dirty(std::uint64_t first, std::uint64_t last) const {
  return any_in(maybe_dirty_, first, last) || any_in(watched_, first, last);
}

bool ModelFile::may_be_lost(std::uint64_t first, std::uint64_t last) const {
  return any_in(lost_, first, last);
}

bool ModelFile::is_lost(std::uint64_t first, std::uint64_t last) const {
  return std::any_of(lost_.lower_bound(first), lost_.upper_bound(last),
                     [](const auto& page) { return page.second.for_certain; });
}

std::uint64_t ModelFile::first_lost() const {
  return lost_.empty() ? kLastPage : lost_.begin()->first;
}

std::set<std::uint64_t> ModelFile::known_pages() const {
  std::set<std::uint64_t> known;
  for (const auto& [index, page] : pages_) known.insert(known.end(), index);
  for (const auto& [index, versions] : unsynced_) known.insert(index);
  return known;
}

std::vector<std::uint64_t> ModelFile::unsynced_pages() const {
  std::vector<std::uint64_t> indices;
  for (const auto& [index, versions] : unsynced_) indices.push_back(index);
  return indices;
}

bool ModelFile::may_survive(std::uint64_t index, const PageRef& got) const {
  const auto versions = unsynced_.find(index);
  if (versions == unsynced_.end()) return same(page(index), got);
  const bool one = std::any_of(versions->second.begin(), versions->second.end(),
                               [&](const PageRef& version) { return same(version, got); });
  if (one || !torn_.contains(index)) return one;
  for (std::size_t i = 0; i < kPageBytes; ++i) {
    const bool some = std::any_of(
        versions->second.begin(), versions->second.end(),
        [&](const PageRef& version) { return bytes_of(version)[i] == bytes_of(got)[i]; });
    if (!some) return false;
  }
  return true;
}

void ModelFile::adopt(std::uint64_t size, std::map<std::uint64_t, PageRef> pages) {
  *this = ModelFile();
  size_ = size_min_ = size_max_ = size;
  pages_ = std::move(pages);
}

}  // namespace quire::model
