// fill: misses. Adds absent pages to a file and reads them from the store.
//
// A run of pages is added in one go: frames and tree nodes are in hand before the Add begins
// (cache_lock.h); under it the pages become filling; then one request to the store reads them all under
// their filling state; its completion, in whatever thread, makes them clean or, on an error, absent.
//
// Who calls: readers and partial writes (fill_run), readahead (start_fill), page faults that no thread waits
// for (ParkedFill). They hold no Add, no Block and no page. fill_run may hold the write range.
//
// Invariants:
//  1. A page that became filling here ends clean or absent whatever the caller does: one who is
//     interrupted leaves the request to itself.
//  2. No page at or past the end of the file is added; the size is looked at under the Add.
//  3. Bytes of the last page past the end of the file are zeroed before it becomes clean.
#ifndef QUIRE_CACHE_FILL_H_
#define QUIRE_CACHE_FILL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "cache/file_pages.h"
#include "cache/memory.h"
#include "sync/wait.h"
#include "sync/waker.h"

namespace quire::cache {

class FillRequest;
// Of one that was not submitted.
struct FillRequestDeleter {
  void operator()(FillRequest* request) const noexcept;
};

// Pages that fill_run read, each with one pin, from `first()` on. Gives the pins back at its end.
class PinnedRun {
 public:
  PinnedRun() = default;
  explicit PinnedRun(FillRequest* request) noexcept : request_(request) {}
  PinnedRun(PinnedRun&& other) noexcept : request_(std::exchange(other.request_, nullptr)) {}
  PinnedRun& operator=(PinnedRun&& other) noexcept {
    std::swap(request_, other.request_);
    return *this;
  }
  ~PinnedRun();

  std::size_t pages() const noexcept;  // 0: somebody else was faster, or the file ends before
  std::uint64_t first() const noexcept;
  const std::byte* bytes(std::size_t i) const noexcept;

 private:
  FillRequest* request_ = nullptr;
};

// Reads the absent pages from `first` on, at most `pages_max` of them and as many as follow without a
// gap and have memory, and waits for them. Errors: the store's, Errc::kTimedOut, Errc::kInterrupted.
std::error_code fill_run(FilePages& pages, std::uint64_t first, std::size_t pages_max,
                         const sync::WaitLimit& limit, PinnedRun& run);

// fill_run() for what is no thread: waits for memory, for its turn to add and for the store without holding one
// up. Stays where it is, and is used once.
//
//            begin()            resume()          resume()
//   idle ------------> memory ------------> add ------------> store ----+
//     |                  |                   |                  | resume()
//     +------------------+---- ended --------+------------------+---> ended
//     each on its own way to the next, without a stop where there is nothing to wait for
class ParkedFill {
 public:
  // `waker` is told when resume() is to be called.
  ParkedFill(FilePages& pages, sync::Waker& waker) noexcept
      : pages_(pages),
        frames_(pages.cache().memory()),
        at_memory_(waker),
        at_add_(waker),
        waker_(waker) {}
  // REQUIRES: idle, ended, or cancelled; and if cancel() said false the waker was woken.
  ~ParkedFill();
  ParkedFill(const ParkedFill&) = delete;
  ParkedFill& operator=(const ParkedFill&) = delete;

  // As fill_run(). True: it has ended, see error() and run(). False: it waits; woken, call resume(), and again as
  // long as it says false.
  bool begin(std::uint64_t first, std::size_t pages_max) noexcept;
  bool resume() noexcept;
  // Waits no more; see waker.h. What the store was asked to read it goes on reading. No resume() after it.
  bool cancel() noexcept;

  // Once ended. Errors: the store's, ENOMEM.
  std::error_code error() const noexcept { return error_; }
  // The pages that were read, each with a pin; none after an error, or if somebody else was faster.
  PinnedRun& run() noexcept { return run_; }

 private:
  enum class Step : std::uint8_t { kIdle, kMemory, kAdd, kStore, kEnded, kGranted };

  bool add() noexcept;
  bool submit() noexcept;
  bool end(std::error_code error) noexcept;
  // The store has answered.
  void take_run() noexcept;

  FilePages& pages_;
  Step step_ = Step::kIdle;
  std::uint64_t first_ = 0;
  std::size_t pages_max_ = 0;
  std::size_t need_ = 0;
  FrameSet frames_;
  Memory::Waiter at_memory_;
  std::unique_ptr<FillRequest, FillRequestDeleter> unsent_;
  CacheLock::Add add_;
  CacheLock::AddWaiter at_add_;
  sync::Waker& waker_;
  FillRequest* sent_ = nullptr;  // shared with the store
  std::optional<WaitCount::Timer> read_wait_;
  std::error_code error_;
  PinnedRun run_;
};

// What start_fill did.
struct Started {
  std::size_t pages = 0;  // from the first on: they were there already, or are on their way
  bool refused = false;   // and no more, because no memory was free or a cut was under way
};
enum class Marker : std::uint8_t {
  kNone,
  kFirst,  // the first page that is read gets the readahead marker
};

// Starts to read, of up to `pages_max` pages from `first` on, the first run that is absent, as far as
// memory is free and nobody bars adding. Waits for nothing.
Started start_fill(FilePages& pages, std::uint64_t first, std::size_t pages_max,
                   Marker marker) noexcept;

}  // namespace quire::cache

#endif  // QUIRE_CACHE_FILL_H_
