#include "file/unsynced.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "fault/planted.h"
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
  if (set.size() > limits::kUnsyncedMax) join_nearest(set);
}

void Unsynced::join_nearest(Intervals& set) {
  std::vector<std::uint64_t> gaps;
  gaps.reserve(set.size());
  for (auto a = set.begin(), b = std::next(a); b != set.end(); ++a, ++b) {
    gaps.push_back(b->first - a->second);
  }
  const auto middle = gaps.begin() + static_cast<std::ptrdiff_t>(gaps.size() / 2);
  std::nth_element(gaps.begin(), middle, gaps.end());
  const std::uint64_t widest = *middle;
  // No more than half, though all gaps may be alike.
  std::size_t left = set.size() / 2;
  for (auto a = set.begin(); left > 0;) {
    const auto b = std::next(a);
    if (b == set.end()) return;
    if (b->first - a->second > widest) {
      a = b;
      continue;
    }
    a->second = b->second;
    set.erase(b);
    --left;
  }
}

Unsynced::Intervals::const_iterator Unsynced::find(const Intervals& set, std::uint64_t page) {
  const auto it = set.upper_bound(page);
  if (it == set.begin() || page >= std::prev(it)->second) return set.end();
  return std::prev(it);
}

bool Unsynced::remove(Intervals& set, std::uint64_t page) {
  const auto it = find(set, page);
  if (it == set.end()) return false;
  const auto [first, end] = *it;
  set.erase(it);
  if (first < page) set.emplace(first, page);
  if (page + 1 < end) set.emplace(page + 1, end);
  return true;
}

void Unsynced::split(Intervals& set, std::uint64_t at) {
  const auto it = set.lower_bound(at);
  if (it == set.begin()) return;
  const auto before = std::prev(it);
  if (before->second <= at) return;
  set.emplace(at, before->second);
  before->second = at;
}

void Unsynced::remove_range(Intervals& set, std::uint64_t first, std::uint64_t end) {
  split(set, first);
  split(set, end);
  set.erase(set.lower_bound(first), set.lower_bound(end));
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
  ++changes_;
  insert(written_, first, first + count);
}

void Unsynced::add_and_cure(std::uint64_t first, std::size_t count, std::uint64_t whole_first,
                            std::uint64_t whole_end) {
  sync::MutexLock lock(mutex_);
  if (whole_first < whole_end) {
    remove_range(rewrite_, whole_first, whole_end);
    remove_range(lost_, whole_first, whole_end);
    any_lost_.store(!lost_.empty());
  }
  ++changes_;
  insert(written_, first, first + count);
}

void Unsynced::note_change() {
  sync::MutexLock lock(mutex_);
  ++changes_;
}

std::uint64_t Unsynced::changes() const {
  sync::MutexLock lock(mutex_);
  return changes_;
}

std::uint64_t Unsynced::failures() const {
  sync::MutexLock lock(mutex_);
  return failures_;
}

bool Unsynced::sync_due() const {
  sync::MutexLock lock(mutex_);
  return written_.size() >= limits::kUnsyncedMax / 2;
}

bool Unsynced::durable(std::uint64_t changes) const {
  sync::MutexLock lock(mutex_);
  return durable_ >= changes && rewrite_.empty();
}

bool Unsynced::sync_needed() const {
  sync::MutexLock lock(mutex_);
  return changes_ != durable_ || !rewrite_.empty();
}

Unsynced::Taken Unsynced::take() {
  sync::MutexLock lock(mutex_);
  syncing_ = std::exchange(written_, {});
  return {changes_};
}

void Unsynced::succeeded(const Taken& taken) {
  sync::MutexLock lock(mutex_);
  syncing_.clear();
  durable_ = std::max(durable_, taken.changes);
}

void Unsynced::failed() {
  sync::MutexLock lock(mutex_);
  ++failures_;
  for (const auto& [first, end] : std::exchange(syncing_, {})) insert(rewrite_, first, end);
  for (const auto& [first, end] : std::exchange(written_, {})) insert(rewrite_, first, end);
}

