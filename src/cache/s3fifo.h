// S3Fifo: which page to give up when a frame is needed. It is S3-FIFO (Yang, Zhang, Qiu, Yue,
// Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023), on frame numbers. Most
// pages are used once; they pass through a small queue and never push out what is used again, so
// one long scan costs a tenth of the cache, not all of it. And a hit moves nothing: it raises a
// number below four, in a byte of the frame's own, without a lock.
//
//                    insert, new                         insert, seen lately
//                        |                                      |
//                        v                                      v
//   used fewer     +-----------+   used twice and more   +-------------+  used since: once
//   than twice <---|   small   |------------------------>|    main     |---+ round again, and
//       |          +-----------+                         +-------------+ <-+ one less for it
//       v             one tenth                                 |
//    +-------+                                                  v
//    | ghost | hashes of as many pages as main holds          gone
//    +-------+
//
// Transitions, with the function that makes each:
//   absent -> small, main    insert      main if the ghost remembers the page's hash
//   small -> main            evict       the uses are forgotten in passing
//   small -> ghost           evict       after try_evict said kEvicted
//   main -> main             evict       second, third and fourth chances
//   main -> absent           evict       after try_evict said kEvicted
//   small, main -> absent    remove      whoever drops a page, not to make room: no ghost
//
// A frame that is busy when offered goes to the newest end of the queue it is on. Frames that hold
// no page (tree nodes) are simply on no queue; shares are of the frames that are.
//
// Thread-safety: touch() from any thread, at any time. All else under one lock of the owner.
//
// Invariants:
//  1. Nothing is allocated after construction; bytes_per_frame() covers all of it.
//  2. A frame's uses are zero when it is inserted and when it enters main from small. A touch()
//     that runs meanwhile may be lost, or counted for the frame's next page: uses are a hint.
//  3. evict() offers a frame of small at most once, and one of main at most kUsesMax + 1 times.
#ifndef QUIRE_CACHE_S3FIFO_H_
#define QUIRE_CACHE_S3FIFO_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "cache/frame_queue.h"
#include "cache/ghost.h"
#include "sync/atomic.h"
#include "sync/check.h"

namespace quire::cache {

class S3Fifo {
 public:
  // For frames numbered from 0 to `frames` - 1. REQUIRES: frames > 0.
  explicit S3Fifo(std::uint32_t frames);

  // Memory taken per frame, rounded up. It is there as soon as the frame is first used.
  static std::size_t bytes_per_frame();

  // A page was put into `frame`. `key_hash` is the page's identity, well mixed in all its bits.
  // REQUIRES: !contains(frame).
  void insert(std::uint32_t frame, std::uint64_t key_hash);

  // The page of `frame` was dropped other than by evict(). REQUIRES: contains(frame).
  void remove(std::uint32_t frame);

  // The page of `frame` was used. From any thread.
  void touch(std::uint32_t frame) noexcept {
    // Relaxed: nothing is concluded from this number but an order of eviction, and hits are counted
    // on every access. A lost update costs one use.
    sync::Atomic<std::uint8_t>& uses = uses_[frame];
    const std::uint8_t count = uses.load(std::memory_order_relaxed);
    if (count < kUsesMax) {
      uses.store(static_cast<std::uint8_t>(count + 1), std::memory_order_relaxed);
    }
  }

  // Looks at frames in the policy's order and offers victims, try_evict(frame) -> Eviction, until
  // `want` are evicted, `scan_max` frames have been looked at, or every frame has had its chances.
  // try_evict must not call the policy. Returns the number evicted.
  template <class F>
  std::size_t evict(std::size_t want, std::size_t scan_max, F&& try_evict);

  bool contains(std::uint32_t frame) const { return queues_.queue_of(frame) != Queues::kNone; }
  std::size_t size() const { return small_size() + main_size(); }
  std::size_t small_size() const { return queues_.size(kSmall); }
  std::size_t main_size() const { return queues_.size(kMain); }
  // Pages that came back while the ghost remembered them, since construction.
  std::uint64_t ghost_hits() const { return ghost_hits_; }

  // Uses are counted up to this.
  static constexpr std::uint8_t kUsesMax = 3;
  // A page of small with as many uses goes to main.
  static constexpr std::uint8_t kUsesToStay = 2;
  // Small's share of the frames: one in so many.
  static constexpr std::size_t kSmallShare = 10;

 private:
  enum Queue : unsigned { kSmall, kMain, kQueues };
  using Queues = FrameQueues<kQueues>;

  Queues queues_;
  Ghost ghost_;
  const std::unique_ptr<sync::Atomic<std::uint8_t>[]> uses_;
  const std::unique_ptr<std::uint32_t[]> print_;  // of the page in the frame, for the ghost
  std::uint64_t ghost_hits_ = 0;
};

template <class F>
std::size_t S3Fifo::evict(std::size_t want, std::size_t scan_max, F&& try_evict) {
  // How often each queue may still be looked at: it keeps a queue of busy frames from hiding the
  // other.
  std::size_t small_looks = small_size();
  std::size_t main_looks = (kUsesMax + 1) * main_size();
  std::size_t evicted = 0;
  for (std::size_t scanned = 0; evicted < want && scanned < scan_max; ++scanned) {
    const bool small_possible = small_looks > 0 && small_size() > 0;
    const bool main_possible = main_looks > 0 && main_size() > 0;
    if (!small_possible && !main_possible) break;
    const bool small_over = small_size() * kSmallShare >= size();
    const Queue queue = small_possible && (small_over || !main_possible) ? kSmall : kMain;
    --(queue == kSmall ? small_looks : main_looks);

    const std::uint32_t frame = queues_.oldest(queue);
    sync::Atomic<std::uint8_t>& uses = uses_[frame];
    const std::uint8_t count = uses.load(std::memory_order_relaxed);
    if (queue == kSmall && count >= kUsesToStay) {
      uses.store(0, std::memory_order_relaxed);
      queues_.move(kMain, frame);
      main_looks += kUsesMax + 1;
      continue;
    }
    if (queue == kMain && count > 0) {
      uses.store(static_cast<std::uint8_t>(count - 1), std::memory_order_relaxed);
      queues_.move(kMain, frame);
      continue;
    }
    switch (try_evict(frame)) {
      case Eviction::kEvicted:
        QUIRE_DCHECK(queues_.queue_of(frame) == queue);
        queues_.remove(frame);
        if (queue == kSmall) ghost_.remember(print_[frame]);
        ++evicted;
        break;
      case Eviction::kBusy:
        queues_.move(queue, frame);
        break;
      case Eviction::kStop:
        return evicted;
    }
  }
  return evicted;
}

}  // namespace quire::cache

#endif  // QUIRE_CACHE_S3FIFO_H_
