#include "file/unsynced.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "quire/limits.h"

namespace quire::file {

void Unsynced::insert(Intervals& set, std::uint64_t first, std::uint64_t end) {
  auto it = set.upper_bound(first);
  if (it != set.begin() && std::prev(it)->second >= first) --it;
  while (it != set.end() && it->first <= end) {
    first = std::min(first, it->first);
    end = std::max(end, it->second);
    it = set.erase(it);
  }
  set.emplace(first, end);
  if (set.size() <= limits::kUnsyncedMax) return;
  // Join the two with the smallest gap.
  auto best = set.begin();
  std::uint64_t gap = ~std::uint64_t{0};
  for (auto a = set.begin(), b = std::next(a); b != set.end(); ++a, ++b) {
    if (b->first - a->second < gap) {
      gap = b->first - a->second;
      best = a;
    }
  }
  const auto next = std::next(best);
  best->second = next->second;
  set.erase(next);
}

void Unsynced::cut(Intervals& set, std::uint64_t first) {
  auto it = set.lower_bound(first);
  set.erase(it, set.end());
  if (!set.empty()) {
    auto last = std::prev(set.end());
    last->second = std::min(last->second, first);
  }
}

void Unsynced::add(std::uint64_t first, std::size_t count) {
  sync::MutexLock lock(mutex_);
  insert(written_, first, first + count);
}

Unsynced::Intervals Unsynced::take() {
  sync::MutexLock lock(mutex_);
  return std::exchange(written_, {});
}

void Unsynced::put_back(const Intervals& intervals) {
  sync::MutexLock lock(mutex_);
  for (const auto& [first, end] : intervals) insert(rewrite_, first, end);
  for (const auto& [first, end] : std::exchange(written_, {})) insert(rewrite_, first, end);
}

bool Unsynced::next_rewrite(std::uint64_t* page) const {
  sync::MutexLock lock(mutex_);
  if (rewrite_.empty()) return false;
  *page = rewrite_.begin()->first;
  return true;
}

void Unsynced::rewritten(std::uint64_t page) {
  sync::MutexLock lock(mutex_);
  const auto it = rewrite_.upper_bound(page);
  if (it == rewrite_.begin()) return;
  const auto [first, end] = *std::prev(it);
  if (page >= end) return;
  rewrite_.erase(first);
  if (first < page) rewrite_.emplace(first, page);
  if (page + 1 < end) rewrite_.emplace(page + 1, end);
}

void Unsynced::forget_rewrite_from(std::uint64_t first) {
  sync::MutexLock lock(mutex_);
  cut(rewrite_, first);
}

bool Unsynced::rewrite_needed() const {
  sync::MutexLock lock(mutex_);
  return !rewrite_.empty();
}

void Unsynced::forget_from(std::uint64_t first) {
  sync::MutexLock lock(mutex_);
  cut(written_, first);
  cut(rewrite_, first);
}

}  // namespace quire::file
