// FramePool: the cache's memory. One anonymous, huge-page-backed slab cut into frames of 4 KiB,
// each holding one page or one node of a page tree, and a descriptor for each frame. Pages and tree
// nodes come from the same slab, so the budget holds by construction: there is nothing else to
// take.
//
// Who calls: everything in cache/ and file/ that needs a frame, from any thread. allocate() never
// waits; what waits for memory is Memory (memory.h), above this.
//
// Free frames lie in one stack, with a small stash per stripe in front of it: the cheap side of a
// local/global lock for the common case, the slow side, which looks into every stash, when the stack
// is dry.
//
// Invariants:
//  1. Every frame is free (in the stack or one stash) or belongs to whoever allocated it.
//  2. The slab is never larger than the budget less descriptors and IO buffers, and is mapped
//     MADV_DONTFORK: a child of fork has no copy.
#ifndef QUIRE_CACHE_FRAME_POOL_H_
#define QUIRE_CACHE_FRAME_POOL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cache/page_word.h"
#include "quire/limits.h"
#include "quire/result.h"
#include "sync/atomic.h"
#include "sync/local_global_lock.h"
#include "sync/mutex.h"

namespace quire::cache {

class FilePages;

inline constexpr FrameNumber kNoFrame = ~FrameNumber{0};

// What is known of a frame beside its bytes. Who may touch a field stands beside it.
struct FrameDescriptor {
  // Of a page: set by the filler before the page is in the policy's queues, read under the policy's
  // lock. Of a leaf of a page tree: set by adders, under an Add. Null for other nodes and free
  // frames.
  sync::Atomic<FilePages*> owner{nullptr};
  sync::Atomic<std::uint64_t> index{0};  // of the page, or of the leaf's first page
  // Of a leaf: its pages that are not absent.
  sync::Atomic<std::uint32_t> leaf_pages{0};
  sync::Atomic<std::uint32_t> is_leaf{0};

  // No memory is behind the frame's bytes; and that was so when it was freed last. Of whoever has the frame.
  bool lent = false;
  bool was_lent = false;
  std::uint32_t lent_since = 0;  // FramePool::huge_again_ when it was lent

  // The file's dirty list (DirtyList); guarded by its mutex.
  bool on_dirty_list = false;
  FrameNumber dirty_next = kNoFrame;
  FrameNumber dirty_previous = kNoFrame;
  std::uint64_t dirty_sequence = 0;
  std::int64_t dirtied_at_ns = 0;
};

class FramePool {
 public:
  static constexpr std::size_t kStashFrames = 32;
  // Memory that one frame costs beside its page: its descriptor and its place in the free stack.
  static constexpr std::size_t overhead_per_frame() {
    return sizeof(FrameDescriptor) + sizeof(FrameNumber);
  }

  static Result<std::unique_ptr<FramePool>> create(std::uint32_t frames);
  ~FramePool();
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;

  // A frame, or kNoFrame. Its bytes are what its last owner left there.
  FrameNumber allocate() noexcept;
  void free(FrameNumber frame) noexcept;

  // The frames' memory goes back to the kernel: their 4 KiB are used elsewhere, until take_back(). Whoever uses the
  // bytes again finds zeros, and memory that is taken then. 1 to 4 µs for each run of neighbours. Sorts `frames`.
  void lend(std::span<FrameNumber> frames) noexcept;
  void lend(FrameNumber frame) noexcept { lend({&frame, 1}); }
  // The same of one frame whose bytes nobody has used since it was allocated. Nothing to do if it was lent before that.
  void lend_unused(FrameNumber frame) noexcept;
  // They are used nowhere else any more.
  void take_back(FrameNumber frame) noexcept;
  // Its bytes are used by somebody who passes it on without freeing it, or after it was lent.
  void note_used(FrameNumber frame) noexcept {
    descriptors_[frame].was_lent = false;
    descriptors_[frame].lent = false;
  }

  std::byte* bytes(FrameNumber frame) const noexcept {
    return slab_ + std::size_t{frame} * limits::kPageBytes;
  }
  // The frame that holds `address`. REQUIRES: it lies in the slab.
  FrameNumber frame_of(const void* address) const noexcept {
    return static_cast<FrameNumber>(
        static_cast<std::size_t>(static_cast<const std::byte*>(address) - slab_) >>
        limits::kPageShift);
  }
  FrameDescriptor& descriptor(FrameNumber frame) noexcept { return descriptors_[frame]; }
  // The descriptor will be written soon.
  void prefetch_descriptor(FrameNumber frame) const noexcept {
    __builtin_prefetch(&descriptors_[frame], 1);
  }

  std::uint32_t frames() const noexcept { return frames_; }
  // Frames that nobody has. Exact only while nothing is allocated or freed.
  std::uint32_t free_frames() const noexcept { return free_count_.load(); }

 private:
  FramePool(std::uint32_t frames, std::byte* slab, std::size_t mapped_bytes);

  static constexpr std::size_t kStripes = 8;
  struct alignas(64) Stash {
    std::uint32_t count = 0;
    FrameNumber frames[kStashFrames];
  };

  // Moves up to half a stash from the stack; false if the stack is empty.
  bool refill(Stash& stash) noexcept;
  // Takes any frame there is, from whichever stash: the slow side.
  FrameNumber steal() noexcept;
  // Of `count` frames side by side.
  void give_memory_back(FrameNumber first, std::size_t count) noexcept;
  // So many more are lent. From when this has returned the kernel makes no huge pages of the slab.
  void count_lent(std::uint32_t count) noexcept;
  // Has the kernel make huge pages of the slab, or none, as long as frames are lent.
  void advise() noexcept;

  const std::uint32_t frames_;
  std::byte* const slab_;
  const std::size_t mapped_bytes_;
  std::unique_ptr<FrameDescriptor[]> descriptors_;
  sync::Atomic<std::uint32_t> free_count_;

  sync::LocalGlobalLock<kStripes> stash_lock_;
  Stash stashes_[kStripes];  // each guarded by its stripe of stash_lock_

  sync::Mutex mutex_;
  std::vector<FrameNumber> stack_ GUARDED_BY(mutex_);

  sync::Atomic<std::uint32_t> lent_{0};
  sync::Mutex advice_mutex_;
  sync::Atomic<bool> advised_small_{false};  // set under advice_mutex_
  // How often the kernel was allowed huge pages again: it may have put memory behind all frames that were free.
  sync::Atomic<std::uint32_t> huge_again_{0};
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_FRAME_POOL_H_
