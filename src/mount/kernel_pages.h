// KernelPages: what the kernel's cache may hold of one file that is mapped through the mount, and which bytes
// of it are out of date there. It closes the race that loses a pwrite to a mapped store:
//
//   pwrite: the kernel drops its page -> WRITE is on its way -> another thread's fault fills the page again,
//   with the old bytes -> WRITE arrives, and is answered -> a mapped store makes the page dirty -> the
//   kernel writes all of the page back, the old bytes over the new
//
// So the daemon remembers, for each page that it granted to the kernel's cache (a READ that fills it), the
// bytes that were written since. A write-back of that grant may not undo them, and the kernel is asked to
// drop the page before the WRITE is answered, so that no later load sees the old bytes either.
//
//                 granted()                 written()
//   not held  ------------------> granted -----------------> overwritten: some bytes, until
//      ^  ^                          ^                          |   |
//      |  +---- dropped() -----------|--------------------------+   |
//      +                             +------- granted() again ------+
//
// Invariants:
//  1. A page that the kernel may hold is granted or overwritten.
//  2. may_write() never gives a byte that was written after the page was granted last.
//  3. A byte written before the last grant is not remembered: the grant has it.
//
// Each call happens together with the reading or writing of the bytes that it speaks of, under the node's
// RangeLock of rank kKernelPages: READs into the kernel's cache and write-backs from it exclusively, other
// writes shared. dropped() needs no lock. Thread-safe.
#ifndef QUIRE_MOUNT_KERNEL_PAGES_H_
#define QUIRE_MOUNT_KERNEL_PAGES_H_

#include <bitset>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "mount/limits.h"
#include "sync/atomic.h"
#include "sync/mutex.h"

namespace quire::mount {

// Bytes [begin, end).
struct ByteRange {
  std::uint64_t begin;
  std::uint64_t end;

  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

class KernelPages {
 public:
  // The kernel has been given the pages that these bytes touch, with everything written until now.
  void granted(ByteRange bytes);
  // These bytes have been written by other means than a write-back. 0: the kernel holds nothing of them.
  // Otherwise it must be asked to drop them, and dropped() called with this ticket.
  std::uint64_t written(ByteRange bytes);
  // A call that would have changed these bytes failed, or goes on alone: nobody knows what they are. As written(),
  // but what the kernel writes back of them counts.
  std::uint64_t doubted(ByteRange bytes);
  // The kernel was asked to drop what it held of these bytes when the ticket was given. `all`: it did;
  // otherwise it may still hold pages of them, and what was written since their grant stays remembered.
  void dropped(ByteRange bytes, std::uint64_t ticket, bool all);
  // Which of the bytes that the kernel writes back it may write.
  std::vector<ByteRange> may_write(ByteRange bytes) const;
  // The kernel has dropped what lies at or after `size`: the file was cut there.
  void cut(std::uint64_t size);

  // How often something was granted.
  std::uint64_t grants() const;
  // The kernel was asked to drop the whole file after grants() gave `grants`, and did. True if nothing was
  // granted since: it holds nothing then. REQUIRES: the whole file is held exclusively.
  bool dropped_all(std::uint64_t grants);

  // Something was granted since it last held nothing.
  bool any() const;

 private:
  using Piece = std::bitset<limits::kGrantPiecePages>;
  struct Mark {
    ByteRange bytes;
    std::uint64_t ticket;
  };

  bool is_granted(std::uint64_t page) const REQUIRES(mutex_);
  // The first page in [page, end) that may be granted or overwritten; `end` if there is none.
  std::uint64_t next_held(std::uint64_t page, std::uint64_t end) const REQUIRES(mutex_);
  void set_granted(std::uint64_t page, bool granted) REQUIRES(mutex_);
  bool holds(std::uint64_t page) const REQUIRES(mutex_);

  mutable sync::Mutex mutex_;
  std::map<std::uint64_t, std::unique_ptr<Piece>> pieces_ GUARDED_BY(mutex_);
  bool everything_ GUARDED_BY(mutex_) = false;  // too many pieces: every page counts as granted
  // Looked at before the mutex: whoever grants pages that a write touches holds it off meanwhile.
  sync::Atomic<bool> any_{false};
  std::map<std::uint64_t, std::vector<Mark>> overwritten_ GUARDED_BY(mutex_);
  std::uint64_t tickets_ GUARDED_BY(mutex_) = 0;
  std::uint64_t grants_ GUARDED_BY(mutex_) = 0;
};

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_KERNEL_PAGES_H_
