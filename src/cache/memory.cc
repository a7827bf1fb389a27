#include "cache/memory.h"

#include "cache/file_pages.h"
#include "sync/lock_rank.h"
#include "sync/thread.h"

namespace quire::cache {
namespace {

// Pages evicted at a time, so that a reader who finds no frame pays for others too.
constexpr std::size_t kEvictBatch = 32;

}  // namespace

FrameSet::~FrameSet() {
  give_back();
}

void FrameSet::shrink(std::size_t keep) noexcept {
  while (count_ > keep) memory_.release(take());
}

void* FrameSet::allocate() noexcept {
  return count_ == 0 ? nullptr : memory_.bytes(take());
}

void FrameSet::deallocate(void* node) noexcept {
  const FrameNumber frame = memory_.pool().frame_of(node);
  if (count_ < kFramesMax) {
    put(frame);
  } else {
    memory_.release(frame);
  }
}

std::size_t Memory::overhead_per_frame() {
  return FramePool::overhead_per_frame() + S3Fifo::bytes_per_frame();
}

Result<std::unique_ptr<Memory>> Memory::create(std::uint32_t frames,
                                               std::function<void()> on_short) {
  auto pool = FramePool::create(frames);
  if (!pool.ok()) return std::move(pool).error();
  return std::unique_ptr<Memory>(new Memory(std::move(*pool), std::move(on_short)));
}

Memory::Memory(std::unique_ptr<FramePool> pool, std::function<void()> on_short)
    : pool_(std::move(pool)), on_short_(std::move(on_short)), policy_(pool_->frames()) {}

sync::WaitStatus Memory::acquire(FrameSet& set, std::size_t need, const sync::WaitLimit& limit) {
  QUIRE_DCHECK(need <= FrameSet::kFramesMax);
  sync::lock_rank::assert_may_wait_for_memory();
  bool passing = false;
  if (waiting_.load() == 0 && collect(set, need, passing)) return sync::WaitStatus::kReady;

  // From here on only the first in the queue may hold frames while it waits.
  set.give_back();
  const WaitCount::Timer timer(waits_);
  Waiter waiter;
  join(waiter);
  sync::WaitStatus status = sync::WaitStatus::kReady;
  for (;;) {
    passing = false;
    const bool first = is_first(waiter);
    if (first && collect(set, need, passing)) break;
    if (first && passing) {
      sync::yield_thread();
      if (limit.stop.stop_requested() || sync::Clock::now() >= limit.deadline) {
        status = limit.stop.stop_requested() ? sync::WaitStatus::kInterrupted
                                             : sync::WaitStatus::kTimedOut;
        break;
      }
      continue;
    }
    on_short_();
    status = waiter.parker.park_until(limit);
    if (status != sync::WaitStatus::kReady) break;
  }
  leave(waiter);
  return status;
}

void Memory::try_acquire(FrameSet& set, std::size_t want) noexcept {
  if (waiting_.load() != 0) return;
  bool passing = false;
  (void)collect(set, want, passing);
}

bool Memory::collect(FrameSet& set, std::size_t need, bool& passing) noexcept {
  while (set.size() < need) {
    FrameNumber frame = pool_->allocate();
    if (frame == kNoFrame) {
      const Reclaimed reclaimed = reclaim(need - set.size());
      if (reclaimed.frames == 0) {
        // Somebody may have freed one while we searched.
        frame = pool_->allocate();
        if (frame == kNoFrame) {
          passing = reclaimed.passing;
          return false;
        }
      } else {
        continue;
      }
    }
    set.put(frame);
  }
  return true;
}

void Memory::release(FrameNumber frame) noexcept {
  pool_->free(frame);
  note_evictable();
}

void Memory::note_evictable() noexcept {
  if (waiting_.load() == 0) return;
  sync::MutexLock lock(queue_mutex_);
  if (first_waiter_ != nullptr) first_waiter_->parker.unpark();
}

void Memory::insert(std::span<const FrameNumber> frames, std::uint64_t serial) noexcept {
  sync::MutexLock lock(policy_mutex_);
  for (const FrameNumber frame : frames) {
    std::uint64_t hash = serial * 0x9e3779b97f4a7c15u + pool_->descriptor(frame).index.load();
    hash = (hash ^ (hash >> 32)) * 0xd6e8feb86659fd93u;
    hash = (hash ^ (hash >> 32)) * 0xd6e8feb86659fd93u;
    policy_.insert(frame, hash ^ (hash >> 32));
  }
}

void Memory::remove(FrameNumber frame) noexcept {
  sync::MutexLock lock(policy_mutex_);
  policy_.remove(frame);
}

Memory::Reclaimed Memory::reclaim(std::size_t want) noexcept {
  Reclaimed result;
  sync::MutexLock lock(policy_mutex_);
  result.frames = evict(want > kEvictBatch ? want : kEvictBatch, result.passing);
  if (result.frames == 0) result.frames = free_unused_leaves();
  reclaims_.fetch_add(1);
  if (result.frames == 0) empty_reclaims_.fetch_add(1);
  // A leaf that could not be freed was looked at, or its file added to, by somebody who tells us
  // nothing when he has ended.
  result.passing |= unused_leaves_.load() != 0;
  return result;
}

std::size_t Memory::evict(std::size_t want, bool& passing) noexcept {
  const std::size_t scan_max = (S3Fifo::kUsesMax + 2) * policy_.size() + want;
  return policy_.evict(want, scan_max,
                       [&](FrameNumber frame) { return try_evict(frame, passing); });
}

Eviction Memory::try_evict(FrameNumber frame, bool& passing) noexcept {
  FrameDescriptor& d = pool_->descriptor(frame);
  FilePages& pages = *d.owner.load();
  const std::uint64_t index = d.index.load();
  PageWord* const word = pages.find(index);  // its leaf holds a page: it stays
  PageValue value = word->load();
  QUIRE_DCHECK(value.frame() == frame);
  if (!word->begin_evict(value)) {
    // A sealed page may wait for the store: unseal() and drop tell us.
    passing |= value.state() == PageState::kClean && value.pins() == 0 && !value.sealed();
    return Eviction::kBusy;
  }
  if (Hazards::named(pages.key(index))) {
    pages.wake(index, word->unseal());
    passing = true;
    return Eviction::kBusy;
  }
  pages.release_bytes(index, value);
  const PageValue before = word->drop();
  pages.wake(index, before);
  const bool leaf_unused = pages.leave_leaf(*word);
  pool_->free(frame);
  evicted_.fetch_add(1);
  if (leaf_unused && pages.prune(index) == 0) unused_leaves_.fetch_add(1);
  return Eviction::kEvicted;
}

std::size_t Memory::free_unused_leaves() noexcept {
  if (unused_leaves_.exchange(0) == 0) return 0;
  std::size_t freed = 0;
  for (FrameNumber frame = 0; frame < pool_->frames(); ++frame) {
    FrameDescriptor& d = pool_->descriptor(frame);
    if (d.is_leaf.load() == 0 || d.leaf_pages.load() != 0) continue;
    FilePages* const pages = d.owner.load();
    if (pages == nullptr) continue;
    const std::size_t nodes = pages->prune(d.index.load());
    if (nodes == 0) unused_leaves_.fetch_add(1);
    freed += nodes;
  }
  return freed;
}

void Memory::join(Waiter& waiter) noexcept {
  sync::MutexLock lock(queue_mutex_);
  (last_waiter_ != nullptr ? last_waiter_->next : first_waiter_) = &waiter;
  last_waiter_ = &waiter;
  waiting_.fetch_add(1);
}

void Memory::leave(Waiter& waiter) noexcept {
  sync::MutexLock lock(queue_mutex_);
  Waiter* before = nullptr;
  for (Waiter* w = first_waiter_; w != &waiter; w = w->next) before = w;
  (before != nullptr ? before->next : first_waiter_) = waiter.next;
  if (last_waiter_ == &waiter) last_waiter_ = before;
  waiting_.fetch_sub(1);
  if (first_waiter_ != nullptr) first_waiter_->parker.unpark();
}

bool Memory::is_first(const Waiter& waiter) noexcept {
  sync::MutexLock lock(queue_mutex_);
  return first_waiter_ == &waiter;
}

}  // namespace quire::cache
