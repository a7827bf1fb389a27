// buffered: reads and writes through the cache.
//
// Who calls: File, from the caller's thread or a worker's, holding nothing.
#ifndef QUIRE_FILE_BUFFERED_H_
#define QUIRE_FILE_BUFFERED_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <system_error>

#include "cache/readahead.h"
#include "file/inode.h"
#include "file/write_locks.h"
#include "quire/limits.h"
#include "sync/mutex.h"
#include "sync/wait.h"

namespace quire::file {

// The readahead of one open file. Readers who find it busy do without.
struct SharedReadahead {
  explicit SharedReadahead(std::size_t pages_max) : state(pages_max) {}
  sync::Mutex mutex;
  cache::Readahead state GUARDED_BY(mutex);
};

// Starts to read a window, and what follows on it. Waits for nothing.
void start_windows(Inode& inode, SharedReadahead& readahead, cache::Readahead::Window window);
// Somebody came to a page that has a marker.
void ahead_of_marker(Inode& inode, SharedReadahead& readahead, std::uint64_t index);

// What came of a transfer: the bytes that were moved, and why it stopped before the end.
struct Transfer {
  std::size_t bytes = 0;
  std::error_code error;
};

// Whether a read that moved `moved` bytes from `offset` on, and no more, met the end of the file: it goes from
// page to page, and stops within one only there. Who reads must not go on then: the file may be longer by
// now, and the rest of that page another write's than its beginning.
constexpr bool met_the_end(std::uint64_t offset, std::size_t moved) noexcept {
  return moved > 0 && ((offset + moved) & (limits::kPageBytes - 1)) != 0;
}

// In all of these the caller's memory lies in no mapping of the library's (mapping_table.h): it is copied to and
// from under locks. Checked builds look.

// Copies the pages at the head of [offset, offset + out.size()) that need nothing but copying; stops at
// the first that does, and at the end of the file. Returns the bytes copied. Never waits.
std::size_t read_hits(Inode& inode, std::span<std::byte> out, std::uint64_t offset) noexcept;

// Reads into `out` from `offset`, up to the end of the file.
Transfer read_at(Inode& inode, SharedReadahead& readahead, std::span<std::byte> out,
                 std::uint64_t offset, const sync::WaitLimit& limit);

// Gives the pieces of a vectored write one after the other.
class Gather {
 public:
  explicit Gather(std::span<const std::span<const std::byte>> pieces) : pieces_(pieces) {}
  // Copies the next out.size() bytes. REQUIRES: there are as many.
  void copy(std::span<std::byte> out) noexcept;
  // Passes over the next bytes. REQUIRES: there are as many.
  void skip(std::size_t bytes) noexcept;
  std::span<const std::span<const std::byte>> pieces() const noexcept { return pieces_; }

 private:
  std::span<const std::span<const std::byte>> pieces_;
  std::size_t piece_ = 0;
  std::size_t at_ = 0;
};

inline constexpr std::uint64_t kAtEnd = ~std::uint64_t{0};
// An offset that a program gave, which never means kAtEnd: what it would be is past every file anyway.
constexpr std::uint64_t given_offset(std::uint64_t offset) {
  return offset == kAtEnd ? kAtEnd - 1 : offset;
}

// Whether bytes are taken for which the store has no space, or does not say. A program that stored them into memory
// that it mapped cannot be told any more: they wait in the cache until they can be written, and a sync says so.
enum class Space : std::uint8_t { kNeeded, kWelcome };

// Writes `bytes` bytes at `*offset`, or at the end of the file where that is kAtEnd, and sets it to
// where they went. Excludes every other operation on the range; readers see each page whole. `cuts`: see WriteLocks.
Transfer write_at(Inode& inode, Gather& from, std::size_t bytes, std::uint64_t* offset,
                  const sync::WaitLimit& limit, Space space = Space::kNeeded,
                  const std::uint64_t* cuts = nullptr);
// The same for who holds the locks of the write already, handed over, at least of whole pages; space for them
// is reserved first.
Transfer write_reserving(const std::shared_ptr<HeldWrite>& held, Gather& from, std::size_t bytes,
                         std::uint64_t offset, const sync::WaitLimit& limit);

// Starts to read [first, last] into the cache, as far as memory is free, without waiting.
void will_need(Inode& inode, std::uint64_t first_page, std::uint64_t last_page);

}  // namespace quire::file

#endif  // QUIRE_FILE_BUFFERED_H_
