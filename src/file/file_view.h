// FileView: one mapping of a file, as all see it who have to do with it: the program's Mapping, which made it and
// will unmap it; faults, which bring its pages into sight; reads and writes whose buffer lies in it.
//
// Who calls: map and unmap (mapping.cc) make and close one; any thread the rest. Alive as long as anybody holds it,
// mapped or not: what is done to a part that is unmapped does nothing.
#ifndef QUIRE_FILE_FILE_VIEW_H_
#define QUIRE_FILE_FILE_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>

#include "cache/parked_write.h"
#include "cache/write_run.h"
#include "file/buffered.h"
#include "file/failed_pages.h"
#include "file/fault_service.h"
#include "file/inode.h"
#include "file/mapping_table.h"
#include "map/view.h"
#include "quire/file.h"
#include "sync/atomic.h"
#include "sync/clock.h"
#include "sync/mutex.h"

namespace quire::file {

class FileView final : public MappedMemory, public std::enable_shared_from_this<FileView> {
 public:
  FileView(FaultService::Use service, std::shared_ptr<Inode> inode, cache::FilePages::Mapped mapped,
           std::unique_ptr<map::View> view, std::uint64_t first_page)
      : service_(std::move(service)),
        inode_(std::move(inode)),
        mapped_(std::move(mapped)),
        view_(std::move(view)),
        first_page_(first_page),
        readahead_(inode_->cache().budget().readahead_max_pages) {}
  FileView(const FileView&) = delete;
  FileView& operator=(const FileView&) = delete;

  Inode& inode() const noexcept { return *inode_; }
  const std::shared_ptr<Inode>& shared_inode() const noexcept { return inode_; }
  map::View& view() const noexcept { return *view_; }
  FaultService& service() const noexcept { return *service_; }
  // MapOptions::in_thread: nobody fails a page for it, and all accesses are asked about.
  bool in_thread() const noexcept { return service_->way().in_thread; }
  SharedReadahead& readahead() noexcept { return readahead_; }
  // Of the file: what the mapping begins with, and what lies behind its end.
  std::uint64_t first_page() const noexcept { return first_page_; }
  std::uint64_t end_page() const noexcept { return first_page_ + view_->pages(); }
  bool shows(std::uint64_t page) const noexcept { return page >= first_page_ && page < end_page(); }
  // Where in the view the file's page is. REQUIRES: shows().
  std::size_t place(std::uint64_t page) const noexcept {
    return static_cast<std::size_t>(page - first_page_);
  }

  // Brings pages from `first` on into sight for loads: those that are cached and that nobody changes, at most
  // `pages_max`, up to the first that is not so. Each is pinned until it is in sight: else one that is dropped and
  // added again meanwhile would be shown half filled. One system call, so limits::kShowPagesMax at most. Pages that are
  // in frames are moved together, as far as nobody is at them (cache/move_together.h), at most `*moves`, which is
  // counted down. Says how many are shown, and what stopped it if that is none.
  struct Shown {
    bool ready = false;  // the first page is one that can be shown
    std::size_t pages = 0;
    map::Stop stop = map::Stop::kNothing;
    std::optional<std::uint64_t> marked;  // among them is a page that starts the next readahead
  };
  Shown show(std::uint64_t first, std::size_t pages_max, std::size_t* moves) noexcept;
  // The same for `page`, and for those around it in its block of kFaultAroundPages, by one system call where all of
  // them are out of sight. `pages` counts from `page` on; what is in front of it is as far as it goes. Where the page
  // follows on those that were shown last those that come next are shown too: more each time, up to
  // limits::kFaultAheadPagesMax, while the program goes on. Under Advice::kRandom the page alone.
  Shown show_around(std::uint64_t page) noexcept;
  // Lets stores to `page` through, which `held` holds: it is dirty then, has a credit of the caller's, and is let go.
  // `in_sight`: it is, for loads. What stopped it, if nothing was let through. Under Advice::kSequential, where
  // a program stores into page after page, those that come next are let through with it: more each time, up to
  // limits::kStoresAheadPagesMax, and never more than were stored into before; as far as they are cached, have space at
  // the store and a credit, and nobody is at them.
  map::Stop let_store(std::uint64_t page, bool in_sight, cache::ParkedWrite& held) noexcept;
  // The same for a load. REQUIRES: the view watches, and nobody has changed the page since it was held.
  map::Stop let_watched_load(std::uint64_t page, cache::ParkedWrite& held) noexcept;
  // Takes effect with the next fault.
  void advise(Advice advice) noexcept;
  bool shows_alone() const noexcept { return alone_.load(std::memory_order_relaxed); }

