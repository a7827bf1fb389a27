#include "file/space_book.h"

#include <algorithm>
#include <iterator>

#include "sync/check.h"

namespace quire::file {

SpaceBook::Pages SpaceBook::part(std::uint64_t number, PageRange pages) noexcept {
  const std::uint64_t base = number * kChunkPages;
  const std::uint64_t from = pages.first > base ? pages.first - base : 0;
  const std::uint64_t to = std::min(pages.end - base, kChunkPages);
  Pages result;
  if (pages.end <= base || from >= to) return result;
  result.set();
  result >>= kChunkPages - (to - from);
  return result << from;
}

bool SpaceBook::covers(PageRange pages) noexcept {
  const std::uint64_t first = pages.first / kChunkPages;
  const std::uint64_t last = (pages.end - 1) / kChunkPages;
  if (first == last && slot(first).load() == first + 1) return true;
  if (off_.load()) return true;
  sync::MutexLock lock(mutex_);
  for (std::uint64_t number = first; number <= last; ++number) {
    const auto chunk = chunks_.find(number);
    if (chunk == chunks_.end()) return false;
    const Pages needed = part(number, pages);
    if ((chunk->second.promised & needed) != needed) return false;
  }
  return true;
}

bool SpaceBook::next(PageRange need, PageRange held, SpaceRequest* request) {
  QUIRE_DCHECK(held.first <= need.first && need.end <= held.end);
  if (off_.load()) return false;
  sync::MutexLock lock(mutex_);
  std::uint64_t page = need.first;
  std::uint64_t number = 0;
  Pages missing;
  for (; page < need.end; page = (number + 1) * kChunkPages) {
    number = page / kChunkPages;
    missing = part(number, need);
    const auto chunk = chunks_.find(number);
    if (chunk != chunks_.end()) missing &= ~chunk->second.promised;
    if (missing.any()) break;
  }
  if (page >= need.end) return false;
  const std::uint64_t base = number * kChunkPages;
  std::size_t first = 0;
  std::size_t end = kChunkPages;
  while (!missing[first]) ++first;
  while (!missing[end - 1]) --end;
  const std::uint64_t look = std::max(base, held.first);
  *request = {};
  request->offset = look * limits::kPageBytes;
  request->pages = static_cast<std::size_t>(std::min(base + kChunkPages, held.end) - look);
  request->first = static_cast<std::size_t>(base + first - look);
  request->end = static_cast<std::size_t>(base + end - look);
  return true;
}

void SpaceBook::look_ahead(SpaceRequest* request, std::uint64_t size_pages) {
  const std::uint64_t base = request->offset / limits::kPageBytes;
  const std::uint64_t first = base + request->first;
  const bool beyond = base + request->pages > size_pages;
  sync::MutexLock lock(mutex_);
  // What cannot be given back is not taken.
  if (!tells_ || (beyond && kept_end_ > size_pages)) return;
  // Page 0 is where every file begins, and most end soon.
  const auto writer = std::find(writers_.begin(), writers_.end(), first);
  if (first != 0 && writer != writers_.end()) request->end = request->pages;
}

void SpaceBook::answered(const SpaceRequest& request, bool succeeded, std::uint64_t size_pages) {
  const std::uint64_t base = request.offset / limits::kPageBytes;
  const std::uint64_t number = base / kChunkPages;
  const auto shift = static_cast<std::size_t>(base - number * kChunkPages);
  const PageRange wanted = {base + request.first, base + request.end};
  const Pages asked = wanted.first < wanted.end ? part(number, wanted) : Pages{};
  sync::MutexLock lock(mutex_);
  tells_ = request.told;
  const auto writer = std::find(writers_.begin(), writers_.end(), wanted.first);
  std::uint64_t& place = writer != writers_.end() ? *writer : writers_[writer_++ % kWriters];
  place = succeeded ? wanted.end : 0;
  if (!succeeded && !request.told) return;

  Chunk& chunk = find_or_add(number);
  const std::size_t fresh_before = chunk.fresh.count();
  const Pages had = request.had_space << shift;
  // Space behind the end of the file that is none of ours was taken by somebody for a purpose.
  const Pages others = had & ~chunk.fresh;
  for (std::size_t i = kChunkPages; i > 0 && number * kChunkPages + i > size_pages; --i) {
    if (!others[i - 1]) continue;
    kept_end_ = std::max(kept_end_, number * kChunkPages + i);
    break;
  }
  // What had none a moment ago had none before either, whatever an earlier request that failed may have taken.
  const Pages none = request.had_none << shift;
  chunk.promised = (chunk.promised & ~none) | had;
  if (succeeded) chunk.promised |= asked;
  chunk.fresh = (chunk.fresh & ~none) | (none & asked);
  note(number, chunk, fresh_before);
}

void SpaceBook::give_up() noexcept {
  off_.store(true);
  forget();
}

template <class Change>
void SpaceBook::change(PageRange pages, const Change& change) noexcept {
  if (pages.first >= pages.end) return;
  sync::MutexLock lock(mutex_);
  auto chunk = chunks_.lower_bound(pages.first / kChunkPages);
  while (chunk != chunks_.end() && chunk->first * kChunkPages < pages.end) {
    const auto here = chunk++;
    const std::size_t fresh_before = here->second.fresh.count();
    change(here->second, part(here->first, pages));
    note(here->first, here->second, fresh_before);
    if (here->second.promised.none() && here->second.fresh.none()) erase(here);
  }
}

void SpaceBook::written(PageRange pages) noexcept {
  if (fresh_pages_.load() == 0) return;
  change(pages, [](Chunk& chunk, const Pages& part) { chunk.fresh &= ~part; });
}

void SpaceBook::cut(PageRange pages) noexcept {
  change(pages, [](Chunk& chunk, const Pages& part) {
    chunk.promised &= ~part;
    chunk.fresh &= ~part;
  });
}

void SpaceBook::truncated(std::uint64_t size_pages, bool shrank) noexcept {
  const PageRange beyond = {size_pages, ~std::uint64_t{0}};
  if (!shrank) {
    doubt(beyond);
    return;
  }
  cut(beyond);
  sync::MutexLock lock(mutex_);
  kept_end_ = std::min(kept_end_, size_pages);
}

void SpaceBook::kept(PageRange pages) noexcept {
  change(pages, [](Chunk& chunk, const Pages& part) {
    chunk.promised |= part;
    chunk.fresh &= ~part;
  });
  sync::MutexLock lock(mutex_);
  kept_end_ = std::max(kept_end_, pages.end);
}

void SpaceBook::doubt(PageRange pages) noexcept {
  change(pages, [](Chunk& chunk, const Pages& part) { chunk.promised &= ~part; });
}

std::vector<PageRange> SpaceBook::fresh(PageRange pages) const {
  std::vector<PageRange> ranges;
  sync::MutexLock lock(mutex_);
  for (auto chunk = chunks_.lower_bound(pages.first / kChunkPages);
       chunk != chunks_.end() && chunk->first * kChunkPages < pages.end; ++chunk) {
    const Pages found = chunk->second.fresh & part(chunk->first, pages);
    for (std::size_t i = 0; i < kChunkPages && found.any(); ++i) {
      if (!found[i]) continue;
      const std::uint64_t page = chunk->first * kChunkPages + i;
      if (ranges.empty() || ranges.back().end != page) ranges.push_back({page, page});
      ranges.back().end = page + 1;
    }
  }
  return ranges;
}

bool SpaceBook::keeps_beyond(std::uint64_t size_pages) const noexcept {
  sync::MutexLock lock(mutex_);
  return kept_end_ > size_pages;
}

void SpaceBook::note(std::uint64_t number, const Chunk& chunk, std::size_t fresh_before) noexcept {
  const std::size_t fresh = chunk.fresh.count();
  fresh_pages_.store(fresh_pages_.load() + fresh - fresh_before);
  if (fresh > fresh_before) counters_.reserved_pages.fetch_add(fresh - fresh_before);
  if (fresh < fresh_before) counters_.reserved_pages.fetch_sub(fresh_before - fresh);
  if (chunk.promised.all()) {
    slot(number).store(number + 1);
  } else if (slot(number).load() == number + 1) {
    slot(number).store(0);
  }
}

SpaceBook::Chunk& SpaceBook::find_or_add(std::uint64_t number) {
  const auto known = chunks_.find(number);
  if (known != chunks_.end()) return known->second;
  if (chunks_.size() >= kChunksOfAFile &&
      counters_.space_chunks.load() >= limits::kSpaceChunksMax) {
    // Each in its turn; a fresh page must not be forgotten.
    auto old = chunks_.lower_bound(hand_);
    for (std::size_t seen = 0; seen < chunks_.size(); ++seen) {
      if (old == chunks_.end()) old = chunks_.begin();
      if (old->second.fresh.none()) break;
      ++old;
    }
    if (old == chunks_.end()) old = chunks_.begin();
    if (old->second.fresh.none()) {
      hand_ = old->first + 1;
      erase(old);
    }
  }
  counters_.space_chunks.fetch_add(1);
  return chunks_[number];
}

void SpaceBook::erase(Chunks::iterator chunk) noexcept {
  if (slot(chunk->first).load() == chunk->first + 1) slot(chunk->first).store(0);
  chunks_.erase(chunk);
  counters_.space_chunks.fetch_sub(1);
}

}  // namespace quire::file
