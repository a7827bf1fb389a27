// PageCache: what all files of one cache share: the store, the memory, where to wait for pages, the
// dirty budget, the buffers of writeback, the flusher, and the counters. It is made once, before any
// file, and outlives every file.
#ifndef QUIRE_CACHE_PAGE_CACHE_H_
#define QUIRE_CACHE_PAGE_CACHE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cache/counters.h"
#include "cache/dirty_budget.h"
#include "cache/dirty_files.h"
#include "cache/flusher.h"
#include "cache/memory.h"
#include "cache/page_wait.h"
#include "cache/snapshot_pool.h"
#include "cache/turns.h"
#include "quire/log.h"
#include "quire/options.h"
#include "quire/store.h"
#include "sync/mutex.h"

namespace quire::cache {

// Sizes derived from CacheOptions, all within its memory_bytes.
struct Budget {
  std::uint64_t memory_bytes = 0;
  std::uint32_t frames = 0;
  std::uint64_t dirty_background_pages = 0;
  std::uint64_t dirty_max_pages = 0;
  std::size_t writeback_io_bytes = 0;  // of each of limits::kWritebackDepth snapshot buffers
  std::size_t readahead_max_pages = 0;
  // Bytes spent beside frames.
  std::size_t fixed_bytes = 0;
  std::size_t per_frame_bytes = 0;
};

// Errors: EINVAL, with a text that names the option, its value and its range.
Result<Budget> plan_budget(const CacheOptions& options);

class PageCache {
 public:
  // Starts the flusher. Errors: those of plan_budget, ENOMEM, EAGAIN for its thread.
  static Result<std::unique_ptr<PageCache>> create(std::shared_ptr<Store> store,
                                                   const CacheOptions& options);
  // The same with sizes of the caller's own, for tests of small ones.
  static Result<std::unique_ptr<PageCache>> create(std::shared_ptr<Store> store,
                                                   const Budget& budget,
                                                   const CacheOptions& options);
  // REQUIRES: no file is left and no request is under way.
  ~PageCache() {
    flusher_.stop();
    say();
  }

  Store& store() noexcept { return *store_; }
  const StoreTraits& traits() const noexcept { return traits_; }
  Memory& memory() noexcept { return *memory_; }
  PageWaitLot& lot() noexcept { return *lot_; }
  // For those who may still wake somebody when the cache is gone (FilePages::end_request).
  const std::shared_ptr<PageWaitLot>& shared_lot() noexcept { return lot_; }
  DirtyBudget& dirty() noexcept { return *dirty_; }
  DirtyFiles& dirty_files() noexcept { return dirty_files_; }
  SnapshotPool& snapshots() noexcept { return *snapshots_; }
  Flusher& flusher() noexcept { return flusher_; }
  // After pages were dirtied: starts writeback if there are many.
  void balance_dirty() noexcept {
    if (dirty_->taken() > budget_.dirty_background_pages) flusher_.wake();
  }
  Counters& counters() noexcept { return counters_; }
  const Counters& counters() const noexcept { return counters_; }
  const Budget& budget() const noexcept { return budget_; }
  // Of every file.
  Locking locking() const noexcept { return locking_; }
  // Pages shall not be dirtied before the store has space for them.
  bool reserving() const noexcept { return reserving_; }
  // The store reserves nothing for some file, whatever it promised. True for the first who says so.
  bool note_not_reserving() noexcept { return !not_reserving_.exchange(true); }
  Deadlock deadlock() const noexcept { return deadlock_; }
  // Of those who wait for memory with frames in hand, for longer than one look.
  Turns& turns() noexcept { return turns_; }
  // Memory in use of the budget, in bytes.
  std::uint64_t memory_used_bytes() const noexcept;
  void log(LogLevel level, std::string_view message) const {
    if (log_) log_(level, message);
  }
  // The same for who holds a lock of any kind, a page among them: the flusher says it. Without memory, or past
  // limits::kUnsaidMax, nobody does.
  void log_soon(LogLevel level, const std::function<std::string()>& message) noexcept;
  // Says what there is. By the flusher, and when it has ended; under no lock.
  void say();

 private:
  struct Unsaid {
    LogLevel level;
    std::string message;
  };

  PageCache() = default;

  std::shared_ptr<Store> store_;
  StoreTraits traits_;
  Budget budget_;
  Locking locking_ = Locking::kGate;
  bool reserving_ = false;
  sync::Atomic<bool> not_reserving_{false};
  Deadlock deadlock_ = Deadlock::kBounce;
  LogFunction log_;
  sync::Mutex unsaid_mutex_;
  std::vector<Unsaid> unsaid_ GUARDED_BY(unsaid_mutex_);
  std::uint64_t left_out_ GUARDED_BY(unsaid_mutex_) = 0;
  Turns turns_;
  std::shared_ptr<PageWaitLot> lot_;
  std::unique_ptr<Memory> memory_;
  std::unique_ptr<DirtyBudget> dirty_;
  std::unique_ptr<SnapshotPool> snapshots_;
  DirtyFiles dirty_files_;
  Counters counters_;
  Flusher flusher_;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_PAGE_CACHE_H_
