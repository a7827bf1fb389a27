// MoveTogether: pages of a mapped file that were cached before it was, on their way from their frames into the file's
// memory (file_memory.h), several side by side in as few calls of the kernel as one page alone takes. For who brings
// pages into sight that nobody has asked for yet: neighbours of one that was, and what a program will access next.
//
//   in frames, nobody at them --+-- sealed -- memory made for all -- copied -- words say so -- frames lent -- unsealed
//                               |               | no memory: what was made is punched
//                               |               +------------------------------------------- unsealed, as they were
//                               +-- somebody at one: it and what lies behind it stays as it is
//
// What is clean stays clean, and what is dirty stays so, with its credit and its place on the list: the frame is the
// page's as before, and its bytes are the same.
//
// Who calls: any thread that may look for pages, the handler of an access included (in_thread_fault.h); with pages
// of the file pinned, but none sealed or held for a store.
//
// Invariants:
//  1. It waits for no page, gate or credit, and takes no frame and nothing of the allocator's. A page that is absent,
//     pinned, read, waited for, stored into, sealed, filling or under writeback is left alone.
//  2. The pages are sealed for as long as the calls take, and nothing else is waited for meanwhile. So who comes to one
//     of them waits as for a page that comes back (FilePages::come_back).
//  3. What is not sealed by it is not touched in the memory.
#ifndef QUIRE_CACHE_MOVE_TOGETHER_H_
#define QUIRE_CACHE_MOVE_TOGETHER_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "cache/file_pages.h"
#include "quire/limits.h"

namespace quire::cache {

class MoveTogether {
 public:
  explicit MoveTogether(FilePages& pages) noexcept : pages_(pages) {}
  MoveTogether(const MoveTogether&) = delete;
  MoveTogether& operator=(const MoveTogether&) = delete;

  // Moves `page` and what lies beside it, at most `after` pages behind it and `before` in front, each way up to the
  // first that cannot be moved now. How many. REQUIRES: a FilePages::Mapped; before + 1 + after <=
  // limits::kMovePagesMax.
  std::size_t move(std::uint64_t page, std::size_t before, std::size_t after) noexcept;

 private:
  // Seals the page, if it is in its frame and nobody is at it.
  bool take(std::uint64_t index) noexcept;
  bool copy() noexcept;
  void let_go() noexcept;
  PageWord& word(std::uint64_t index) noexcept { return *words_[index % words_.size()]; }

  FilePages& pages_;
  // Those that are sealed: [first_, end_).
  std::uint64_t first_ = 0;
  std::uint64_t end_ = 0;
  std::array<PageWord*, limits::kMovePagesMax> words_;  // by page, modulo
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_MOVE_TOGETHER_H_
