// DirtyList: the dirty pages of one file that wait to be taken for writing, in the order in which they
// became dirty, linked through the frames' descriptors. Also the file's *flushes*: those who took pages
// off the list and have not seen them written yet. A sync waits for both.
//
// Who calls: writers at the end of a store into a page, writeback, and cuts; from any thread. The
// mutex is held for the list's sake only: nobody waits or calls out under it.
//
// Invariants:
//  1. A page in state dirty or rewritten is on the list, or its writer still holds `writing`, or
//     the page is sealed and about to be dropped. A page on the list is in one of these states, or who
//     put it there is about to make it so.
//  2. Sequence numbers grow with every page added, and the list is sorted by them, and so by age. A page
//     that comes back after a failed request has the number and the age that it was taken with, whether
//     or not it was rewritten and listed again meanwhile: its older bytes are not on the store either.
//  3. A flush is registered before it takes a page off the list and until every such page has been
//     written or put back. So: list and flushes empty of what is older than a moment means that all
//     of it is on the store.
#ifndef QUIRE_CACHE_DIRTY_LIST_H_
#define QUIRE_CACHE_DIRTY_LIST_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <vector>

#include "cache/frame_pool.h"
#include "sync/clock.h"
#include "sync/mutex.h"
#include "sync/parker.h"
#include "sync/wait.h"

namespace quire::cache {

// One taker's claim on pages of a file, from the list to the store.
class Flush {
 public:
  Flush() = default;
  Flush(const Flush&) = delete;
  Flush& operator=(const Flush&) = delete;

 private:
  friend class DirtyList;
  std::uint64_t number_ = 0;
  Flush* next_ = nullptr;
  Flush* previous_ = nullptr;
};

// A page as writeback takes it.
struct DirtyPage {
  std::uint64_t index = 0;
  FrameNumber frame = kNoFrame;
  std::uint64_t sequence = 0;  // its number and its age on the list, for the way back
  std::int64_t dirtied_at_ns = 0;
};

class DirtyList {
 public:
  explicit DirtyList(FramePool& pool) : pool_(pool) {}
  ~DirtyList();
  DirtyList(const DirtyList&) = delete;
  DirtyList& operator=(const DirtyList&) = delete;

  // Puts the page in `frame` at the end, unless it is on the list. True if the list was empty.
  bool add(FrameNumber frame) noexcept;
  // `count` pages that were taken have been written.
  void note_written(std::size_t count) noexcept;
  // Puts a page that was taken and not written back to its place, with the number and age it had then.
  // True if the list was empty.
  bool put_back(const DirtyPage& page) noexcept;
  // Takes a page that is being dropped off the list.
  void remove(FrameNumber frame) noexcept;

  struct Wanted {
    std::uint64_t first_index = 0;
    std::uint64_t last_index = ~std::uint64_t{0};
    std::uint64_t after_sequence = 0;                   // pages dirtied after this one ...
    std::uint64_t newest_sequence = ~std::uint64_t{0};  // ... up to here
    sync::Clock::time_point dirtied_until = sync::Clock::kNever;  // ... and then
  };
  struct Taken {
    std::size_t pages = 0;              // appended to `out`
    std::uint64_t newest_sequence = 0;  // of those
    bool busy = false;                  // a wanted page could not be taken now ...
    DirtyPage busy_page;                // ... this one
  };
  // Takes up to `pages_max` wanted pages off the list, each for which begin(page) says true: it
  // makes the page's transition to writeback. `out` must have the room. The oldest first, unless the
  // range has no more than `pages_max` pages: then from the newest on, which finds what a write has
  // just dirtied at once.
  template <class Begin>
  Taken take(const Wanted& wanted, std::size_t pages_max, std::vector<DirtyPage>& out,
             Begin&& begin) noexcept;

  // The number of the newest page that is or was on the list.
  std::uint64_t newest_sequence() const noexcept;
  std::size_t size() const noexcept;
  // Pages on the list or taken off it and not written yet. A page that was dirtied again meanwhile counts
  // twice; 0 says that everything stored by then is on the store.
  std::size_t unwritten() const noexcept;
  // When the oldest page became dirty; kNever for an empty list.
  sync::Clock::time_point oldest() const noexcept;

