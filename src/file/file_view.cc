#include "file/file_view.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "cache/move_together.h"
#include "fault/planted.h"
#include "file/file_views.h"
#include "file/page_fault.h"
#include "quire/limits.h"
#include "sync/check.h"

namespace quire::file {

namespace {

// Where the block of pages begins that are shown together.
std::uint64_t block_of(std::uint64_t page) noexcept {
  return page / limits::kFaultAroundPages * limits::kFaultAroundPages;
}

}  // namespace

class FileView::Pinned {
 public:
  // Of [from, to) what can be: `page`, what follows on it, and what leads up to it. Those in frames are moved first, at
  // most `*moves`, which are counted down.
  Pinned(FileView& view, std::uint64_t from, std::uint64_t page, std::uint64_t to,
         std::size_t* moves) noexcept
      : inode_(view.inode()), from_(from), first_(page), end_(page) {
    QUIRE_DCHECK(from <= page && page < to && to - from <= words_.size());
    const cache::FilePages::Walker walker(inode_);
    while (end_ < to) {
      const Pin pinned = pin(end_);
      const auto before = static_cast<std::size_t>(end_ == page ? page - from : 0);
      const auto after = static_cast<std::size_t>(to - end_ - 1);
      if (pinned == Pin::kInFrame && move(end_, before, after, moves)) continue;
      if (pinned != Pin::kTaken) break;
      ++end_;
    }
    if (end_ == page) return;
    while (first_ > from) {
      const Pin pinned = pin(first_ - 1);
      const auto before = static_cast<std::size_t>(first_ - 1 - from);
      if (pinned == Pin::kInFrame && move(first_ - 1, before, 0, moves)) continue;
      if (pinned != Pin::kTaken) break;
      --first_;
    }
  }
  ~Pinned() { unpin(); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

  bool none() const noexcept { return first_ == end_; }
  std::uint64_t first() const noexcept { return first_; }
  std::uint64_t end() const noexcept { return end_; }
  // The last of them that starts a readahead.
  std::optional<std::uint64_t> marked() const noexcept { return marked_; }

  void unpin() noexcept {
    if (unpinned_ || none()) return;
    unpinned_ = true;
    for (std::uint64_t page = first_; page < end_; ++page) {
      inode_.wake(page, words_[page - from_]->unpin());
    }
    inode_.cache().memory().note_evictable();
  }

 private:
  enum class Pin : std::uint8_t { kTaken, kInFrame, kNot };
  Pin pin(std::uint64_t page) noexcept {
    cache::PageWord* const word = inode_.find(page);
    if (word == nullptr) return Pin::kNot;
    cache::PageValue value = word->load();
    if (!value.in_file()) return value.readable() ? Pin::kInFrame : Pin::kNot;
    if (!word->try_pin(value)) return Pin::kNot;
    inode_.cache().memory().touch(value.frame());
    if (value.marker()) marked_ = std::max(marked_.value_or(page), page);
    words_[page - from_] = word;
    return Pin::kTaken;
  }
  // The page, and those around it that lie in frames too. False: it is there as before.
  bool move(std::uint64_t page, std::size_t before, std::size_t after,
            std::size_t* moves) const noexcept {
    const std::size_t most = std::min(*moves, limits::kMovePagesMax);
    if (most == 0) return false;
    after = std::min(after, most - 1);
    before = std::min(before, most - 1 - after);
    const std::size_t moved = cache::MoveTogether(inode_).move(page, before, after);
    *moves -= moved;
    return moved > 0;
  }

  Inode& inode_;
  const std::uint64_t from_;
  std::uint64_t first_;
  std::uint64_t end_;
  bool unpinned_ = false;
  std::optional<std::uint64_t> marked_;
  std::array<cache::PageWord*, limits::kShowPagesMax> words_;
};

FileView::Shown FileView::show(const Pinned& pinned, std::uint64_t page) noexcept {
  // Never for stores: a page that is dirty now may be under writeback before this has happened.
  const auto resolve = [&](std::uint64_t first) {
    return view_->resolve(place(first), static_cast<std::size_t>(pinned.end() - first),
                          map::Grant::kLoads);
  };
  std::uint64_t first = pinned.first();
  map::Done done = resolve(first);
  if (first + done.bytes / limits::kPageBytes <= page && first < page) {
    // Something in front of the page stops it; most often that it is in sight.
    first = page;
    done = resolve(first);
  }
  const std::uint64_t end = first + done.bytes / limits::kPageBytes;
  const std::size_t shown = end > page ? static_cast<std::size_t>(end - page) : 0;
  return {true, shown, shown > 0 ? map::Stop::kNothing : done.stop, pinned.marked()};
}

FileView::Shown FileView::show(std::uint64_t first, std::size_t pages_max,
                               std::size_t* moves) noexcept {
  QUIRE_DCHECK(shows(first));
  const std::uint64_t to =
      std::min<std::uint64_t>({end_page(), first + pages_max, first + limits::kShowPagesMax});
  Pinned pinned(*this, first, first, to, moves);
  if (pinned.none()) return {};
  if (fault::planted(fault::Planted::kShowUnpinned)) pinned.unpin();
  return show(pinned, first);
}

FileView::Shown FileView::show_around(std::uint64_t page) noexcept {
  QUIRE_DCHECK(shows(page));
  const bool alone = shows_alone();
  Shown shown;
  {
    const std::uint64_t from = alone ? page : std::max(block_of(page), first_page_);
    const std::uint64_t to =
        alone ? page + 1 : std::min(block_of(page) + limits::kFaultAroundPages, end_page());
    std::size_t moves = limits::kFaultAroundPages;
    Pinned pinned(*this, from, page, to, &moves);
    if (pinned.none()) return {};
    if (fault::planted(fault::Planted::kShowUnpinned)) pinned.unpin();
    shown = show(pinned, page);
  }
  note_marked(shown);
  if (shown.pages > 0 && !alone) show_ahead(page, page + shown.pages);
  return shown;
}

void FileView::note_marked(const Shown& shown) noexcept {
  if (shown.pages == 0 || !shown.marked) return;
  if (in_thread()) {
    ahead_.begin(*shown.marked);
  } else {
    ahead_of_marker(*inode_, readahead_, *shown.marked);
  }
}

void FileView::show_ahead(std::uint64_t page, std::uint64_t end) noexcept {
  // Several threads at once may take each other's place. It is a guess anyway.
  const bool follows = expected_.load() == page;
  const std::size_t wanted = follows
                                 ? std::clamp(2 * shown_ahead_.load(), limits::kFaultAroundPages,
                                              limits::kFaultAheadPagesMax)
                                 : 0;
  shown_ahead_.store(wanted);
  const std::uint64_t to = std::min<std::uint64_t>(end + wanted, end_page());
  // The program goes on while its next pages are shown.
  expected_.store(to);
  std::size_t moves = limits::kMoveAheadPagesMax;
  while (end < to) {
    const Shown more = show(end, static_cast<std::size_t>(to - end), &moves);
    note_marked(more);
    if (more.pages == 0) break;
    end += more.pages;
  }
  expected_.store(end);
}

void FileView::Ahead::begin(std::uint64_t page) noexcept {
  page_.store(page);
  if (posted_.exchange(true)) return;
  self_ = view_.shared_from_this();
  in_use_.emplace(view_.inode());
  view_.service().post(*this);
}

void FileView::Ahead::run() noexcept {
  // The last that keeps the view, perhaps.
  const std::shared_ptr<FileView> self = std::move(self_);
  ahead_of_marker(view_.inode(), view_.readahead(), page_.load());
  in_use_.reset();
  posted_.store(false);
}

std::size_t FileView::stores_ahead(std::uint64_t page) noexcept {
  // Several threads at once may take each other's place. It is a guess anyway.
  const std::size_t row = expected_store_.load() == page ? stores_in_row_.load() + 1 : 0;
  stores_in_row_.store(row);
  expected_store_.store(page + 1);
  if (row < 2 || !stores_in_order_.load(std::memory_order_relaxed)) return 0;
  const std::size_t wanted = row < 8 ? std::size_t{1} << (row - 1) : limits::kStoresAheadPagesMax;
  const std::uint64_t end = std::min(end_page(), cache::pages_of(inode_->size_bytes()));
  return static_cast<std::size_t>(std::min<std::uint64_t>(
      std::min(wanted, limits::kStoresAheadPagesMax), end > page + 1 ? end - page - 1 : 0));
}

void FileView::hold_ahead(std::uint64_t first, std::size_t pages_max,
                          cache::WriteRun& run) noexcept {
  if (pages_max == 0 || !view_->allows(place(first), pages_max, map::Access::kReadWrite)) return;
  cache::DirtyBudget& credits = inode_->cache().dirty();
  if (!credits.try_take(pages_max)) return;
  run.try_begin(first, pages_max);
  SpaceBook* const space = inode_->space();
  const auto covered = [&](std::size_t pages) {
    return pages == 0 || space == nullptr || space->covers({first, first + pages});
  };
  if (!covered(run.pages())) {
    std::size_t pages = 0;
    while (covered(pages + 1)) ++pages;
    run.shrink(pages);
  }
  if (run.pages() < pages_max) credits.give(pages_max - run.pages());
  expected_store_.store(first + run.pages());
}

map::Stop FileView::let_store(std::uint64_t page, bool in_sight,
                              cache::ParkedWrite& held) noexcept {
  inode_->stamp_change();
  const bool watches = view_->watches();
  cache::WriteRun ahead(*inode_);
  const bool early = fault::planted(fault::Planted::kStoresAheadCountedEarly);
  if (early) {
    inode_->append_places().note_change();
    fault::meet_between();
  }
  if (!watches) hold_ahead(page + 1, stores_ahead(page), ahead);
  const std::size_t pages = 1 + ahead.pages();
  // When all are held: who makes the place of an append, and is not seen here, waits for them.
  if (!early) inode_->append_places().note_change();
  if (fault::planted(fault::Planted::kStoresAheadForgotten)) {
    inode_->cache().dirty().give(ahead.pages());
    ahead.shrink(0);
  }
  // Before anybody can store: or a sync that follows on the store could find nothing to write.
  if (!fault::planted(fault::Planted::kStoreListedLate)) held.admit_stores();
  if (!fault::planted(fault::Planted::kStoresAheadListedLate)) ahead.admit_stores();
  map::Done done = {0, map::Stop::kMapped};
  if (!in_sight) done = view_->resolve(place(page), pages, map::Grant::kLoadsAndStores);
  bool let = done.bytes > 0;
  // There is a translation, without leave to store; if the view watches, that needs none.
  if (done.stop == map::Stop::kMapped && !watches) {
    done = view_->unprotect(place(page), pages);
    let |= done.bytes > 0;
  }
  fault::meet_between();
  if (fault::planted(fault::Planted::kStoreListedLate)) held.admit_stores();
  if (fault::planted(fault::Planted::kStoresAheadListedLate)) ahead.admit_stores();
  held.finish(watches);
  ahead.finish();
  // What comes after the page may have stopped it: then a store there is asked about.
  const map::Stop stop = let ? map::Stop::kNothing : done.stop;
  if (stop != map::Stop::kNoMemory) inode_->cache().balance_dirty();
  return stop;
}

map::Stop FileView::let_watched_load(std::uint64_t page, cache::ParkedWrite& held) noexcept {
  // As in let_store(): who can load the page can store into it.
  const bool watched = held.watched();
  inode_->append_places().note_change();
  held.admit_unheard();
  bool stored = false;
  if (watched) {
    // It is forgotten when the page is shown.
    stored = view_->stored(place(page), 1).stored.test(0);
    if (stored) inode_->note_heard();
  } else {
    static_cast<FileViews&>(inode_->views()).begin_watching(page, *view_);
  }
  const map::Done done = view_->resolve(place(page), 1, map::Grant::kMarkedStores);
  held.finish_unheard(stored);
  if (done.stop != map::Stop::kNoMemory) inode_->cache().balance_dirty();
  return done.stop;
}

void FileView::advise(Advice advice) noexcept {
  alone_.store(advice == Advice::kRandom, std::memory_order_relaxed);
  stores_in_order_.store(advice == Advice::kSequential, std::memory_order_relaxed);
  sync::MutexLock lock(readahead_.mutex);
  readahead_.state.advise(advice);
}

std::error_code FileView::bring_in(std::uint64_t* first, std::uint64_t end, Access access,
                                   const sync::WaitLimit& limit) {
  const bool stores = access == Access::kStore;
  for (; *first < end; ++*first) {
    while (!stores && *first < end) {
      std::size_t moves = limits::kShowPagesMax;
      const Shown shown = show(*first, static_cast<std::size_t>(end - *first), &moves);
      // One that is in sight already stops the call, and is as good.
      const std::size_t pages = shown.stop == map::Stop::kMapped ? 1 : shown.pages;
      if (pages == 0) break;
      *first += pages;
    }
    if (*first == end) break;
    const auto awaited = std::make_shared<PageFault::Awaited>();
    std::error_code error = PageFault::want(service(), shared_from_this(), *first, stores, awaited);
    // If it is left it goes on alone, and brings the page in for nobody.
    if (!error) error = awaited->wait(limit);
    if (error) return error;
  }
  return {};
}

template <class Copy>
MappedMemory::Copied FileView::for_each_page(std::span<const std::byte> part, Copy&& copy) {
  const std::optional<std::size_t> place = view_->page_of(part.data());
  QUIRE_CHECK(place && !part.empty());
  std::uint64_t page = first_page_ + *place;
  auto in_page =
      static_cast<std::size_t>(part.data() - view_->memory().data()) % limits::kPageBytes;
  Copied copied;
  while (copied.bytes < part.size()) {
    const std::size_t bytes = std::min(limits::kPageBytes - in_page, part.size() - copied.bytes);
    copied.error = copy(page, in_page, copied.bytes, bytes);
    if (copied.error) break;
    copied.bytes += bytes;
    in_page = 0;
    ++page;
  }
  return copied;
}

MappedMemory::Copied FileView::load(std::span<const std::byte> part, std::span<std::byte> to,
                                    const sync::WaitLimit& limit) {
  return for_each_page(part,
                       [&](std::uint64_t page, std::size_t in_page, std::size_t at,
                           std::size_t bytes) -> std::error_code {
                         const std::span<std::byte> here = to.subspan(at, bytes);
                         const bool in_file =
                             page < cache::pages_of(inode_->size_bytes()) && !inode_->broken();
                         const auto copy = [&](const std::byte* of_page) {
                           std::memcpy(here.data(), of_page + in_page, here.size());
                         };
                         if (in_file && load_cached(page, copy)) return {};
                         const auto awaited = std::make_shared<PageFault::Awaited>(in_page, here);
                         const std::error_code error =
                             PageFault::want(service(), shared_from_this(), page, false, awaited);
                         return error ? error : awaited->wait(limit);
                       });
}

MappedMemory::Copied FileView::store(std::span<std::byte> part, std::span<const std::byte> from,
                                     const sync::WaitLimit& limit) {
  return for_each_page(
      part,
      [&](std::uint64_t page, std::size_t in_page, std::size_t at,
          std::size_t bytes) -> std::error_code {
        if (!view_->allows(place(page), 1, map::Access::kReadWrite)) {
          return std::make_error_code(std::errc::bad_address);
        }
        const auto awaited = std::make_shared<PageFault::Awaited>(in_page, from.subspan(at, bytes));
        std::error_code error = PageFault::want(service(), shared_from_this(), page, true, awaited);
        if (!error) error = awaited->wait(limit);
        if (!error) note_had(page);
        return error;
      });
}

void FileView::note_error(std::error_code error) noexcept {
  sync::MutexLock lock(mutex_);
  error_ = error;
}

void FileView::fail(std::uint64_t page, std::error_code error) noexcept {
  note_error(error);
  // Without memory for that the access is repeated, and fails again.
  if (!view_->fail(place(page), 1).ok()) view_->wake(place(page), 1);
  {
    // Afterwards, or note_had() could find nothing to clear, and then nobody would.
    sync::MutexLock lock(mutex_);
    if (failed_.add(page, sync::deadline_after(limits::kFailedPageRetryAfter))) return;
  }
  // Rather too soon than never.
  static_cast<void>(view_->clear_failed(place(page), 1));
}

void FileView::note_had(std::uint64_t page) noexcept {
  std::optional<FailedPages::Time> until;
  {
    sync::MutexLock lock(mutex_);
    until = failed_.until(page);
    if (!until) return;
  }
  // Without memory for that it is retried when it is due.
  if (!view_->clear_failed(place(page), 1).ok()) return;
  sync::MutexLock lock(mutex_);
  // It may have failed again since.
  if (failed_.until(page) == until) failed_.remove(page);
}

std::error_code FileView::last_error() noexcept {
  sync::MutexLock lock(mutex_);
  return error_;
}

sync::Clock::time_point FileView::retry_failed(sync::Clock::time_point now) noexcept {
  for (;;) {
    FailedPages::Run due;
    {
      sync::MutexLock lock(mutex_);
      const sync::Clock::time_point next = std::max(failed_.next(), retry_after_);
      const std::optional<FailedPages::Run> found = now < next ? std::nullopt : failed_.due(now);
      if (!found) return next;
      due = *found;
    }
    const Status cleared =
        view_->clear_failed(place(due.first), static_cast<std::size_t>(due.end - due.first));
    sync::MutexLock lock(mutex_);
    if (cleared.ok()) {
      failed_.remove(due, now);
    } else {
      // There was no memory for it: later.
      retry_after_ = now + limits::kFailedPageRetryAfter;
    }
  }
}

}  // namespace quire::file
