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
  if (count_ == 0) return nullptr;
  const FrameNumber frame = take();
  memory_.pool().note_used(frame);
  return memory_.bytes(frame);
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
  if (line_.empty() && collect(set, need, passing)) return sync::WaitStatus::kReady;

  sync::SleepingWaker self;
  Waiter waiter(self);
  begin(waiter, set, need);
  sync::WaitStatus status = sync::WaitStatus::kReady;
  for (;;) {
    const Found found = look(waiter);
    if (found == Found::kEnough) break;
    if (found == Found::kPassing) {
      sync::yield_thread();
      if (limit.stop.stop_requested() || sync::Clock::now() >= limit.deadline) {
        status = limit.stop.stop_requested() ? sync::WaitStatus::kInterrupted
                                             : sync::WaitStatus::kTimedOut;
        break;
      }
      continue;
    }
    line_.rest(waiter.place_);
    status = self.park(limit);
    if (status != sync::WaitStatus::kReady) break;
  }
  (void)end(waiter);
  return status;
}

bool Memory::acquire_async(FrameSet& set, std::size_t need, Waiter& waiter) noexcept {
  QUIRE_DCHECK(need <= FrameSet::kFramesMax);
  sync::lock_rank::assert_may_wait_for_memory();
  bool passing = false;
  if (line_.empty() && collect(set, need, passing)) return true;
  begin(waiter, set, need);
  return resume(waiter);
}

bool Memory::resume(Waiter& waiter) noexcept {
  switch (look(waiter)) {
    case Found::kEnough:
      (void)end(waiter);
      return true;
    case Found::kTooFew:
      line_.rest(waiter.place_);
      return false;
    case Found::kPassing:
      line_.again(waiter.place_);
      return false;
  }
  return false;
}

bool Memory::cancel(Waiter& waiter) noexcept {
  return end(waiter);
}

void Memory::begin(Waiter& waiter, FrameSet& set, std::size_t need) noexcept {
  // From here on only the first in the queue may hold frames while it waits.
  set.give_back();
  waiter.set_ = &set;
  waiter.need_ = need;
  line_.join(waiter.place_);
  waiter.timer_.emplace(waits_);
}

Memory::Found Memory::look(Waiter& waiter) noexcept {
  bool passing = false;
  if (line_.look(waiter.place_)) {
    if (collect(*waiter.set_, waiter.need_, passing)) return Found::kEnough;
    if (passing) return Found::kPassing;
  }
  on_short_();
  return Found::kTooFew;
}

bool Memory::end(Waiter& waiter) noexcept {
  waiter.timer_.reset();
  return line_.leave(waiter.place_);
}

void Memory::try_acquire(FrameSet& set, std::size_t want) noexcept {
  if (!line_.empty()) return;
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
  line_.notify();
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

class Memory::Run {
 public:
  explicit Run(Memory& memory) : memory_(memory) {}
  ~Run() { end(); }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  // A sealed page in its file's memory.
  void add(FilePages& pages, std::uint64_t index, PageWord& word, FrameNumber frame) noexcept {
    if (&pages != pages_ || index != first_ + count_ || count_ == kPagesMax) end();
    if (count_ == 0) {
      pages_ = &pages;
      first_ = index;
    }
    victims_[count_++] = {&word, frame};
  }

 private:
  static constexpr std::size_t kPagesMax = 64;
  struct Victim {
    PageWord* word;
    FrameNumber frame;
  };

  void end() noexcept {
    if (count_ == 0) return;
    pages_->punch(first_, count_);
    for (std::size_t i = 0; i < count_; ++i) {
      pages_->leave_memory(victims_[i].frame);
      memory_.end_eviction(*pages_, first_ + i, *victims_[i].word, victims_[i].frame);
    }
    count_ = 0;
  }

  Memory& memory_;
  FilePages* pages_ = nullptr;
  std::uint64_t first_ = 0;
  std::size_t count_ = 0;
  std::array<Victim, kPagesMax> victims_;
};

std::size_t Memory::evict(std::size_t want, bool& passing) noexcept {
  const std::size_t scan_max = (S3Fifo::kUsesMax + 2) * policy_.size() + want;
  Run run(*this);
  return policy_.evict(want, scan_max,
                       [&](FrameNumber frame) { return try_evict(frame, run, passing); });
}

Eviction Memory::try_evict(FrameNumber frame, Run& run, bool& passing) noexcept {
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
  if (value.in_file()) {
    run.add(pages, index, *word, frame);
  } else {
    end_eviction(pages, index, *word, frame);
  }
  return Eviction::kEvicted;
}

void Memory::end_eviction(FilePages& pages, std::uint64_t index, PageWord& word,
                          FrameNumber frame) noexcept {
  pages.wake(index, word.drop());
  const bool leaf_unused = pages.leave_leaf(word);
  pool_->free(frame);
  evicted_.fetch_add(1);
  if (leaf_unused && pages.prune(index) == 0) unused_leaves_.fetch_add(1);
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

}  // namespace quire::cache
