// Memory: frames for those who may wait for them. Joins the frame pool, the replacement policy and
// the queue of those for whom nothing was free.
//
// Who calls: readers, writers and readahead, to get frames; whoever ends a page's stay in a state
// in which it cannot be evicted, to say so (note_evictable). Nobody calls acquire() while holding a
// gate, a page or anything else that eviction or writeback may need (lock_rank checks it).
//
// How memory is found: from the pool; by evicting clean pages that the policy offers; by freeing
// tree leaves that no page uses any more; else by asking the flusher for clean pages and waiting.
//
// Invariants:
//  1. Waiters, threads or not, are served in the order they came; only the first may hold frames while it
//     waits, so two cannot hold what each other needs.
//  2. No lost wake-up: a waiter looks again after it has joined the queue, and everything that
//     makes a frame free or a page evictable calls note_evictable() afterwards. A leaf that may be
//     freed once a walker or an adder of its file has ended tells nobody: the first waiter looks
//     again by itself while there is one. A thread gives way in between, what is no thread has itself
//     woken at once and comes back after whatever else its thread has to do.
//  3. Eviction takes only clean pages that nobody pins, reads, writes or waits for. It needs no
//     lock of the file but a TreeBlock.
//  4. A file whose pages are in the policy's queues is alive: its last act is to take them out,
//     under the policy's lock.
#ifndef QUIRE_CACHE_MEMORY_H_
#define QUIRE_CACHE_MEMORY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "cache/frame_pool.h"
#include "cache/s3fifo.h"
#include "cache/wait_count.h"
#include "quire/limits.h"
#include "sync/mutex.h"
#include "sync/wait.h"
#include "sync/wait_line.h"
#include "sync/waker.h"

namespace quire::cache {

class Memory;

// Frames in hand: taken before an Add begins, spent under it, the rest given back by the
// destructor. Also the node source of page trees.
class FrameSet {
 public:
  // A readahead window or one read's run of pages, and the nodes to hang them in.
  static constexpr std::size_t kFramesMax = limits::kStoreIoMaxPieces + 16;

  explicit FrameSet(Memory& memory) : memory_(memory) {}
  ~FrameSet();
  FrameSet(const FrameSet&) = delete;
  FrameSet& operator=(const FrameSet&) = delete;

  std::size_t size() const noexcept { return count_; }
  void put(FrameNumber frame) noexcept { frames_[count_++] = frame; }
  FrameNumber take() noexcept { return frames_[--count_]; }
  void give_back() noexcept { shrink(0); }
  // Gives back all but `keep`.
  void shrink(std::size_t keep) noexcept;

  // As a quire::NodeSource.
  void* allocate() noexcept;
  void deallocate(void* node) noexcept;

 private:
  Memory& memory_;
  std::size_t count_ = 0;
  std::array<FrameNumber, kFramesMax> frames_;
};

class Memory {
 public:
  class Waiter;

  // `on_short` is called when frames are wanted and no page can be evicted: it should make clean
  // pages. It must not block.
  static Result<std::unique_ptr<Memory>> create(std::uint32_t frames,
                                                std::function<void()> on_short);
  // Budget spent beside each frame.
  static std::size_t overhead_per_frame();

  // Fills `set` up to `need` frames, evicting and waiting as needed. On a time-out or an
  // interruption the set keeps what it had.
  sync::WaitStatus acquire(FrameSet& set, std::size_t need, const sync::WaitLimit& limit);
  // The same for what is no thread. Fills `set` at once (true), or queues (false): woken, call resume(),
  // and again as long as it says false. REQUIRES: nothing that keeps a tree's nodes (a Walker) is held
  // while it waits.
  bool acquire_async(FrameSet& set, std::size_t need, Waiter& waiter) noexcept;
  bool resume(Waiter& waiter) noexcept;
  // Whoever queued waits no more; see waker.h. The set keeps what it had. No resume() after it.
  bool cancel(Waiter& waiter) noexcept;
  // Fills `set` up to `want` frames as far as that goes without waiting.
  void try_acquire(FrameSet& set, std::size_t want) noexcept;
  // A frame that is in no queue of the policy goes back to the pool.
  void release(FrameNumber frame) noexcept;
  // Something happened that may let a waiter find a frame.
  void note_evictable() noexcept;

