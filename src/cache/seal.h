// seal: how pages of a range are taken away. Under a Block of the file's lock, which keeps new pages out,
// each page of the range is sealed: its filling or writeback has ended, nobody stores into it, and
// nobody who read it is left. Then the store is changed; then the pages are dropped, or unsealed if the
// store refused, and nothing has changed.
//
// Who calls: cuts, write_and_invalidate and direct writes, holding the write range and the block.
#ifndef QUIRE_CACHE_SEAL_H_
#define QUIRE_CACHE_SEAL_H_

#include <cstddef>
#include <cstdint>
#include <system_error>

#include "cache/file_pages.h"
#include "sync/clock.h"
#include "sync/wait.h"

namespace quire::cache {

// The sealed pages of a range of one file. One at a time per file and range; the holder of the block owns
// it and may hand it to another thread.
class SealedRange {
 public:
  // How long to wait for those who use a page. A cut waits as long as they take.
  static constexpr sync::Clock::duration kAsLongAsItTakes = sync::Clock::duration::max();

  explicit SealedRange(FilePages& pages) : pages_(pages), walker_(pages) {}
  ~SealedRange() { unseal(); }
  SealedRange(const SealedRange&) = delete;
  SealedRange& operator=(const SealedRange&) = delete;

  // Seals every page in [first, last]; no view shows any of them then. On an error none is sealed. Errors:
  // Errc::kTimedOut, Errc::kInterrupted; EBUSY where somebody uses a page for longer than `users_wait`.
  std::error_code seal(std::uint64_t first, std::uint64_t last, const sync::WaitLimit& limit,
                       sync::Clock::duration users_wait = kAsLongAsItTakes);
  // Drops the sealed pages from `first` on, dirty or not. Waits for nothing.
  void drop_from(std::uint64_t first) noexcept;
  // Drops the sealed pages that are clean. Waits for nothing.
  void drop_clean() noexcept;
  // Zeroes bytes [from, page end) of page `index` if it is cached. REQUIRES: it is sealed or absent.
  void zero_tail_of(std::uint64_t index, std::size_t from) noexcept;
  // Moves those of the sealed pages that are in frames into the file's memory, as far as it reaches. Waits for nothing.
  // REQUIRES: a FilePages::Mapped.
  void move_to_file() noexcept;
  // Gives the rest back to readers and writers.
  void unseal() noexcept;

 private:
  FilePages& pages_;
  const FilePages::Walker walker_;
  // Pages in [first_, end_) that are not absent are sealed by us.
  std::uint64_t first_ = 0;
  std::uint64_t end_ = 0;
};

// Pages that invalidate_pages() could not drop.
struct Stayed {
  std::uint64_t pages = 0;
  std::uint64_t dirty = 0;  // of them: dirty, being written, or under writeback
  std::uint64_t first = 0;  // the first of them
};
// Drops the pages in [first, last] that are clean; waits for those that are being filled, and for who
// uses one for at most `users_wait`. REQUIRES: a Block of the range, so that none is added meanwhile.
// Errors: Errc::kTimedOut, Errc::kInterrupted; what was clean before that page is dropped then.
std::error_code invalidate_pages(FilePages& pages, std::uint64_t first, std::uint64_t last,
                                 const sync::WaitLimit& limit, sync::Clock::duration users_wait,
                                 Stayed* stayed);

// Drops the pages in [first, last] that are clean and that nobody uses just now; passes over the rest.
// Needs no Block: it does what eviction does.
void drop_clean(FilePages& pages, std::uint64_t first, std::uint64_t last) noexcept;

}  // namespace quire::cache

#endif  // QUIRE_CACHE_SEAL_H_