  void begin_flush(Flush& flush) noexcept;
  // `error`: a request of it failed, and its pages are on the list again.
  void end_flush(Flush& flush, std::error_code error) noexcept;
  // Waits until no flush that began before now is left. REQUIRES: the caller has none of its own: two
  // that did would wait for each other.
  sync::WaitStatus wait_flushes(const sync::WaitLimit& limit);
  // Flushes that failed, ever.
  std::uint64_t failures() const noexcept;

 private:
  struct Waiter {
    std::uint64_t up_to = 0;  // waits for flushes numbered up to this
    sync::Parker parker;
    Waiter* next = nullptr;
    bool linked = true;
  };
  FrameDescriptor& at(FrameNumber frame) const noexcept { return pool_.descriptor(frame); }
  // Links the page behind those of smaller numbers.
  void insert(FrameNumber frame) noexcept REQUIRES(mutex_);
  void unlink(FrameNumber frame) noexcept REQUIRES(mutex_);
  // The oldest page whose number is greater. Looks from the page put back last on: those who come next
  // to each other mostly belong there.
  FrameNumber first_after(std::uint64_t sequence) const noexcept REQUIRES(mutex_);
  bool flushes_left(std::uint64_t up_to) const noexcept REQUIRES(mutex_);

  FramePool& pool_;
  mutable sync::Mutex mutex_;
  FrameNumber first_ GUARDED_BY(mutex_) = kNoFrame;
  FrameNumber last_ GUARDED_BY(mutex_) = kNoFrame;
  FrameNumber near_ GUARDED_BY(mutex_) = kNoFrame;  // where first_after() begins; on the list
  std::size_t size_ GUARDED_BY(mutex_) = 0;
  std::size_t taken_ GUARDED_BY(mutex_) = 0;  // and neither written nor put back yet
  std::uint64_t sequence_ GUARDED_BY(mutex_) = 0;
  std::uint64_t flush_number_ GUARDED_BY(mutex_) = 0;
  std::uint64_t failures_ GUARDED_BY(mutex_) = 0;
  Flush* flushes_ GUARDED_BY(mutex_) = nullptr;
  Waiter* waiters_ GUARDED_BY(mutex_) = nullptr;
};

template <class Begin>
DirtyList::Taken DirtyList::take(const Wanted& wanted, std::size_t pages_max,
                                 std::vector<DirtyPage>& out, Begin&& begin) noexcept {
  Taken taken;
  sync::MutexLock lock(mutex_);
  // A page is on the list once, so a narrow range may be complete long before the list is.
  const std::uint64_t others = wanted.last_index - wanted.first_index;
  const bool backward = others < pages_max;
  std::uint64_t seen = 0;
  FrameNumber frame = backward                     ? last_
                      : wanted.after_sequence == 0 ? first_
                                                   : first_after(wanted.after_sequence);
  while (frame != kNoFrame && taken.pages < pages_max && seen <= others) {
    const FrameDescriptor& d = at(frame);
    const DirtyPage page{d.index.load(), frame, d.dirty_sequence, d.dirtied_at_ns};
    const bool old_enough = page.sequence <= wanted.newest_sequence &&
                            page.dirtied_at_ns <= wanted.dirtied_until.time_since_epoch().count();
    if (backward ? page.sequence <= wanted.after_sequence : !old_enough) break;
    frame = backward ? d.dirty_previous : d.dirty_next;
    if (page.index < wanted.first_index || page.index > wanted.last_index) continue;
    ++seen;
    if (!old_enough) continue;
    if (begin(page)) {
      unlink(page.frame);
      ++taken_;
      out.push_back(page);
      ++taken.pages;
      taken.newest_sequence = std::max(taken.newest_sequence, page.sequence);
    } else {
      taken.busy = true;
      taken.busy_page = page;
    }
  }
  return taken;
}

}  // namespace quire::cache

#endif  // QUIRE_CACHE_DIRTY_LIST_H_
