// WriteLocks: what a write holds while it lasts: its Operation, and its write range. That is the bytes, or
// the pages, that it stores into; for one that extends the file everything from the old end on, so that
// nobody else changes the size. For an append the offset is chosen under the lock.
//
// Who calls: buffered and direct writes, holding nothing. Stays where it is; after hand_over() any thread
// may end it.
#ifndef QUIRE_FILE_WRITE_LOCKS_H_
#define QUIRE_FILE_WRITE_LOCKS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>

#include "cache/cache_lock.h"
#include "file/inode.h"
#include "file/space_book.h"
#include "sync/range_lock.h"
#include "sync/wait.h"

namespace quire::file {

class WriteLocks {
 public:
  enum class Extent : std::uint8_t {
    kBytes,
    kPages,   // the whole of every page that the bytes touch
    kChunks,  // ... of every chunk of SpaceBook's
  };

  explicit WriteLocks(Inode& inode) : inode_(inode) {}
  ~WriteLocks() {
    if (held_) inode_.ranges().unlock(hold_);
  }
  WriteLocks(const WriteLocks&) = delete;
  WriteLocks& operator=(const WriteLocks&) = delete;

  // For `bytes` bytes at `*offset`, or at the end of the file where that is kAtEnd: it is set then. REQUIRES:
  // bytes > 0. With `cuts`, which an append gives for its own place alone, only if Inode::cuts() is that number still,
  // else ECANCELED; and it is no change to AppendPlaces. Errors: EIO if the file is broken (Inode::broken); those of
  // settle_tail(); Errc::kTimedOut, Errc::kInterrupted.
  std::error_code lock(std::uint64_t* offset, std::size_t bytes, Extent extent,
                       const sync::WaitLimit& limit, const std::uint64_t* cuts = nullptr);
  // The pages that are held from end to end. REQUIRES: held.
  PageRange whole_pages() const noexcept;
  // What is held belongs to an operation from now on.
  void hand_over() noexcept {
    operation_.hand_over();
    inode_.ranges().hand_over();
  }

 private:
  Inode& inode_;
  cache::CacheLock::Operation operation_;
  sync::RangeLock::Hold hold_;
  std::uint64_t first_ = 0;  // held
  std::uint64_t last_ = 0;
  bool held_ = false;
};

// Locks that a request to the store may keep beyond the call that began it.
struct HeldWrite {
  explicit HeldWrite(std::shared_ptr<Inode> held_inode)
      : inode(std::move(held_inode)), locks(*inode) {}

  const std::shared_ptr<Inode> inode;
  WriteLocks locks;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_WRITE_LOCKS_H_
