// How a Cache is set up. Every field has a default that suits a program that says nothing.
#ifndef QUIRE_OPTIONS_H_
#define QUIRE_OPTIONS_H_

#include <chrono>
#include <cstddef>

#include "quire/limits.h"
#include "quire/log.h"

namespace quire {

// How a file keeps pages out of its cache while the bytes under them change: while it is truncated, and
// while direct IO writes. Nothing that a program can see depends on it, only who waits for whom.
enum class Locking {
  // Pages are added in an instant, and only that is kept out of the file while it is cut. Reads of what
  // is cached never wait. For files that are cut often and hardly read meanwhile.
  kGate,
  // The same, but only in the range that is cut: reads elsewhere in the file do not wait. The default, which
  // costs some 70 ns more for each cut; docs/locking.md has the figures.
  kRange,
  // Reads that miss keep cuts of the file waiting until the store has answered, and a cut keeps all
  // other cuts of it and misses waiting. What the page cache of Linux does today; to compare with.
  kInvalidate,
  // Every read, cached or not, keeps out every write and cut of the file. What XFS does; to compare with.
  kInode,
};

// What direct IO does whose buffer is a mapping, made by File::map(), of the very bytes that are read or
// written. Everything else whose buffer lies in a mapping, of whatever file, is copied, as File says.
enum class Deadlock {
  kBounce,  // the same: it succeeds
  kStrict,  // it fails with EDEADLK, for a program that takes it for a mistake of its own
};

struct CacheOptions {
  // All memory for pages, for the trees that find them, for their descriptors and for IO buffers,
  // in bytes. Range: limits::kMemoryMinBytes to limits::kMemoryMaxBytes, and no more than the
  // machine has (ENOMEM). The cache never exceeds it. A process that does nothing else stays within this
  // and 16 MiB more: code, heap, stacks of threads.
  std::size_t memory_bytes = limits::kMemoryDefaultBytes;

  // From this many dirty bytes on, writeback starts in the background. 0: a tenth of memory_bytes.
  std::size_t dirty_background_bytes = 0;
  // At this many dirty bytes a writer waits for writeback. 0: four tenths of memory_bytes. At most
  // half of it.
  std::size_t dirty_max_bytes = 0;
  // Dirty data is written when it gets this old. At least 10 ms.
  std::chrono::milliseconds dirty_age = limits::kDirtyAgeDefault;

  // The largest readahead window. 0 turns readahead off; at most limits::kReadaheadMaxBytes.
  std::size_t readahead_max_bytes = limits::kReadaheadMaxBytes;

  // Which lock every file of the cache uses.
  Locking locking = Locking::kRange;

  // A write takes space for its pages from the store before they become dirty, so that a full disk shows at
  // the write and not when it is written back. Only where the store can promise it
  // (StoreTraits::reserves_space); elsewhere nothing changes. What turns out not to be needed is given back
  // when the file is closed. Until then a file that is written from one end to the other may take up to
  // limits::kReservePagesMax pages more on the store than it needs.
  bool reserve_space = true;
  // Whether direct IO from a part of a file to itself is an error.
  Deadlock deadlock = Deadlock::kBounce;

  // Threads that run File::submit requests, beside one that keeps their deadlines. 1 to 64.
  unsigned worker_threads = 4;

  // Receives the library's messages; empty: they are dropped.
  LogFunction log = {};
};

}  // namespace quire

#endif  // QUIRE_OPTIONS_H_
