// SpaceBook: which pages of a file have space at the store, so that a page is dirtied only where it has some,
// and what was taken for it in vain can be given back. A record and nothing more: reserve.h asks the store.
//
// A page, as the book sees it, is in two sets or in none:
//
//   promised   The store has space for the page: it had some when it was asked, or was made to take some.
//              Whoever holds the page's write range may dirty it.
//   fresh      Nobody had written to the page's space when it was asked for on our account, and nothing of it
//              has been written since. It is reserved: for what is dirty, or to be given back.
//
//   unknown -- asked for: it had space --> promised ------------------------------------+-- cut --> unknown
//      |                                                                                |
//      +------ asked for: it had none --> promised, fresh -- written() --> promised ----+
//                                              |
//                                              +-- returned(), cut --> unknown
//
// Pages are kept by chunks of limits::kReservePagesMax. A chunk without fresh pages may be forgotten at any
// time: then the store is asked again. So the books of a cache stay within limits::kSpaceChunksMax chunks, a
// few more for each file, and those with fresh pages, of which all but one or two a file hold a dirty page.
//
// Who calls: covers(): writers who hold the write range of the pages, or a page itself (ParkedWrite). next(),
// look_ahead(), answered(): who holds the write range of all pages of the request, whole. written(): whoever wrote
// them. The others: who holds the write range of the pages, whole. So nobody relies on a page of which another takes
// the space away. Thread-safe.
//
// Invariants:
//  1. A dirty page whose bytes the store has no place for is fresh: reserved >= dirty and unallocated. (But
//     for a page that a failed sync made dirty again: it is written whether there is space or not.)
//  2. A fresh page that is not dirty holds nothing: to give its space back loses nothing.
//  3. full_ names a chunk only while all of its pages are promised.
#ifndef QUIRE_FILE_SPACE_BOOK_H_
#define QUIRE_FILE_SPACE_BOOK_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "cache/counters.h"
#include "quire/store.h"
#include "sync/atomic.h"
#include "sync/mutex.h"

namespace quire::file {

// Pages [first, end).
struct PageRange {
  std::uint64_t first = 0;
  std::uint64_t end = 0;

  friend bool operator==(const PageRange&, const PageRange&) = default;
};

class SpaceBook {
 public:
  static constexpr std::uint64_t kChunkPages = limits::kReservePagesMax;

  explicit SpaceBook(cache::Counters& counters) : counters_(counters) {}
  SpaceBook(const SpaceBook&) = delete;
  SpaceBook& operator=(const SpaceBook&) = delete;

  // All of these pages may be dirtied. In a chunk that all has space one look at a word. REQUIRES: a range
  // that is not empty.
  bool covers(PageRange pages) noexcept;

  // Makes `request` ask for the first part of `need` that is not promised, within one chunk, and look at as
  // much of the chunk as `held` allows. False: all is promised.
  bool next(PageRange need, PageRange held, SpaceRequest* request);
  // Where a sequential writer is at work: makes `request` ask for all that it looks at from there on. The
  // file has `size_pages` pages.
  void look_ahead(SpaceRequest* request, std::uint64_t size_pages);
  // The store has answered.
  void answered(const SpaceRequest& request, bool succeeded, std::uint64_t size_pages);
  // The store reserves nothing after all: every page is covered from now on.
  void give_up() noexcept;

  // Pages that hold bytes at the store now.
  void written(PageRange pages) noexcept;
  // The store has taken the space of these pages away, and their bytes.
  void cut(PageRange pages) noexcept;
  // The object has been made so many pages long. `shrank`: what lay beyond has no space any more.
  void truncated(std::uint64_t size_pages, bool shrank) noexcept;
  // The caller of File::allocate() or zero() asked for this space, and has it: it is not ours to give back.
  void kept(PageRange pages) noexcept;
  // Something was asked of the store for these pages, and nobody knows what came of it.
  void doubt(PageRange pages) noexcept;
  // Nobody knows what has space, nor what is ours; or the file is of no interest any more. REQUIRES: the cache
  // is there still.
  void forget() noexcept { cut({0, ~std::uint64_t{0}}); }
  void forget_from(std::uint64_t first) noexcept { cut({first, ~std::uint64_t{0}}); }

  // The fresh pages in the range, dirty ones too.
  std::vector<PageRange> fresh(PageRange pages) const;
  std::uint64_t fresh_pages() const noexcept { return fresh_pages_.load(); }
  // Somebody else's space may lie behind page `size_pages`, where nothing but truncate() gives ours back.
  bool keeps_beyond(std::uint64_t size_pages) const noexcept;

 private:
  using Pages = SpaceRequest::Pages;
  struct Chunk {
    Pages promised;
    Pages fresh;
  };
  using Chunks = std::map<std::uint64_t, Chunk>;
  static constexpr std::size_t kFullSlots = 16;
  static constexpr std::size_t kWriters = 4;
  // Chunks that a file may have whatever the others have.
  static constexpr std::size_t kChunksOfAFile = 8;

  // The pages of chunk `number` that lie in the range.
  static Pages part(std::uint64_t number, PageRange pages) noexcept;
  sync::Atomic<std::uint64_t>& slot(std::uint64_t number) noexcept {
    return full_[number % kFullSlots];
  }
  // Calls change(chunk, pages) for each chunk that the range meets.
  template <class Change>
  void change(PageRange pages, const Change& change) noexcept EXCLUDES(mutex_);
  // After a change of a chunk: the gauge, and full_.
  void note(std::uint64_t number, const Chunk& chunk, std::size_t fresh_before) noexcept
      REQUIRES(mutex_);
  Chunk& find_or_add(std::uint64_t number) REQUIRES(mutex_);
  void erase(Chunks::iterator chunk) noexcept REQUIRES(mutex_);

  cache::Counters& counters_;
  mutable sync::Mutex mutex_;
  Chunks chunks_ GUARDED_BY(mutex_);
  std::uint64_t hand_ GUARDED_BY(mutex_) = 0;  // where the search for a chunk to forget begins
  bool tells_ GUARDED_BY(mutex_) = false;      // the store tells what had space
  // Where those who wrote from one page to the next had got to, as far as they had to ask.
  std::array<std::uint64_t, kWriters> writers_ GUARDED_BY(mutex_){};
  std::size_t writer_ GUARDED_BY(mutex_) = 0;
  std::uint64_t kept_end_ GUARDED_BY(mutex_) = 0;  // others' space ends there
  sync::Atomic<std::uint64_t> fresh_pages_{0};     // set under mutex_
  sync::Atomic<bool> off_{false};
  // Number + 1 of a chunk all of whose pages are promised; 0: none. Set under mutex_.
  std::array<sync::Atomic<std::uint64_t>, kFullSlots> full_{};
};

}  // namespace quire::file

#endif  // QUIRE_FILE_SPACE_BOOK_H_
