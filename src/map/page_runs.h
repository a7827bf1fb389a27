// PageRuns: what is so of each page of a range, kept as runs of pages of which the same is so. A run is what one
// system call can be about.
//
// Thread-safety: none.
//
// Invariants:
//  1. The runs stand in order, without gaps, from page 0 to the last; none is empty.
//  2. Neighbours differ.
#ifndef QUIRE_MAP_PAGE_RUNS_H_
#define QUIRE_MAP_PAGE_RUNS_H_

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <new>
#include <utility>
#include <vector>

#include "sync/check.h"

namespace quire::map {

// State: a small value with ==.
template <class State>
class PageRuns {
 public:
  struct Run {
    std::size_t first;
    std::size_t count;
    State state;

    std::size_t end() const { return first + count; }
  };

  // REQUIRES: pages > 0.
  PageRuns(std::size_t pages, State state) : runs_{{0, pages, state}}, pages_(pages) {}

  std::size_t pages() const { return pages_; }
  std::size_t runs() const { return runs_.size(); }
  // The run that the page is in. REQUIRES: page < pages().
  const Run& at(std::size_t page) const { return *find(page); }

  // Calls `visit(Run)` for what lies in [first, first + count), in order, each run cut to that.
  template <class Visit>
  void visit(std::size_t first, std::size_t count, Visit&& visit) const {
    const std::size_t end = first + count;
    for (auto run = find(first); run != runs_.end() && run->first < end; ++run) {
      const std::size_t begin = std::max(run->first, first);
      visit(Run{begin, std::min(run->end(), end) - begin, run->state});
    }
  }

  // Makes sure that the next assign() needs no memory. False: there is none.
  [[nodiscard]] bool reserve() noexcept {
    if (runs_.capacity() - runs_.size() >= 2) return true;
    try {
      runs_.reserve(2 * runs_.size() + 2);
    } catch (const std::bad_alloc&) {
      return false;
    }
    return true;
  }
  // From now on `state` is so of [first, first + count). REQUIRES: reserve() since the last assign(), unless they are
  // all of a run; count > 0, and no page beyond the last.
  void assign(std::size_t first, std::size_t count, State state) noexcept {
    QUIRE_DCHECK(count > 0 && count <= pages_ && first <= pages_ - count);
    split(first);
    split(first + count);
    auto begin = find(first);
    const auto end = std::find_if(begin, runs_.end(),
                                  [&](const Run& run) { return run.first >= first + count; });
    *begin = {first, count, state};
    runs_.erase(std::next(begin), end);
    begin = find(first);
    if (const auto next = std::next(begin); next != runs_.end()) merge(begin, next);
    if (begin != runs_.begin()) merge(std::prev(begin), begin);
  }

 private:
  using Runs = std::vector<Run>;
  using Iterator = typename Runs::iterator;

  // Where the run is that the page is in.
  typename Runs::const_iterator find(std::size_t page) const {
    QUIRE_DCHECK(page < pages_);
    return std::prev(std::ranges::upper_bound(runs_, page, {}, &Run::first));
  }
  Iterator find(std::size_t page) {
    return runs_.begin() + (std::as_const(*this).find(page) - runs_.cbegin());
  }
  // A run begins at `page`.
  void split(std::size_t page) noexcept {
    if (page == pages_) return;
    const Iterator run = find(page);
    if (run->first == page) return;
    const Run rest{page, run->end() - page, run->state};
    run->count = page - run->first;
    runs_.insert(std::next(run), rest);
  }
  void merge(Iterator run, Iterator next) noexcept {
    if (!(run->state == next->state)) return;
    run->count += next->count;
    runs_.erase(next);
  }

  Runs runs_;
  std::size_t pages_;
};

}  // namespace quire::map

#endif  // QUIRE_MAP_PAGE_RUNS_H_
