#include "mount/kernel_pages.h"

#include <algorithm>

#include "quire/limits.h"
#include "sync/check.h"

namespace quire::mount {
namespace {

constexpr std::uint64_t kPage = quire::limits::kPageBytes;

std::uint64_t first_page(ByteRange bytes) {
  return bytes.begin / kPage;
}
// One past the last.
std::uint64_t end_page(ByteRange bytes) {
  return (bytes.end + kPage - 1) / kPage;
}

}  // namespace

bool KernelPages::is_granted(std::uint64_t page) const {
  if (everything_) return true;
  const auto it = pieces_.find(page / limits::kGrantPiecePages);
  return it != pieces_.end() && it->second->test(page % limits::kGrantPiecePages);
}

std::uint64_t KernelPages::next_held(std::uint64_t page, std::uint64_t end) const {
  if (everything_ || page >= end) return std::min(page, end);
  std::uint64_t next = end;
  if (const auto marked = overwritten_.lower_bound(page); marked != overwritten_.end()) {
    next = std::min(next, marked->first);
  }
  if (const auto piece = pieces_.lower_bound(page / limits::kGrantPiecePages);
      piece != pieces_.end()) {
    next = std::min(next, std::max(page, piece->first * limits::kGrantPiecePages));
  }
  return next;
}

void KernelPages::set_granted(std::uint64_t page, bool granted) {
  if (everything_) return;
  auto it = pieces_.find(page / limits::kGrantPiecePages);
  if (it == pieces_.end()) {
    if (!granted) return;
    if (pieces_.size() >= limits::kGrantPiecesMax) {
      pieces_.clear();
      everything_ = true;
      return;
    }
    it = pieces_.emplace(page / limits::kGrantPiecePages, std::make_unique<Piece>()).first;
  }
  it->second->set(page % limits::kGrantPiecePages, granted);
}

bool KernelPages::holds(std::uint64_t page) const {
  return is_granted(page) || overwritten_.contains(page);
}

void KernelPages::granted(ByteRange bytes) {
  QUIRE_DCHECK(bytes.begin <= bytes.end);
  sync::MutexLock lock(mutex_);
  ++grants_;
  for (std::uint64_t page = first_page(bytes); page < end_page(bytes); ++page) {
    set_granted(page, true);
  }
  overwritten_.erase(overwritten_.lower_bound(first_page(bytes)),
                     overwritten_.lower_bound(end_page(bytes)));
  any_.store(true);
}

std::uint64_t KernelPages::written(ByteRange bytes) {
  QUIRE_DCHECK(bytes.begin <= bytes.end);
  if (!any()) return 0;
  sync::MutexLock lock(mutex_);
  std::uint64_t ticket = 0;
  const std::uint64_t end = end_page(bytes);
  for (std::uint64_t page = next_held(first_page(bytes), end); page < end;
       page = next_held(page + 1, end)) {
    if (!holds(page)) continue;
    if (ticket == 0) ticket = ++tickets_;
    overwritten_[page].push_back(
        {{std::max(bytes.begin, page * kPage), std::min(bytes.end, (page + 1) * kPage)}, ticket});
    set_granted(page, false);
  }
  return ticket;
}

std::uint64_t KernelPages::doubted(ByteRange bytes) {
  QUIRE_DCHECK(bytes.begin <= bytes.end);
  if (!any()) return 0;
  sync::MutexLock lock(mutex_);
  const std::uint64_t end = end_page(bytes);
  std::uint64_t page = next_held(first_page(bytes), end);
  while (page < end && !holds(page)) page = next_held(page + 1, end);
  return page < end ? ++tickets_ : 0;
}

void KernelPages::dropped(ByteRange bytes, std::uint64_t ticket, bool all) {
  sync::MutexLock lock(mutex_);
  auto it = overwritten_.lower_bound(first_page(bytes));
  while (it != overwritten_.end() && it->first < end_page(bytes)) {
    if (!all) {
      set_granted(it->first, true);  // so that the next write asks again
      ++it;
      continue;
    }
    std::erase_if(it->second, [&](const Mark& mark) { return mark.ticket <= ticket; });
    it = it->second.empty() ? overwritten_.erase(it) : std::next(it);
  }
}

std::vector<ByteRange> KernelPages::may_write(ByteRange bytes) const {
  sync::MutexLock lock(mutex_);
  std::vector<ByteRange> kept;
  for (auto it = overwritten_.lower_bound(first_page(bytes));
       it != overwritten_.end() && it->first < end_page(bytes); ++it) {
    for (const Mark& mark : it->second) kept.push_back(mark.bytes);
  }
  std::sort(kept.begin(), kept.end(),
            [](const ByteRange& a, const ByteRange& b) { return a.begin < b.begin; });
  std::vector<ByteRange> result;
  std::uint64_t at = bytes.begin;
  for (const ByteRange& hole : kept) {
    const std::uint64_t begin = std::clamp(hole.begin, at, bytes.end);
    const std::uint64_t end = std::clamp(hole.end, begin, bytes.end);
    if (begin > at) result.push_back({at, begin});
    at = std::max(at, end);
  }
  if (at < bytes.end) result.push_back({at, bytes.end});
  return result;
}

void KernelPages::cut(std::uint64_t size) {
  const std::uint64_t page = (size + kPage - 1) / kPage;
  sync::MutexLock lock(mutex_);
  overwritten_.erase(overwritten_.lower_bound(page), overwritten_.end());
}

std::uint64_t KernelPages::grants() const {
  sync::MutexLock lock(mutex_);
  return grants_;
}

bool KernelPages::dropped_all(std::uint64_t grants) {
  sync::MutexLock lock(mutex_);
  if (grants_ != grants) return false;
  pieces_.clear();
  overwritten_.clear();
  everything_ = false;
  any_.store(false);
  return true;
}

bool KernelPages::any() const {
  return any_.load();
}

}  // namespace quire::mount
