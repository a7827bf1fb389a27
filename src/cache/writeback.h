// writeback: from dirty pages to the store.
//
// A flush takes pages off the file's dirty list (dirty -> writeback), sorts them, copies neighbours side
// by side into a snapshot buffer and sends each run as one request. Requests complete in any order and
// thread: their pages become clean, or dirty again if they were rewritten meanwhile or the request
// failed. Of a run in which pages are watched (views.h) only those are sent that must be written, the views having been
// asked while all of it is pinned: one request for each run of them, through the same buffer. A failed page keeps its
// place and age on the list, its bytes in the cache, and its credit.
//
// Who calls: the flusher's thread, sync, close, and writers with O_SYNC; under no gate and with no page
// held. Any number of flushes run on one file at once: a page is in one of them at most.
//
// Invariants:
//  1. Only the bytes that lie in the file are written: its size is read under the pin with which the page is copied, so
//     that nobody cuts it in between.
//  2. A page under writeback is not dropped, moved or written a second time before its request ended.
//  3. Nothing here waits past its limit, neither for a buffer nor for a writer who holds a page. A page
//     that was taken and could not be sent by then is on the list again. What was sent goes on alone.
#ifndef QUIRE_CACHE_WRITEBACK_H_
#define QUIRE_CACHE_WRITEBACK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>

#include "cache/dirty_list.h"
#include "cache/file_pages.h"
#include "sync/wait.h"

namespace quire::cache {

class FlushJob;

// What becomes of pages that are watched (views.h).
enum class Sight : std::uint8_t {
  kStays,  // they stay in sight, and dirty: what was stored into by now is written
  kEnds,   // they are taken out of sight first, and are clean in the end
};

// Pages of one file that were taken off its list together. Its maker need not wait for the end.
class FlushBatch {
 public:
  static constexpr std::size_t kPagesMax = 1024;  // enough to sort neighbours together

  // Takes the wanted pages that can be taken now, at most `pages_max`, and sends them. Passes over pages
  // that are being written or dropped. `limit` is for the sending. REQUIRES: pages_max <= kPagesMax.
  FlushBatch(FilePages& pages, const DirtyList::Wanted& wanted, std::size_t pages_max, Sight sight,
             const sync::WaitLimit& limit);
  ~FlushBatch();
  FlushBatch(const FlushBatch&) = delete;
  FlushBatch& operator=(const FlushBatch&) = delete;

  // Waits until the last of its requests has ended.
  sync::WaitStatus wait(const sync::WaitLimit& limit);

  const DirtyList::Taken& taken() const noexcept { return taken_; }
  std::uint64_t pages_sent() const noexcept;
  // Errc::kTimedOut or Errc::kInterrupted if the limit kept some page from being sent.
  std::error_code left_out() const noexcept;
  // The first that the store answered with. REQUIRES: wait() said kReady.
  std::error_code store_error() const noexcept;

 private:
  const std::shared_ptr<FlushJob> job_;
  DirtyList::Taken taken_;
};

struct FlushResult {
  std::error_code error;    // the first: the store's, Errc::kTimedOut or Errc::kInterrupted
  std::uint64_t pages = 0;  // sent to the store and answered for
};

// Writes every page in [first_index, last_index] that was dirty when this was called, waits for them
// and for all that others had taken before. On success all of it is at the store (not yet durable:
// Store::sync). A page that fails does not keep the others that are on the list from being tried, once
// each; then the error is returned, without waiting for others. Bounded whatever writers do: pages
// dirtied after the call do not count.
FlushResult flush_all(FilePages& pages, std::uint64_t first_index, std::uint64_t last_index,
                      const sync::WaitLimit& limit, Sight sight = Sight::kStays);

}  // namespace quire::cache

#endif  // QUIRE_CACHE_WRITEBACK_H_
