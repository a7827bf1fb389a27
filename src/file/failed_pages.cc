#include "file/failed_pages.h"

#include <new>

#include "sync/check.h"

namespace quire::file {

bool FailedPages::add(std::uint64_t page, Time until) noexcept {
  try {
    const auto timed = by_time_.emplace(until, page);
    if (!timed.second) return true;
    try {
      const auto [at, is_new] = by_page_.try_emplace(page, until);
      if (is_new) return true;
      by_time_.erase({at->second, page});
      at->second = until;
    } catch (const std::bad_alloc&) {
      by_time_.erase(timed.first);
      return false;
    }
  } catch (const std::bad_alloc&) {
    return false;
  }
  return true;
}

std::optional<FailedPages::Time> FailedPages::until(std::uint64_t page) const noexcept {
  const auto at = by_page_.find(page);
  if (at == by_page_.end()) return std::nullopt;
  return at->second;
}

void FailedPages::remove(std::uint64_t page) noexcept {
  const auto at = by_page_.find(page);
  QUIRE_DCHECK(at != by_page_.end());
  by_time_.erase({at->second, page});
  by_page_.erase(at);
}

FailedPages::Time FailedPages::next() const noexcept {
  return by_time_.empty() ? sync::Clock::kNever : by_time_.begin()->first;
}

std::optional<FailedPages::Run> FailedPages::due(Time now) const noexcept {
  if (by_time_.empty() || now < next()) return std::nullopt;
  const auto longest = by_page_.find(by_time_.begin()->second);
  Run run{longest->first, longest->first + 1};
  const auto due = [&](auto at, std::uint64_t page) {
    return at->first == page && at->second <= now;
  };
  for (auto at = longest; at != by_page_.begin() && due(--at, run.first - 1);) --run.first;
  for (auto at = longest; ++at != by_page_.end() && due(at, run.end);) ++run.end;
  return run;
}

void FailedPages::remove(const Run& run, Time now) noexcept {
  auto at = by_page_.lower_bound(run.first);
  while (at != by_page_.end() && at->first < run.end) {
    if (at->second > now) {
      ++at;
      continue;
    }
    by_time_.erase({at->second, at->first});
    at = by_page_.erase(at);
  }
}

}  // namespace quire::file
