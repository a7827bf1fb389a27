// shoot_down: takes a range of pages out of the cache, and keeps it out while something is done.
//
//   write_and_invalidate   write range -> block -> seal every page -> write the dirty ones -> drop all
//   invalidate             block -> drop what is clean
//
// Between its write and its drop no page is unsealed, so each is written once at most, whatever others do
// (redirty-livelock). On an error all pages are unsealed, and none was dropped.
//
// Who calls: File, cuts (cut_call.h), and direct writes, holding nothing.
#ifndef QUIRE_FILE_SHOOT_DOWN_H_
#define QUIRE_FILE_SHOOT_DOWN_H_

#include <cstdint>
#include <memory>
#include <system_error>

#include "cache/cache_lock.h"
#include "cache/seal.h"
#include "file/inode.h"
#include "sync/range_lock.h"
#include "sync/wait.h"

namespace quire::file {

// A range of pages that is sealed, and everything that keeps it so. Shared: by the operation, and by the
// requests to the store that it began, for as long as they last. Gives all back with its last owner, in
// whatever thread; pages that were not dropped are as they were.
//
//   made -- lock() --> sealed -- write() --> sealed and clean -- drop() --> absent, and kept so
class ShotDown {
 public:
  explicit ShotDown(std::shared_ptr<Inode> inode) : inode_(std::move(inode)), pages_(*inode_) {}
  ~ShotDown();
  ShotDown(const ShotDown&) = delete;
  ShotDown& operator=(const ShotDown&) = delete;

  // Takes all locks and seals the pages [first_page, last_page]. Errors: EBUSY where somebody uses a page
  // for longer than limits::kPinnedWaitMax, Errc::kTimedOut, Errc::kInterrupted.
  std::error_code lock(std::uint64_t first_page, std::uint64_t last_page,
                       const sync::WaitLimit& limit);
  // The steps of lock(), for those whose write range is not their pages. First the bytes: EIO if the file
  // is broken (Inode::broken). Given back and taken again, if need be.
  std::error_code lock_bytes(std::uint64_t first, std::uint64_t last, const sync::WaitLimit& limit);
  void unlock_bytes() noexcept;
  // Then the pages, in these bytes, or in a write range that is held elsewhere for at least as long with an
  // exclusive Operation. EBUSY where somebody uses a page for longer than `users_wait`.
  std::error_code lock_pages(std::uint64_t first_page, std::uint64_t last_page,
                             const sync::WaitLimit& limit,
                             sync::Clock::duration users_wait = limits::kPinnedWaitMax);
  // What is held is the operation's from now on, not this thread's. Once more does nothing.
  void hand_over() noexcept;
  // The same of the bytes alone.
  void hand_over_bytes() noexcept;
  // Writes what is dirty. `self` is this. Hands over.
  // Errors: the store's, Errc::kTimedOut, Errc::kInterrupted.
  static std::error_code write(const std::shared_ptr<ShotDown>& self, const sync::WaitLimit& limit);
  // REQUIRES: no page is dirty.
  void drop() noexcept { pages_.drop_from(first_page_); }
  cache::SealedRange& pages() noexcept { return pages_; }

 private:
  const std::shared_ptr<Inode> inode_;
  std::uint64_t first_page_ = 0;
  std::uint64_t last_page_ = 0;
  bool begun_ = false;
  bool range_held_ = false;
  bool bytes_handed_over_ = false;
  bool handed_over_ = false;
  cache::CacheLock::Operation operation_;
  sync::RangeLock::Hold range_;
  cache::CacheLock::Block block_;
  cache::SealedRange pages_;
};

// Writes the dirty pages in [first_page, last_page] and drops all of them, if all can be: or none. Errors:
// EBUSY where somebody uses a page for longer than limits::kPinnedWaitMax, the store's, Errc::kTimedOut,
// Errc::kInterrupted.
std::error_code write_and_invalidate(const std::shared_ptr<Inode>& inode, std::uint64_t first_page,
                                     std::uint64_t last_page, const sync::WaitLimit& limit);

// Drops the pages in [first_page, last_page] that are clean and that nobody uses for longer than
// limits::kPinnedWaitMax, and says what stayed. Whoever reads one of the others afterwards gets what the
// store has then. Errors: Errc::kTimedOut, Errc::kInterrupted.
std::error_code invalidate(Inode& inode, std::uint64_t first_page, std::uint64_t last_page,
                           const sync::WaitLimit& limit, cache::Stayed* stayed);

}  // namespace quire::file

#endif  // QUIRE_FILE_SHOOT_DOWN_H_
