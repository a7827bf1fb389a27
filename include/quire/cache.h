// A Cache: one store's files, cached in one memory budget.
//
//   auto store = quire::open_host_store("/srv/data");
//   auto cache = quire::Cache::create(std::move(*store), {.memory_bytes = 64 << 20});
//   auto file = (*cache)->open("a/b", quire::OpenFlags::kReadWrite | quire::OpenFlags::kCreate);
//   file->write(bytes, 0);
//   file->sync();
//
// Thread-safety: everything but close() and destruction may be called from any thread at any time.
#ifndef QUIRE_CACHE_H_
#define QUIRE_CACHE_H_

#include <cstdint>
#include <memory>
#include <string_view>

#include "quire/export.h"
#include "quire/file.h"
#include "quire/options.h"
#include "quire/result.h"
#include "quire/store.h"

namespace quire {

class CacheImpl;

// Callers that had to wait for one kind of thing, since the cache was made.
struct WaitStats {
  std::uint64_t count = 0;  // waits that have begun
  // Of those that have ended, in all and the longest.
  std::uint64_t total_ns = 0;
  std::uint64_t worst_ns = 0;
};

// Counters since the cache was made, and gauges of now. Taken without stopping anything, so they
// need not agree with each other to the last page.
struct CacheStats {
  std::uint64_t hits = 0;               // pages read that were in the cache
  std::uint64_t misses = 0;             // pages that a reader or writer waited for
  std::uint64_t readahead_pages = 0;    // pages read before somebody asked
  std::uint64_t evicted_pages = 0;      // clean pages given up for others
  std::uint64_t written_pages = 0;      // pages written back
  std::uint64_t write_requests = 0;     // ... in this many requests to the store
  std::uint64_t read_requests = 0;      // requests to the store that read
  std::uint64_t writeback_errors = 0;   // requests of writeback that failed
  std::uint64_t direct_read_bytes = 0;  // past the cache
  std::uint64_t direct_write_bytes = 0;
  std::uint64_t direct_fallbacks =
      0;                             // direct writes that went through the cache for a page in use
  std::uint64_t reclaims = 0;        // searches for pages to give up
  std::uint64_t empty_reclaims = 0;  // ... that found none
  std::uint64_t memory_bytes = 0;    // the budget
  std::uint64_t memory_used_bytes = 0;  // of it in use: pages, tree nodes, descriptors, IO buffers
  std::uint64_t cached_pages = 0;
  std::uint64_t dirty_pages = 0;      // those under writeback too
  std::uint64_t writeback_pages = 0;  // being written now
  // Pages for which space is reserved on the store and nothing is written yet: dirty ones, and those that a
  // writer is expected to come to (CacheOptions::reserve_space).
  std::uint64_t reserved_pages = 0;
  std::uint64_t open_files = 0;
  WaitStats page_waits;      // for a page that is being read or written, by whomever
  WaitStats throttle_waits;  // writes, for the dirty limit
  WaitStats memory_waits;    // for memory, when nothing could be given up at once
  WaitStats range_waits;     // for other operations on the same bytes, or on the size
};

class QUIRE_EXPORT Cache {
 public:
  // Errors: EINVAL with a text that names the option, its value and its range; ENOMEM; Errc::kInUse
  // where the store serves another Cache that has not been closed.
  static Result<std::unique_ptr<Cache>> create(std::shared_ptr<Store> store,
                                               const CacheOptions& options);

  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;
  // close(), and what that returns is logged. With files still open it logs each of them as an error
  // and abandons the engine rather than free memory that those Files still point to: they then fail
  // with Errc::kClosed.
  ~Cache();

  // Opens the file at `path`, relative to the store's root. `mode` as in open(2), for files made.
  // Errors: those of Store::open, EINVAL for flags that contradict each other, ENFILE.
  Result<File> open(std::string_view path, OpenFlags flags, std::uint32_t mode = 0666);

  // sync() of every file, then of the store; returns the first error after having tried them all. Can be
  // left like every other call: what the store does not answer then goes on without the caller.
  Status sync(const CallOptions& call = {});

  // Waits for outstanding requests, writes everything back and makes it durable, tries again what
  // fails limits::kCloseAttemptsMax times, and lists in the error what was lost then. Refuses with
  // Errc::kOpenFiles, and does nothing, while Files are open. The cache cannot be used afterwards
  // unless it refused.
  Status close(const CallOptions& call = {});

  CacheStats stats() const;

 private:
  QUIRE_NO_EXPORT explicit Cache(std::shared_ptr<CacheImpl> impl) noexcept;
  std::shared_ptr<CacheImpl> impl_;
};

}  // namespace quire

#endif  // QUIRE_CACHE_H_
