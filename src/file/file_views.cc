#include "file/file_views.h"

#include <algorithm>
#include <new>

#include "fault/planted.h"
#include "sync/check.h"

namespace quire::file {
namespace {

constexpr std::uint64_t kAskedAtOnce = map::StoreMarks::kPagesMax;

class Holding {
 public:
  Holding(sync::RwLock& lock, sync::RwMode mode) noexcept : lock_(lock), mode_(mode) {
    QUIRE_CHECK(lock_.lock(mode_) == sync::WaitStatus::kReady);
  }
  ~Holding() { lock_.unlock(mode_); }
  Holding(const Holding&) = delete;
  Holding& operator=(const Holding&) = delete;

 private:
  sync::RwLock& lock_;
  const sync::RwMode mode_;
};

}  // namespace

bool FileViews::add(map::View& view, std::uint64_t first_page, cache::FilePages& pages) noexcept {
  const Holding lock(lock_, sync::RwMode::kWrite);
  try {
    views_.push_back({&view, first_page});
  } catch (const std::bad_alloc&) {
    return false;
  }
  if (!view.watches()) return true;
  pages.for_each_watched(first_page, first_page + view.pages() - 1,
                         [&](std::uint64_t begin, std::uint64_t run) {
                           for (const std::uint64_t end = begin + run; begin < end;) {
                             const std::uint64_t here = std::min(end - begin, kAskedAtOnce);
                             // The question leaves the mark.
                             (void)view.stored(static_cast<std::size_t>(begin - first_page),
                                               static_cast<std::size_t>(here));
                             begin += here;
                           }
                         });
  return true;
}

void FileViews::remove(const map::View& view) noexcept {
  const Holding lock(lock_, sync::RwMode::kWrite);
  std::erase_if(views_, [&](const Shown& shown) { return shown.view == &view; });
}

template <class Act>
void FileViews::for_each(std::uint64_t first, std::uint64_t count, const Act& act) const noexcept {
  for (const Shown& shown : views_) {
    const std::uint64_t begin = std::max(first, shown.first_page);
    const std::uint64_t end = std::min(first + count, shown.first_page + shown.view->pages());
    if (begin >= end) continue;
    act(*shown.view, static_cast<std::size_t>(begin - shown.first_page),
        static_cast<std::size_t>(end - begin), begin);
    if (fault::planted(fault::Planted::kFirstViewAlone)) return;
  }
}

void FileViews::hear(map::View& view, std::size_t first, std::size_t count, cache::FilePages& pages,
                     std::uint64_t page) noexcept {
  if (!view.watches()) return;
  bool heard = false;
  // Out of sight first, where it is not closed off: a store between the answer and the end would be lost.
  view.zap(first, count);
  pages.for_each_watched(page, page + count - 1, [&](std::uint64_t begin, std::uint64_t run) {
    for (const std::uint64_t end = begin + run; begin < end; begin += kAskedAtOnce) {
      const std::size_t here = static_cast<std::size_t>(std::min(end - begin, kAskedAtOnce));
      const map::View::Stored said =
          view.stored(first + static_cast<std::size_t>(begin - page), here);
      for (std::size_t i = 0; i < here; ++i) {
        if (said.stored.test(i)) pages.find(begin + i)->note_stored();
      }
      heard |= said.stored.any();
    }
  });
  if (heard) pages.note_heard();
}

Status FileViews::unmap(map::View& view, std::size_t first, std::size_t count,
                        cache::FilePages& pages, std::uint64_t page) noexcept {
  if (!view.watches()) return view.unmap(first, count);
  const Holding lock(lock_, sync::RwMode::kWrite);
  hear(view, first, count, pages, page);
  return view.unmap(first, count);
}

void FileViews::hear_last(map::View& view, std::size_t first, std::size_t count,
                          cache::FilePages& pages, std::uint64_t page) noexcept {
  if (!view.watches()) return;
  const Holding lock(lock_, sync::RwMode::kWrite);
  hear(view, first, count, pages, page);
}

void FileViews::begin_watching(std::uint64_t page, const map::View& by) noexcept {
  const Holding lock(lock_, sync::RwMode::kRead);
  for_each(page, 1, [&](map::View& view, std::size_t at, std::size_t pages, std::uint64_t) {
    if (&view != &by && view.watches()) (void)view.stored(at, pages);
  });
}

void FileViews::protect(std::uint64_t first, std::uint64_t count) noexcept {
  const Holding lock(lock_, sync::RwMode::kRead);
  for_each(first, count, [](map::View& view, std::size_t at, std::size_t pages, std::uint64_t) {
    if (!view.watches()) view.protect(at, pages);
  });
}

void FileViews::hide(std::uint64_t first, std::uint64_t count) noexcept {
  const Holding lock(lock_, sync::RwMode::kRead);
  for_each(first, count, [](map::View& view, std::size_t at, std::size_t pages, std::uint64_t) {
    view.zap(at, pages);
  });
}

void FileViews::ask(std::uint64_t first, std::uint64_t count, Told& told) noexcept {
  const Holding lock(lock_, sync::RwMode::kRead);
  for (; count > 0;
       first += std::min(count, kAskedAtOnce), count -= std::min(count, kAskedAtOnce)) {
    const std::uint64_t here = std::min(count, kAskedAtOnce);
    map::View::Stored all;
    for_each(first, here,
             [&](map::View& view, std::size_t at, std::size_t pages, std::uint64_t page) {
               if (!view.watches()) return;
               const map::View::Stored some = view.stored(at, pages);
               const auto place = static_cast<std::size_t>(page - first);
               all.mapped |= some.mapped << place;
               all.stored |= some.stored << place;
             });
    for (std::size_t i = 0; i < here; ++i) {
      told.told(first + i, all.mapped.test(i), all.stored.test(i));
    }
  }
}

}  // namespace quire::file
