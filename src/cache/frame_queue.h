// FrameQueues: a few FIFO queues over one set of frame numbers, each frame on one of them at most.
// What the replacement policies are made of. A queue is a circle of 32-bit links through a node of
// its own; all memory is allocated by the constructor, 9 bytes a frame, and touched only where a
// frame has been on a queue.
//
// Not thread-safe: the policy's owner has a lock.
//
// Invariants:
//  1. queue_of(frame) says which queue a frame is on; its links are meaningful only then.
//  2. Frames leave a queue from the oldest end in the order in which they were pushed.
#ifndef QUIRE_CACHE_FRAME_QUEUE_H_
#define QUIRE_CACHE_FRAME_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "sync/check.h"

namespace quire::cache {

// What became of a frame that a policy offered as a victim.
enum class Eviction {
  kEvicted,  // its page is gone; the policy forgets the frame
  kBusy,     // stays (pinned, dirty, in flight); the policy moves on and offers it again later
  kStop,     // stays where it is, and no more are wanted now
};

template <unsigned kQueues>
class FrameQueues {
 public:
  static constexpr unsigned kNone = kQueues;  // queue_of() a frame that is on no queue

  explicit FrameQueues(std::uint32_t frames)
      : frames_(frames),
        links_(std::make_unique_for_overwrite<Link[]>(std::size_t{frames} + kQueues)),
        queue_(std::make_unique<std::uint8_t[]>(frames)) {
    for (unsigned queue = 0; queue < kQueues; ++queue) {
      links_[head(queue)] = {head(queue), head(queue)};
    }
  }

  static constexpr std::size_t bytes_per_frame() { return sizeof(Link) + sizeof(std::uint8_t); }

  unsigned queue_of(std::uint32_t frame) const {
    QUIRE_DCHECK(frame < frames_);
    return queue_[frame] == 0 ? kNone : queue_[frame] - 1u;
  }
  std::size_t size(unsigned queue) const { return size_[queue]; }

  // The frame that has been on the queue longest. REQUIRES: size(queue) > 0.
  std::uint32_t oldest(unsigned queue) const {
    QUIRE_DCHECK(size_[queue] > 0);
    return links_[head(queue)].newer;
  }

  // Puts a frame at the newest end. REQUIRES: it is on no queue.
  void push(unsigned queue, std::uint32_t frame) {
    QUIRE_CHECK(queue_of(frame) == kNone);
    const std::uint32_t newest = links_[head(queue)].older;
    links_[frame] = {newest, head(queue)};
    links_[newest].newer = frame;
    links_[head(queue)].older = frame;
    queue_[frame] = static_cast<std::uint8_t>(queue + 1);
    ++size_[queue];
  }

  // Takes a frame off its queue. REQUIRES: it is on one.
  void remove(std::uint32_t frame) {
    QUIRE_CHECK(queue_of(frame) != kNone);
    const Link link = links_[frame];
    links_[link.older].newer = link.newer;
    links_[link.newer].older = link.older;
    --size_[queue_of(frame)];
    queue_[frame] = 0;
  }

  // remove(), then push().
  void move(unsigned queue, std::uint32_t frame) {
    remove(frame);
    push(queue, frame);
  }

 private:
  struct Link {
    std::uint32_t older;
    std::uint32_t newer;
  };

  std::uint32_t head(unsigned queue) const { return frames_ + queue; }

  const std::uint32_t frames_;
  const std::unique_ptr<Link[]> links_;
  const std::unique_ptr<std::uint8_t[]> queue_;  // 0: none, else the queue's number plus one
  std::size_t size_[kQueues] = {};
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_FRAME_QUEUE_H_