  // The frames of pages that were just added. Their descriptors are set.
  void insert(std::span<const FrameNumber> frames, std::uint64_t serial) noexcept;
  // Takes a page's frame out of the policy's queues: before it is released other than by eviction.
  void remove(FrameNumber frame) noexcept;
  // A page was read again. The hit path: no lock.
  void touch(FrameNumber frame) noexcept { policy_.touch(frame); }

  // Runs `action` under the policy's lock: no page is evicted and no leaf freed meanwhile.
  template <class Action>
  void exclude_eviction(Action&& action) {
    sync::MutexLock lock(policy_mutex_);
    action();
  }

  FramePool& pool() noexcept { return *pool_; }
  const FramePool& pool() const noexcept { return *pool_; }
  std::byte* bytes(FrameNumber frame) const noexcept { return pool_->bytes(frame); }
  std::uint64_t evicted() const noexcept { return evicted_.load(); }
  // Searches for pages to evict, ever, and those of them that freed nothing.
  std::uint64_t reclaims() const noexcept { return reclaims_.load(); }
  std::uint64_t empty_reclaims() const noexcept { return empty_reclaims_.load(); }
  // Of those for whom nothing could be evicted at once.
  const WaitCount& waits() const noexcept { return waits_; }

 private:
  struct Reclaimed {
    std::size_t frames = 0;  // now free
    bool passing = false;    // a page or leaf was busy with something that ends by itself, untold
  };

  Memory(std::unique_ptr<FramePool> pool, std::function<void()> on_short);

  // Pulls from the pool, evicting where it is dry. True when the set has `need`.
  bool collect(FrameSet& set, std::size_t need, bool& passing) noexcept;
  Reclaimed reclaim(std::size_t want) noexcept;
  // What is evicted and side by side in memory that programs may have in sight leaves it by one system call.
  class Run;
  std::size_t evict(std::size_t want, bool& passing) noexcept;
  Eviction try_evict(FrameNumber frame, Run& run, bool& passing) noexcept;
  // The page is sealed, its bytes are gone.
  void end_eviction(FilePages& pages, std::uint64_t index, PageWord& word,
                    FrameNumber frame) noexcept;
  std::size_t free_unused_leaves() noexcept;

  enum class Found : std::uint8_t {
    kEnough,
    kTooFew,
    kPassing,  // too few, but something is busy that ends by itself, untold
  };
  void begin(Waiter& waiter, FrameSet& set, std::size_t need) noexcept;
  Found look(Waiter& waiter) noexcept;
  bool end(Waiter& waiter) noexcept;

  std::unique_ptr<FramePool> pool_;
  const std::function<void()> on_short_;

  sync::Mutex policy_mutex_;
  S3Fifo policy_;  // touch() without, everything else under policy_mutex_

  sync::WaitLine line_;

  sync::Atomic<std::uint32_t> unused_leaves_{0};  // a hint that free_unused_leaves() finds some
  sync::Atomic<std::uint64_t> evicted_{0};
  sync::Atomic<std::uint64_t> reclaims_{0};
  sync::Atomic<std::uint64_t> empty_reclaims_{0};
  WaitCount waits_;
  friend class FilePages;
};

// Somebody in the queue for frames. Owned by the caller, and alive from acquire_async() until resume() said
// true, or cancel() did, or its waker was woken. May be used again after that.
class Memory::Waiter {
 public:
  explicit Waiter(sync::Waker& waker) noexcept : place_(waker) {}

 private:
  friend class Memory;

  sync::WaitLine::Place place_;
  FrameSet* set_ = nullptr;
  std::size_t need_ = 0;
  std::optional<WaitCount::Timer> timer_;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_MEMORY_H_
