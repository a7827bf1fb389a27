// WriteRun: pages side by side of a mapped file, each held as ParkedWrite holds one, for a program that stores into
// page after page and is let into several at once. Held are only those that can be without waiting for anybody.
//
// Who calls: whoever answers a first store, on that thread, while it holds the page in front of them. Waits for nothing
// and takes no memory. Holds no write range: nobody cuts a page that is held.
//
// Invariants:
//  1. Of each page: as ParkedWrite's first.
//  2. Nothing is waited for while a page is held: so it does not matter in which order pages are taken.
#ifndef QUIRE_CACHE_WRITE_RUN_H_
#define QUIRE_CACHE_WRITE_RUN_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "cache/file_pages.h"
#include "quire/limits.h"

namespace quire::cache {

class WriteRun {
 public:
  explicit WriteRun(FilePages& pages) noexcept : pages_(pages) {}
  ~WriteRun() { shrink(0); }
  WriteRun(const WriteRun&) = delete;
  WriteRun& operator=(const WriteRun&) = delete;

  // The page is in the file's memory and nobody is at it: it is `writing` from now on. Null: nothing has happened.
  // REQUIRES: the file has memory, and keeps it: FilePages::Mapped.
  static PageWord* try_hold(FilePages& pages, std::uint64_t index) noexcept;

  // Holds pages from `first` on, at most `pages_max`, up to the first that it cannot. REQUIRES: as try_hold(); nothing
  // is held; limits::kStoresAheadPagesMax pages at most.
  void try_begin(std::uint64_t first, std::size_t pages_max) noexcept;
  std::size_t pages() const noexcept { return count_; }
  // Lets go of those from the `pages`-th on, as they were.
  void shrink(std::size_t pages) noexcept;

  // The program may store into them from here on. finish() follows.
  void admit_stores() noexcept;
  // They are dirty, and let go. Takes over a dirty credit of each.
  void finish() noexcept;

 private:
  FilePages& pages_;
  std::uint64_t first_ = 0;
  std::size_t count_ = 0;
  std::array<PageWord*, limits::kStoresAheadPagesMax> words_;  // of which count_
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_WRITE_RUN_H_
