// ParkedWrite: one page of a mapped file held for a program that is about to store into it by itself, as PageWrite
// holds one for a store of ours, but by what is no thread: a page fault. Reads the page where it is not cached, and
// moves it into the file's memory where it is in a frame.
//
//                    absent: ParkedFill            not readable: PageWaitLot
//                       +------+                      +------+
//                       v      |                      v      |
//   idle -- begin() --> look --+--------------------> look --+
//                        | writing
//                        v
//                  readers by hazard slot --> readers by pin --> moved --> held -- finish(), release() --> idle
//
//   each arrow is gone at once where nothing stands in the way; else resume() goes on from there, once woken
//
// Who calls: faults of views, on the thread that answers them (try_begin() on that of the access too), with nothing
// held but an Operation. Holds no write range: nobody cuts a page that is held. Used by one thread at a time, and stays
// where it is.
//
// Invariants:
//  1. Held, the page is in the file's memory, and nobody else reads it, stores into it by the engine, writes it
//     back, evicts or drops it.
//  2. What is begun is carried to its end; there is no cancel. Each wait of it ends by itself: a fill by the store's
//     answer, a page's by whoever has the page.
#ifndef QUIRE_CACHE_PARKED_WRITE_H_
#define QUIRE_CACHE_PARKED_WRITE_H_

#include <cstdint>
#include <optional>
#include <system_error>

#include "cache/file_pages.h"
#include "cache/fill.h"
#include "cache/hazard.h"
#include "cache/page_wait.h"
#include "sync/waker.h"

namespace quire::cache {

class ParkedWrite {
 public:
  // `waker` is told when resume() is to be called.
  ParkedWrite(FilePages& pages, sync::Waker& waker) noexcept
      : pages_(pages), at_page_(waker), at_slots_(waker), waker_(waker) {}
  // REQUIRES: not waiting.
  ~ParkedWrite() { release(); }
  ParkedWrite(const ParkedWrite&) = delete;
  ParkedWrite& operator=(const ParkedWrite&) = delete;

  // True: it has ended: the page is held, or see error(). False: it waits; woken, call resume(), and again as long
  // as it says false. REQUIRES: nothing is held; there is a
  // FilePages::Mapped for as long as the page is wanted or held.
  bool begin(std::uint64_t index) noexcept;
  bool resume() noexcept;
  // Holds the page if it is in the file's memory already and nobody is at it (true); else nothing has happened. Waits
  // for nothing, and takes no memory.
  bool try_begin(std::uint64_t index) noexcept;

  // Once ended. Errors: the store's; EFAULT where the page is beyond the end of the file; ENOMEM where it cannot be
  // in the file's memory.
  std::error_code error() const noexcept { return error_; }
  // Why there is EFAULT: the file ended before the page. (A store may have said EFAULT too.)
  bool past_end() const noexcept { return past_end_; }
  bool held() const noexcept { return step_ == Step::kHeld; }

  // The program may store into the page from here on: who syncs the file afterwards waits for it. finish() follows.
  // REQUIRES: held().
  void admit_stores() noexcept { pages_.list_store(*word_); }
  // The page is dirty, and let go. Takes over one dirty credit. `watched`: a view shows it that watches.
  void finish(bool watched = false) noexcept;
  // Instead of both, where the program only loads, but through a view that watches: the page counts as dirty from here
  // on. `stored`: the view was asked in between, and told of a store.
  void admit_unheard() noexcept;
  void finish_unheard(bool stored) noexcept;
  // Views that watch may show it, and have something to tell. REQUIRES: held().
  bool watched() const noexcept { return word_->load().watched(); }
  // Lets go of what is held, with the page as it was.
  void release() noexcept;

 private:
  enum class Step : std::uint8_t { kIdle, kFill, kPage, kSlots, kPins, kHeld };
  enum class Look : std::uint8_t { kAbsent, kBusy, kOurs };

  bool look() noexcept;
  Look try_hold() noexcept;
  bool filled() noexcept;
  bool wait_pins() noexcept;
  bool move() noexcept;
  bool end(std::error_code error) noexcept;
  bool end_past_end() noexcept;

  FilePages& pages_;
  Step step_ = Step::kIdle;
  std::uint64_t index_ = 0;
  PageWord* word_ = nullptr;  // once the page is `writing`
  std::optional<ParkedFill> fill_;
  PageWaitLot::Waiter at_page_;
  Hazards::Waiter at_slots_;
  sync::Waker& waker_;
  std::error_code error_;
  bool past_end_ = false;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_PARKED_WRITE_H_