  // See MappedMemory. Of the pages as the engine has them, in sight or not: loads of what is cached take no system
  // call; what is not, and every store, goes the way of a fault, which copies.
  Copied load(std::span<const std::byte> part, std::span<std::byte> to,
              const sync::WaitLimit& limit) override;
  Copied store(std::span<std::byte> part, std::span<const std::byte> from,
               const sync::WaitLimit& limit) override;
  // Calls copy(bytes of the page) while it is pinned. False: it is not cached, or somebody changes it.
  template <class Copy>
  bool load_cached(std::uint64_t page, Copy&& copy) noexcept;
  // Brings pages [*first, end) of the file into sight. Sets *first to the one that could not be had, or to `end`.
  std::error_code bring_in(std::uint64_t* first, std::uint64_t end, Access access,
                           const sync::WaitLimit& limit);

  // What last_error() says from now on.
  void note_error(std::error_code error) noexcept;
  // An access to the page cannot be had: it raises SIGBUS, and so does every access to it until retry_failed() finds
  // that limits::kFailedPageRetryAfter is over. On the service's thread.
  void fail(std::uint64_t page, std::error_code error) noexcept;
  // The page has been had after all: accesses are asked about again, if it had failed.
  void note_had(std::uint64_t page) noexcept;
  // Why the last one failed; zero if none did.
  std::error_code last_error() noexcept;
  // Accesses to pages that failed are asked about again, to each if it is its time. When to ask next; kNever if none
  // failed. On the service's thread.
  sync::Clock::time_point retry_failed(sync::Clock::time_point now) noexcept;

 private:
  // Reads ahead on the service's thread, for an access that is answered in its own (in_thread_fault.h).
  class Ahead final : public map::Posted {
   public:
    explicit Ahead(FileView& view) noexcept : view_(view) {}
    // Somebody came to that page, which has a marker. Of two at once one is enough.
    void begin(std::uint64_t page) noexcept;
    void run() noexcept override;

   private:
    FileView& view_;
    sync::Atomic<std::uint64_t> page_{0};
    sync::Atomic<bool> posted_{false};
    // While it is posted.
    std::shared_ptr<FileView> self_;
    std::optional<cache::FilePages::InUse> in_use_;
  };
  // Pages [first, end) of the file, all pinned, and `page` among them; none if that cannot be shown. Those around it
  // only as far as they can be.
  class Pinned;
  Shown show(const Pinned& pinned, std::uint64_t page) noexcept;
  // An access to `page` was answered, and the pages up to `end` are in sight.
  void show_ahead(std::uint64_t page, std::uint64_t end) noexcept;
  // A first store to `page` is being answered: how many pages shall be let through after it.
  std::size_t stores_ahead(std::uint64_t page) noexcept;
  // Holds pages for stores from `first` on, `pages_max` at most, and takes a credit for each.
  void hold_ahead(std::uint64_t first, std::size_t pages_max, cache::WriteRun& run) noexcept;
  // What was shown may start a readahead.
  void note_marked(const Shown& shown) noexcept;
  // Calls copy(page, in_page, at, bytes) for each page of `part`, until one gives an error.
  template <class Copy>
  Copied for_each_page(std::span<const std::byte> part, Copy&& copy);

  // First, so that it goes last: the view is one of its userfaultfd's.
  const FaultService::Use service_;
  const std::shared_ptr<Inode> inode_;
  // Longer than the view: until nobody can ask for a page of it any more.
  const cache::FilePages::Mapped mapped_;
  const std::unique_ptr<map::View> view_;
  const std::uint64_t first_page_;
  SharedReadahead readahead_;
  Ahead ahead_{*this};
  sync::Atomic<bool> alone_{false};  // a fault reads and shows its page alone
  // Where the access is that follows on those before, and how many pages were shown ahead of the last.
  sync::Atomic<std::uint64_t> expected_{~std::uint64_t{0}};
  sync::Atomic<std::size_t> shown_ahead_{0};
  // The same of first stores; and how many followed, one on the other.
  sync::Atomic<bool> stores_in_order_{false};  // the program says so
  sync::Atomic<std::uint64_t> expected_store_{~std::uint64_t{0}};
  sync::Atomic<std::size_t> stores_in_row_{0};

  sync::Mutex mutex_;
  std::error_code error_ GUARDED_BY(mutex_);
  FailedPages failed_ GUARDED_BY(mutex_);
  // None is retried before: there was no memory for that.
  sync::Clock::time_point retry_after_ GUARDED_BY(mutex_) = sync::Clock::time_point::min();
};

template <class Copy>
bool FileView::load_cached(std::uint64_t page, Copy&& copy) noexcept {
  cache::PageWord* word = nullptr;
  cache::PageValue value;
  {
    const cache::FilePages::Walker walker(*inode_);
    word = inode_->find(page);
    if (word == nullptr) return false;
    value = word->load();
    if (!word->try_pin(value)) return false;
  }
  inode_->cache().memory().touch(value.frame());
  copy(static_cast<const std::byte*>(inode_->bytes(page, value)));
  inode_->wake(page, word->unpin());
  inode_->cache().memory().note_evictable();
  if (value.marker()) ahead_of_marker(*inode_, readahead_, page);
  return true;
}

}  // namespace quire::file

#endif  // QUIRE_FILE_FILE_VIEW_H_
