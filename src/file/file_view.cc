#include "file/file_view.h"

#include <algorithm>
#include <array>
#include <utility>

#include "fault/planted.h"
#include "file/page_fault.h"
#include "quire/limits.h"
#include "sync/check.h"

namespace quire::file {

FileView::Shown FileView::show(std::uint64_t first, std::size_t pages_max) noexcept {
  QUIRE_DCHECK(shows(first));
  constexpr std::size_t run_max = limits::kShowPagesMax;
  pages_max =
      static_cast<std::size_t>(std::min<std::uint64_t>({pages_max, run_max, end_page() - first}));
  std::array<cache::PageWord*, run_max> words;
  std::size_t count = 0;
  std::optional<std::uint64_t> marked;
  {
    const cache::FilePages::Walker walker(*inode_);
    while (count < pages_max) {
      cache::PageWord* const word = inode_->find(first + count);
      if (word == nullptr) break;
      cache::PageValue value = word->load();
      if (!value.in_file() || !word->try_pin(value)) break;
      inode_->cache().memory().touch(value.frame());
      if (value.marker()) marked = first + count;
      words[count++] = word;
    }
  }
  if (count == 0) return {};
  const bool unpinned = fault::planted(fault::Planted::kShowUnpinned);
  const auto unpin = [&] {
    for (std::size_t i = 0; i < count; ++i) inode_->wake(first + i, words[i]->unpin());
    inode_->cache().memory().note_evictable();
  };
  if (unpinned) unpin();
  // Never for stores: a page that is dirty now may be under writeback before this has happened.
  const map::Done done = view_->resolve(place(first), count, map::Grant::kLoads);
  if (!unpinned) unpin();
  const std::size_t shown = done.bytes / limits::kPageBytes;
  return {true, shown, shown > 0 ? map::Stop::kNothing : done.stop, marked};
}

std::size_t FileView::pages_ahead(std::uint64_t page, std::uint64_t end) noexcept {
  // Several threads at once may take each other's place. It is a guess anyway.
  if (next_.load() != page) {
    ahead_.store(0);
    return 0;
  }
  const std::size_t pages =
      std::clamp(2 * ahead_.load(), limits::kFaultAroundPages, limits::kFaultAheadPagesMax);
  ahead_.store(pages);
  return static_cast<std::size_t>(std::min<std::uint64_t>(pages, end_page() - end));
}

std::error_code FileView::bring_in(std::uint64_t* first, std::uint64_t end, Access access,
                                   const sync::WaitLimit& limit) {
  const bool stores = access == Access::kStore;
  for (; *first < end; ++*first) {
    while (!stores && *first < end) {
      const Shown shown = show(*first, static_cast<std::size_t>(end - *first));
      // One that is in sight already stops the call, and is as good.
      const std::size_t pages = shown.stop == map::Stop::kMapped ? 1 : shown.pages;
      if (pages == 0) break;
      *first += pages;
    }
    if (*first == end) break;
    const auto awaited = std::make_shared<PageFault::Awaited>();
    std::error_code error = PageFault::want(service(), shared_from_this(), *first, stores, awaited);
    if (error) return error;
    // If it is left it goes on alone, and brings the page in for nobody.
    error = sync::to_error(awaited->waker.park(limit));
    if (!error) error = awaited->error;
    if (error) return error;
  }
  return {};
}

MappedMemory::Ready FileView::prepare(std::span<const std::byte> part, Access access,
                                      const sync::WaitLimit& limit) {
  const std::optional<std::size_t> place = view_->page_of(part.data());
  QUIRE_CHECK(place && !part.empty());
  const std::size_t in_page =
      static_cast<std::size_t>(part.data() - view_->memory().data()) % limits::kPageBytes;
  const std::uint64_t begin = first_page_ + *place;
  const std::uint64_t pages = cache::pages_of(in_page + part.size());
  if (access == Access::kStore &&
      !view_->allows(*place, static_cast<std::size_t>(pages), map::Access::kReadWrite)) {
    return {0, std::make_error_code(std::errc::bad_address)};
  }
  std::uint64_t first = begin;
  const std::error_code error = bring_in(&first, begin + pages, access, limit);
  if (!error) return {part.size(), {}};
  const std::uint64_t had = cache::page_offset(first - begin);
  return {had > in_page ? static_cast<std::size_t>(had - in_page) : 0, error};
}

void FileView::note_error(std::error_code error) noexcept {
  sync::MutexLock lock(mutex_);
  error_ = error;
}

void FileView::fail(std::uint64_t page, std::error_code error) noexcept {
  note_error(error);
  // Without memory for that the access is repeated, and fails again.
  if (!view_->fail(place(page), 1).ok()) view_->wake(place(page), 1);
  // Afterwards, or somebody could retry before there is anything to retry, and then nobody would.
  sync::MutexLock lock(mutex_);
  if (failed_first_ == failed_end_) {
    failed_first_ = page;
    failed_end_ = page + 1;
    retry_at_ = sync::deadline_after(limits::kFailedPageRetryAfter);
  } else {
    failed_first_ = std::min(failed_first_, page);
    failed_end_ = std::max(failed_end_, page + 1);
  }
}

std::error_code FileView::last_error() noexcept {
  sync::MutexLock lock(mutex_);
  return error_;
}

sync::Clock::time_point FileView::retry_failed(sync::Clock::time_point now) noexcept {
  std::uint64_t first = 0;
  std::uint64_t end = 0;
  {
    sync::MutexLock lock(mutex_);
    if (now < retry_at_) return retry_at_;
    first = std::exchange(failed_first_, 0);
    end = std::exchange(failed_end_, 0);
    retry_at_ = sync::Clock::kNever;
  }
  const Status cleared = view_->clear_failed(place(first), static_cast<std::size_t>(end - first));
  if (cleared.ok()) return sync::Clock::kNever;
  sync::MutexLock lock(mutex_);
  // There was no memory for it: later.
  failed_first_ = failed_first_ == failed_end_ ? first : std::min(failed_first_, first);
  failed_end_ = std::max(failed_end_, end);
  retry_at_ = sync::deadline_after(limits::kFailedPageRetryAfter);
  return retry_at_;
}

}  // namespace quire::file
