#include "cache/page_cache.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "cache/counters.h"

namespace quire::cache {
namespace {

Error bad_option(std::string_view name, std::uint64_t value, std::string_view range) {
  return Error(std::errc::invalid_argument,
               fmt::format("CacheOptions::{} is {}; it must be {}", name, value, range));
}

constexpr std::size_t round_to_pages(std::size_t bytes) {
  return bytes & ~(limits::kPageBytes - 1);
}

std::uint64_t physical_memory_bytes() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  return static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_bytes);
}

}  // namespace

Result<Budget> plan_budget(const CacheOptions& o) {
  if (o.memory_bytes < limits::kMemoryMinBytes || o.memory_bytes > limits::kMemoryMaxBytes) {
    return bad_option(
        "memory_bytes", o.memory_bytes,
        fmt::format("from {} to {}", limits::kMemoryMinBytes, limits::kMemoryMaxBytes));
  }
  if (o.worker_threads < 1 || o.worker_threads > 64) {
    return bad_option("worker_threads", o.worker_threads, "from 1 to 64");
  }
  if (o.readahead_max_bytes > limits::kReadaheadMaxBytes) {
    return bad_option("readahead_max_bytes", o.readahead_max_bytes,
                      fmt::format("at most {}", limits::kReadaheadMaxBytes));
  }
  if (o.dirty_age < std::chrono::milliseconds(10)) {
    return bad_option("dirty_age (milliseconds)",
                      static_cast<std::uint64_t>(std::max<std::int64_t>(o.dirty_age.count(), 0)),
                      "at least 10");
  }
  switch (o.locking) {
    case Locking::kGate:
    case Locking::kRange:
    case Locking::kInvalidate:
    case Locking::kInode:
      break;
    default:
      return bad_option("locking", static_cast<std::uint64_t>(o.locking), "one of Locking");
  }
  if (o.deadlock != Deadlock::kBounce && o.deadlock != Deadlock::kStrict) {
    return bad_option("deadlock", static_cast<std::uint64_t>(o.deadlock), "one of Deadlock");
  }
  const std::size_t dirty_max =
      o.dirty_max_bytes != 0 ? o.dirty_max_bytes : o.memory_bytes / 10 * 4;
  const std::size_t background = o.dirty_background_bytes != 0
                                     ? o.dirty_background_bytes
                                     : std::min(o.memory_bytes / 10, dirty_max / 2);
  const std::size_t dirty_min = 64 * limits::kPageBytes;
  if (dirty_max > o.memory_bytes / 2 || dirty_max < dirty_min) {
    return bad_option(
        "dirty_max_bytes", dirty_max,
        fmt::format("from {} to half of memory_bytes ({})", dirty_min, o.memory_bytes / 2));
  }
  if (background > dirty_max) {
    return bad_option("dirty_background_bytes", background,
                      fmt::format("at most dirty_max_bytes ({})", dirty_max));
  }

  Budget b;
  b.memory_bytes = o.memory_bytes;
  b.writeback_io_bytes = round_to_pages(
      std::clamp(o.memory_bytes / 64, std::size_t{64} << 10, limits::kStoreIoMaxBytes));
  b.fixed_bytes = limits::kWritebackDepth * b.writeback_io_bytes + Counters::bytes();
  b.per_frame_bytes = limits::kPageBytes + Memory::overhead_per_frame();
  b.frames = static_cast<std::uint32_t>((o.memory_bytes - b.fixed_bytes) / b.per_frame_bytes);
  b.dirty_max_pages = dirty_max / limits::kPageBytes;
  b.dirty_background_pages = std::max<std::size_t>(background / limits::kPageBytes, 1);
  // A steady reader has Readahead::kWindowsAhead windows. With more than a sixteenth each of what there
  // is, readers evict each other's.
  b.readahead_max_pages =
      std::min(o.readahead_max_bytes / limits::kPageBytes, std::size_t{b.frames} / 16);
  return b;
}

Result<std::unique_ptr<PageCache>> PageCache::create(std::shared_ptr<Store> store,
                                                     const CacheOptions& options) {
  // Promised but absent memory would end the process much later, without a word.
  if (const std::uint64_t there = physical_memory_bytes();
      options.memory_bytes <= limits::kMemoryMaxBytes && options.memory_bytes > there) {
    return Error(
        std::errc::not_enough_memory,
        fmt::format("CacheOptions::memory_bytes is {}; this machine has {} bytes of memory",
                    options.memory_bytes, there));
  }
  auto budget = plan_budget(options);
  if (!budget.ok()) return std::move(budget).error();
  return create(std::move(store), *budget, options);
}

Result<std::unique_ptr<PageCache>> PageCache::create(std::shared_ptr<Store> store,
                                                     const Budget& budget,
                                                     const CacheOptions& options) {
  std::unique_ptr<PageCache> cache(new PageCache);
  cache->store_ = std::move(store);
  cache->traits_ = cache->store_->traits();
  cache->budget_ = budget;
  cache->locking_ = options.locking;
  cache->reserving_ = options.reserve_space && cache->traits_.reserves_space;
  cache->deadlock_ = options.deadlock;
  cache->log_ = options.log;
  PageCache* const self = cache.get();
  const auto press = [self] { self->flusher_.press(); };
  cache->lot_ = std::make_shared<PageWaitLot>();
  auto memory = Memory::create(budget.frames, press);
  if (!memory.ok()) return std::move(memory).error();
  cache->memory_ = std::move(*memory);
  cache->dirty_ = std::make_unique<DirtyBudget>(budget.dirty_max_pages, press);
  auto snapshots = SnapshotPool::create(limits::kWritebackDepth, budget.writeback_io_bytes);
  if (!snapshots.ok()) return std::move(snapshots).error();
  cache->snapshots_ = std::move(*snapshots);
  if (Status started = cache->flusher_.start(*cache, options.dirty_age); !started.ok()) {
    return std::move(started).error();
  }
  return cache;
}

void PageCache::log_soon(LogLevel level, const std::function<std::string()>& message) noexcept {
  if (!log_) return;
  try {
    Unsaid unsaid{level, message()};
    sync::MutexLock lock(unsaid_mutex_);
    if (unsaid_.size() == limits::kUnsaidMax) {
      ++left_out_;
      return;
    }
    unsaid_.push_back(std::move(unsaid));
  } catch (const std::bad_alloc&) {
    return;
  }
  flusher_.wake();
}

void PageCache::say() {
  std::vector<Unsaid> unsaid;
  std::uint64_t left_out = 0;
  {
    sync::MutexLock lock(unsaid_mutex_);
    unsaid.swap(unsaid_);
    left_out = std::exchange(left_out_, 0);
  }
  for (const Unsaid& what : unsaid) log(what.level, what.message);
  if (left_out > 0) {
    log(LogLevel::kWarning, fmt::format("{} more messages were left out", left_out));
  }
}

std::uint64_t PageCache::memory_used_bytes() const noexcept {
  const FramePool& pool = memory_->pool();
  const std::uint64_t used = pool.frames() - pool.free_frames();
  return budget_.fixed_bytes +
         std::uint64_t{pool.frames()} * (budget_.per_frame_bytes - limits::kPageBytes) +
         used * limits::kPageBytes;
}

}  // namespace quire::cache
