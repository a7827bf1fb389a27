#include "cache/readahead.h"

#include <algorithm>
#include <bit>

#include "quire/limits.h"

namespace quire::cache {

void Readahead::advise(Advice advice) noexcept {
  advice_ = advice;
  size_ = 0;
  failures_ = pause_ = 0;
}

std::size_t Readahead::smallest() const noexcept {
  return std::min(limits::kReadaheadMinBytes / limits::kPageBytes, pages_max_);
}

std::size_t Readahead::grown() const noexcept {
  return advice_ == Advice::kSequential ? pages_max_ : std::min(size_ * 2, pages_max_);
}

Readahead::Window Readahead::open_window(std::uint64_t first, std::size_t pages) noexcept {
  first_ = first;
  end_ = first + pages;
  size_ = pages;
  expected_ = end_;
  return {first, pages};
}

Readahead::Window Readahead::on_miss(std::uint64_t index, std::size_t pages) noexcept {
  const bool thrashed = size_ > 0 && index >= oldest_ && index < end_;
  const bool sequential = index == 0 || index == expected_ || thrashed;
  if (pages_max_ == 0 || advice_ == Advice::kRandom || !sequential) {
    size_ = 0;
    expected_ = index + pages;
    return {};
  }
  if (pause_ > 0) {
    --pause_;
    expected_ = index + pages;
    return {};
  }
  std::size_t window;
  if (thrashed) {
    window = std::max(size_ / 2, smallest());
  } else if (size_ == 0) {
    window = advice_ == Advice::kSequential
                 ? pages_max_
                 : std::clamp(std::bit_ceil(pages) * 2, smallest(), pages_max_);
  } else {
    window = grown();
  }
  oldest_ = index + pages;
  return open_window(oldest_, window);
}

Readahead::Window Readahead::on_marker(std::uint64_t index) noexcept {
  const bool ours = size_ > 0 && index >= oldest_ && index < end_;
  if (!ours || pages_max_ == 0 || advice_ == Advice::kRandom || pause_ > 0) return {};
  oldest_ = index;
  return size_ < pages_max_ ? open_window(end_, grown()) : more();
}

Readahead::Window Readahead::more() noexcept {
  if (size_ < pages_max_ || end_ - oldest_ > (kWindowsAhead - 1) * pages_max_) return {};
  return open_window(end_, size_);
}

Readahead::Window Readahead::on_started(const Window& window, std::size_t pages,
                                        bool refused) noexcept {
  // Another reader of the same open file may have gone elsewhere meanwhile.
  if (size_ == 0 || window.first != first_) return {};
  // Cut short, by the end of a tree leaf or of the file or by pages that are there: go on from it.
  end_ = first_ + std::min(pages, size_);
  expected_ = end_;
  if (pages > 0) {
    failures_ = 0;
    return refused ? Window{} : more();
  }
  if (!refused) return {};  // the file ends here
  size_ = std::max(size_ / 2, smallest());
  if (++failures_ >= kFailuresMax) {
    failures_ = 0;
    pause_ = kPauseMisses;
    size_ = 0;
  }
  return {};
}

}  // namespace quire::cache
