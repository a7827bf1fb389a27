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

#include "file/buffered.h"
#include "file/fault_service.h"
#include "file/inode.h"
#include "file/mapping_table.h"
#include "map/view.h"
#include "sync/atomic.h"
#include "sync/clock.h"
#include "sync/mutex.h"

namespace quire::file {

class FileView final : public MappedMemory, public std::enable_shared_from_this<FileView> {
 public:
  FileView(FaultService::Use service, std::shared_ptr<Inode> inode, std::unique_ptr<map::View> view,
           std::uint64_t first_page)
      : service_(std::move(service)),
        inode_(std::move(inode)),
        view_(std::move(view)),
        first_page_(first_page),
        readahead_(inode_->cache().budget().readahead_max_pages) {}
  FileView(const FileView&) = delete;
  FileView& operator=(const FileView&) = delete;

  Inode& inode() const noexcept { return *inode_; }
  const std::shared_ptr<Inode>& shared_inode() const noexcept { return inode_; }
  map::View& view() const noexcept { return *view_; }
  FaultService& service() const noexcept { return *service_; }
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
  // added again meanwhile would be shown half filled. Says how many, and what stopped it if that is none.
  struct Shown {
    bool ready = false;  // the first page is one that can be shown
    std::size_t pages = 0;
    map::Stop stop = map::Stop::kNothing;
    std::optional<std::uint64_t> marked;  // among them is a page that starts the next readahead
  };
  Shown show(std::uint64_t first, std::size_t pages_max) noexcept;

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
  // An access to the page cannot be had: it raises SIGBUS, and so does every access to it until retry_due().
  void fail(std::uint64_t page, std::error_code error) noexcept;
  // The page has been had after all: accesses are asked about again, if it had failed.
  void note_had(std::uint64_t page) noexcept;
  // Why the last one failed; zero if none did.
  std::error_code last_error() noexcept;
  // Accesses to pages that failed are asked about again, if it is time. When to ask next; kNever if none failed.
  sync::Clock::time_point retry_failed(sync::Clock::time_point now) noexcept;

 private:
  // Calls copy(page, in_page, at, bytes) for each page of `part`, until one gives an error.
  template <class Copy>
  Copied for_each_page(std::span<const std::byte> part, Copy&& copy);

  // First, so that it goes last: the view is one of its userfaultfd's.
  const FaultService::Use service_;
  const std::shared_ptr<Inode> inode_;
  const std::unique_ptr<map::View> view_;
  const std::uint64_t first_page_;
  SharedReadahead readahead_;

  sync::Mutex mutex_;
  std::error_code error_ GUARDED_BY(mutex_);
  // All pages that failed lie in [failed_first_, failed_end_), empty if none; they are retried together.
  std::uint64_t failed_first_ GUARDED_BY(mutex_) = 0;
  std::uint64_t failed_end_ GUARDED_BY(mutex_) = 0;
  sync::Clock::time_point retry_at_ GUARDED_BY(mutex_) = sync::Clock::kNever;
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
