// PostedQueue: what is to be done on a thread that sleeps when there is nothing to do. It says when that thread has to
// be woken, and keeps it from going to sleep past something; how it sleeps, and is woken, its owner knows.
//
//   who posts:   post() -- true --> wakes the thread
//   the thread:  take(), run them -- none --> may_sleep() -- true --> sleeps until woken --> woken()
//                                                        \-- false -> take() again
//
// Who calls: post() any thread, holding whatever it likes: it takes no lock, waits for nothing and needs no memory. The
// rest the one thread.
//
// Invariants:
//  1. What is posted is taken once, in the order in which it came.
//  2. Nothing is posted while the thread sleeps without somebody being told to wake it. Each time that it
//     is about to sleep at most one is.
//  3. What is posted is linked through the Posted itself, which is posted once at a time. So there are never more
//     postings than things that can be posted.
#ifndef QUIRE_MAP_POSTED_QUEUE_H_
#define QUIRE_MAP_POSTED_QUEUE_H_

#include <utility>

#include "sync/atomic.h"

namespace quire::map {

// Something to do on the thread.
class Posted {
 public:
  Posted() = default;
  Posted(const Posted&) = delete;
  Posted& operator=(const Posted&) = delete;

  // Must not wait. May post *this again, or destroy it.
  virtual void run() noexcept = 0;

 protected:
  virtual ~Posted() = default;

 private:
  friend class PostedQueue;
  Posted* next_ = nullptr;
};

class PostedQueue {
 public:
  PostedQueue() = default;
  PostedQueue(const PostedQueue&) = delete;
  PostedQueue& operator=(const PostedQueue&) = delete;

  // REQUIRES: `posted` is not posted already, and lives until it is taken. True: the caller wakes the thread.
  [[nodiscard]] bool post(Posted& posted) noexcept {
    Posted* last = last_.load();
    do {
      posted.next_ = last;
    } while (!last_.compare_exchange_weak(last, &posted));
    // After it was posted: the thread looks for postings after it has said that it sleeps. One of the two sees the
    // other.
    return asleep_.load() && asleep_.exchange(false);
  }

  bool empty() const noexcept { return last_.load() == nullptr; }
  // All that was posted by now; each is followed by next_of(). Null if that is none.
  Posted* take() noexcept {
    Posted* last = last_.exchange(nullptr);
    Posted* first = nullptr;
    while (last != nullptr) {
      Posted* const before = std::exchange(last->next_, first);
      first = std::exchange(last, before);
    }
    return first;
  }
  // Before it is run: from then on it is somebody else's.
  static Posted* next_of(const Posted& posted) noexcept { return posted.next_; }

  // True: from now on whoever posts is told to wake the thread, which sleeps, unless there is something else to do.
  [[nodiscard]] bool may_sleep() noexcept {
    asleep_.store(true);
    if (empty()) return true;
    asleep_.store(false);
    return false;
  }
  // It does not sleep any more, or did not go to sleep.
  void woken() noexcept { asleep_.store(false); }

 private:
  // The last one first.
  sync::Atomic<Posted*> last_{nullptr};
  sync::Atomic<bool> asleep_{false};
};

}  // namespace quire::map

#endif  // QUIRE_MAP_POSTED_QUEUE_H_
