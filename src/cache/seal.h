// seal: how a cut takes pages away. Under a Block of the file's lock, which keeps new pages out, each
// page from some index on is sealed: its filling or writeback has ended, nobody stores into it, and
// nobody who read it is left. Then the store is changed; then the pages are dropped, or unsealed if the
// store refused, and nothing has changed.
//
// Who calls: truncate (later: punch, zero, insert, collapse), holding the write range and the block.
#ifndef QUIRE_CACHE_SEAL_H_
#define QUIRE_CACHE_SEAL_H_

#include <cstddef>
#include <cstdint>

#include "cache/file_pages.h"
#include "sync/wait.h"

namespace quire::cache {

// The sealed pages of one file from an index on. One at a time per file and range; the holder of the
// block owns it and may hand it to another thread.
class SealedTail {
 public:
  explicit SealedTail(FilePages& pages) : pages_(pages), walker_(pages) {}
  ~SealedTail() { unseal(); }
  SealedTail(const SealedTail&) = delete;
  SealedTail& operator=(const SealedTail&) = delete;

  // Seals every page from `first` on. On a give-up none is sealed.
  sync::WaitStatus seal(std::uint64_t first, const sync::WaitLimit& limit);
  // Drops the sealed pages from `first` on, dirty or not. Waits for nothing.
  void drop_from(std::uint64_t first) noexcept;
  // Zeroes bytes [from, page end) of page `index` if it is cached. REQUIRES: it is sealed or absent.
  void zero_tail_of(std::uint64_t index, std::size_t from) noexcept;
  // Gives the rest back to readers and writers.
  void unseal() noexcept;

 private:
  sync::WaitStatus seal_page(std::uint64_t index, PageWord& word, const sync::WaitLimit& limit);

  FilePages& pages_;
  const FilePages::Walker walker_;
  // Pages in [first_, end_) that are not absent are sealed by us.
  std::uint64_t first_ = 0;
  std::uint64_t end_ = 0;
};

// Drops the pages in [first, last] that are clean and that nobody uses just now; passes over the rest.
// Needs no Block: it does what eviction does.
void drop_clean(FilePages& pages, std::uint64_t first, std::uint64_t last) noexcept;

}  // namespace quire::cache

#endif  // QUIRE_CACHE_SEAL_H_