void Unsynced::store_succeeded(std::uint64_t changes) {
  sync::MutexLock lock(mutex_);
  durable_ = std::max(durable_, changes);
  if (changes_ == changes) written_.clear();
}

bool Unsynced::store_failed() {
  sync::MutexLock lock(mutex_);
  ++failures_;
  for (const auto& [first, end] : std::exchange(written_, {})) insert(rewrite_, first, end);
  return !rewrite_.empty();
}

bool Unsynced::next_rewrite(std::uint64_t* page) const {
  sync::MutexLock lock(mutex_);
  if (rewrite_.empty()) return false;
  *page = rewrite_.begin()->first;
  return true;
}

bool Unsynced::to_rewrite(std::uint64_t page) const {
  sync::MutexLock lock(mutex_);
  return find(rewrite_, page) != rewrite_.end();
}

void Unsynced::rewritten(std::uint64_t page) {
  sync::MutexLock lock(mutex_);
  remove(rewrite_, page);
}

void Unsynced::forget_rewrite_from(std::uint64_t first) {
  sync::MutexLock lock(mutex_);
  cut(rewrite_, first);
}

bool Unsynced::rewrite_needed() const {
  sync::MutexLock lock(mutex_);
  return !rewrite_.empty();
}

void Unsynced::lose(std::uint64_t page) {
  sync::MutexLock lock(mutex_);
  if (!remove(rewrite_, page)) return;
  if (!fault::planted(fault::Planted::kForgetLostPages)) insert(lost_, page, page + 1);
  any_lost_.store(true);
}

std::uint64_t Unsynced::lost(std::uint64_t first, std::uint64_t last,
                             std::uint64_t* first_lost) const {
  sync::MutexLock lock(mutex_);
  std::uint64_t pages = 0;
  for (const auto& [begin, end] : lost_) {
    const std::uint64_t from = std::max(begin, first);
    if (from >= end || from > last) continue;
    if (pages == 0) *first_lost = from;
    pages += std::min(end - 1, last) - from + 1;
  }
  return pages;
}

void Unsynced::overwritten(std::uint64_t page) {
  sync::MutexLock lock(mutex_);
  remove(lost_, page);
  any_lost_.store(!lost_.empty());
}

void Unsynced::forget() {
  sync::MutexLock lock(mutex_);
  for (Intervals* const set : {&written_, &syncing_, &rewrite_, &lost_}) set->clear();
  any_lost_.store(false);
  durable_ = changes_;
}

template <class Change>
void Unsynced::change_all(const Change& change) {
  sync::MutexLock lock(mutex_);
  for (Intervals* const set : {&written_, &syncing_, &rewrite_, &lost_}) change(*set);
  any_lost_.store(!lost_.empty());
}

void Unsynced::forget_from(std::uint64_t first) {
  change_all([&](Intervals& set) { cut(set, first); });
}

void Unsynced::forget_range(std::uint64_t first, std::uint64_t end) {
  change_all([&](Intervals& set) { remove_range(set, first, end); });
}

void Unsynced::inserted(std::uint64_t first, std::uint64_t end) {
  change_all([&](Intervals& set) {
    split(set, first);
    Intervals moved;
    for (auto it = set.lower_bound(first); it != set.end(); it = set.erase(it)) {
      moved.emplace(it->first + (end - first), it->second + (end - first));
    }
    set.merge(moved);
  });
}

void Unsynced::collapsed(std::uint64_t first, std::uint64_t end) {
  change_all([&](Intervals& set) {
    remove_range(set, first, end);
    Intervals moved;
    for (auto it = set.lower_bound(end); it != set.end(); it = set.erase(it)) {
      moved.emplace(it->first - (end - first), it->second - (end - first));
    }
    for (const auto& [from, to] : moved) insert(set, from, to);
  });
}

Unsynced::Intervals Unsynced::taken() const {
  sync::MutexLock lock(mutex_);
  return syncing_;
}

}  // namespace quire::file
