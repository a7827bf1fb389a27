#include "cut_job/tail.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace quire::cut_job {

Tail::Tail(std::uint32_t file) : file_(file) {
  layouts_.push_back(std::make_shared<Layout>());
}

void Tail::begin(Layout next) {
  auto layout = std::make_shared<const Layout>(std::move(next));
  const std::lock_guard lock(mutex_);
  layouts_.push_back(std::move(layout));
}

void Tail::end() {
  const std::lock_guard lock(mutex_);
  ++reached_;
  const std::uint64_t needed = looks_.empty() ? reached_ : std::min(*looks_.begin(), reached_);
  while (first_ < needed) {
    layouts_.pop_front();
    ++first_;
  }
}

Layout Tail::now() const {
  const std::lock_guard lock(mutex_);
  return *layouts_.back();
}

std::uint32_t Tail::fresh_serials(std::uint64_t count) {
  return next_serial_.fetch_add(static_cast<std::uint32_t>(count));
}

void Tail::render(const Layout& layout, std::uint64_t offset, Bytes bytes) const {
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t in_page = (offset + at) % kPage;
    const std::size_t part = std::min(bytes.size() - at, kPage - in_page);
    cut_job::render(content(layout[(offset + at) / kPage]), in_page, bytes.subspan(at, part));
    at += part;
  }
}

void Tail::begin_append(Bytes bytes) {
  const std::uint32_t serial = fresh_serials(bytes.size() / kPage);
  Layout pages;
  pages.write(0, bytes.size() / kPage, serial);
  render(pages, 0, bytes);
  const std::lock_guard lock(mutex_);
  for (std::uint32_t i = 0; i < pages.pages(); ++i) {
    appended_.push_back(serial + i);
  }
}

void Tail::end_append() {
  const std::lock_guard lock(mutex_);
  appended_ended_ = appended_.size();
}

std::uint64_t Tail::appended_pages() const {
  const std::lock_guard lock(mutex_);
  return appended_.size();
}

void Tail::fold() {
  Layout all = now();
  for (const std::uint32_t serial : appended_) {
    all.write(all.pages(), 1, serial);
  }
  begin(std::move(all));
  end();
  appended_.clear();
  appended_ended_ = 0;
}

Tail::Look::Look(Tail& tail) : tail_(tail) {
  const std::lock_guard lock(tail_.mutex_);
  number_ = tail_.reached_;
  tail_.looks_.insert(number_);
  appended_before_ = tail_.appended_ended_;
}

Tail::Look::~Look() {
  const std::lock_guard lock(tail_.mutex_);
  tail_.looks_.erase(tail_.looks_.find(number_));
}

Tail::Look::Seen Tail::Look::seen() const {
  const std::lock_guard lock(tail_.mutex_);
  const auto begin = tail_.layouts_.begin() + static_cast<std::ptrdiff_t>(number_ - tail_.first_);
  return {{begin, tail_.layouts_.end()}, tail_.appended_};
}

bool Tail::Look::explains(const Seen& seen, std::uint64_t page, std::size_t in_page,
                          ConstBytes part) const {
  return std::any_of(seen.layouts.begin(), seen.layouts.end(), [&](const auto& layout) {
    if (page < layout->pages()) {
      return page * kPage + in_page + part.size() <= layout->size_bytes() &&
             holds(tail_.content((*layout)[page]), in_page, part);
    }
    const std::uint64_t behind = page - layout->pages();
    return behind < seen.appended.size() &&
           holds(tail_.content({seen.appended[behind], kPage}), in_page, part);
  });
}

std::string Tail::Look::check(std::uint64_t offset, std::size_t asked, ConstBytes got) const {
  const Seen seen = this->seen();
  for (std::size_t at = 0; at < got.size();) {
    const std::uint64_t page = (offset + at) / kPage;
    const std::size_t in_page = (offset + at) % kPage;
    const std::size_t length = std::min(got.size() - at, kPage - in_page);
    const ConstBytes part = got.subspan(at, length);
    if (!explains(seen, page, in_page, part)) {
      const Layout& last = *seen.layouts.back();
      std::string instead = "nothing";
      if (page < last.pages()) {
        const Layout::Page& wanted = last[page];
        instead = wanted.serial == 0 ? "zeros" : fmt::format("write {}", wanted.serial);
      }
      return fmt::format(
          "bytes {} to {} of page {} of the tail of file {} hold {}; in the last of {} layouts "
          "that "
          "they may be of ({} pages, {} appended) it holds {}",
          in_page, in_page + length, page, tail_.file_, describe(in_page, part),
          seen.layouts.size(), last.pages(), seen.appended.size(), instead);
    }
    at += length;
  }
  // Short only at the end of the file.
  const std::uint64_t end = offset + got.size();
  const bool short_of_it = std::none_of(
      seen.layouts.begin(), seen.layouts.end(),
      [&](const auto& layout) { return layout->size_bytes() + appended_before_ * kPage <= end; });
  if (got.size() < asked && short_of_it) {
    return fmt::format(
        "a read of {} bytes at byte {} of the tail of file {} gave {}, and {} follow", asked,
        offset, tail_.file_, got.size(),
        seen.layouts.back()->size_bytes() + appended_before_ * kPage - end);
  }
  return {};
}

bool Tail::Look::may_have_appended_at(std::uint64_t offset) const {
  const Seen seen = this->seen();
  return std::any_of(seen.layouts.begin(), seen.layouts.end(), [&](const auto& layout) {
    return layout->size_bytes() + appended_before_ * kPage == offset;
  });
}

}  // namespace quire::cut_job
