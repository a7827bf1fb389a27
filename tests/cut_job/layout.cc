#include "cut_job/layout.h"

#include <algorithm>

namespace quire::cut_job {

void Layout::resize(std::uint64_t size_bytes) {
  pages_.resize((size_bytes + kPage - 1) / kPage);
  const bool shrinks = size_bytes < size_bytes_;
  size_bytes_ = size_bytes;
  if (const std::size_t in_last = bytes_in_last_page(); shrinks && in_last != 0) {
    std::uint32_t& valid = pages_.back().valid_bytes;
    valid = std::min(valid, static_cast<std::uint32_t>(in_last));
  }
}

void Layout::write(std::uint64_t first, std::uint64_t count, std::uint32_t serial) {
  if (first + count > pages_.size() || (first + count) * kPage > size_bytes_) {
    resize((first + count) * kPage);
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    pages_[first + i] = {serial++, kPage};
  }
}

void Layout::append(std::uint64_t length, std::uint32_t serial) {
  const std::uint64_t old_size = size_bytes_;
  const std::uint64_t old_pages = pages_.size();
  resize(old_size + length);
  const auto valid = [&](std::uint64_t page) {
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(kPage, size_bytes_ - page * kPage));
  };
  if (old_size % kPage != 0) {
    pages_[old_pages - 1].valid_bytes = valid(old_pages - 1);
  }
  for (std::uint64_t page = old_pages; page < pages_.size(); ++page) {
    pages_[page] = {serial++, valid(page)};
  }
}

bool Layout::continues() const {
  return bytes_in_last_page() == 0 ||
         (pages_.back().serial != 0 && pages_.back().valid_bytes == bytes_in_last_page());
}

void Layout::zero(std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t page = first; page < std::min(first + count, pages()); ++page) {
    pages_[page] = {};
  }
}

void Layout::insert(std::uint64_t first, std::uint64_t count) {
  pages_.insert(pages_.begin() + static_cast<std::ptrdiff_t>(first), count, Page());
  size_bytes_ += count * kPage;
}

void Layout::collapse(std::uint64_t first, std::uint64_t count) {
  const auto begin = pages_.begin() + static_cast<std::ptrdiff_t>(first);
  pages_.erase(begin, begin + static_cast<std::ptrdiff_t>(count));
  size_bytes_ -= count * kPage;
}

}  // namespace quire::cut_job
