// writeback: from dirty pages to the store.
//
// A flush takes pages off the file's dirty list (dirty -> writeback), sorts them, copies neighbours side
// by side into a snapshot buffer and sends each run as one request. Requests complete in any order and
// thread: their pages become clean, or dirty again if they were rewritten meanwhile or the request
// failed. A failed page keeps its place and age on the list, its bytes in the cache, and its credit.
//
// Who calls: the flusher's thread, sync, close, and writers with O_SYNC; under no gate and with no page
// held. Any number of flushes run on one file at once: a page is in one of them at most.
//
// Invariants:
//  1. Only the bytes that lie in the file are written: the size is read after the page was copied.
//  2. A page under writeback is not dropped, moved or written a second time before its request ended.
//  3. flush() returns with kNone pages of its own under way, unless it was interrupted; then the rest
//     goes on alone.
#ifndef QUIRE_CACHE_WRITEBACK_H_
#define QUIRE_CACHE_WRITEBACK_H_

#include <cstdint>
#include <system_error>

#include "cache/dirty_list.h"
#include "cache/file_pages.h"
#include "sync/wait.h"

namespace quire::cache {

struct FlushResult {
  std::error_code error;    // the first: the store's, Errc::kTimedOut or Errc::kInterrupted
  std::uint64_t pages = 0;  // sent to the store
};

// Writes the wanted pages that can be taken now, at most `pages_max`, and waits for them. Passes over
// pages that are being written or dropped. What the flusher does.
FlushResult flush_some(FilePages& pages, const DirtyList::Wanted& wanted, std::size_t pages_max,
                       const sync::WaitLimit& limit);

// Writes every page in [first_index, last_index] that was dirty when this was called, waits for them
// and for all that others had taken before. On success all of it is at the store (not yet durable:
// Store::sync). Bounded whatever writers do: pages dirtied after the call do not count.
FlushResult flush_all(FilePages& pages, std::uint64_t first_index, std::uint64_t last_index,
                      const sync::WaitLimit& limit);

}  // namespace quire::cache

#endif  // QUIRE_CACHE_WRITEBACK_H_
