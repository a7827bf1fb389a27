// Dispatcher: takes requests from the kernel as soon as they are there, and has workers serve them.
//
// Each thread reads a request and serves it itself, without handing it over, as long as another thread is
// there to read the next. The last one that reads does not serve: what it reads waits in a queue, which
// whoever gets done looks into first. So requests are read however long others take, and a request that
// another one waits for (a write-back that a recall causes, an INTERRUPT) is never stuck behind it in the
// kernel.
//
//                read()            served; the queue is empty
//   reading -------------> serving -------------------------> reading
//      |  ^                  ^  | served; the queue has one: that one next     (counted so from answering()
//      |  |                  +--+                                              on, if the queue is empty)
//      |  +---- resting <------ | served; there was always one more that read than was needed
//      |   the last reader calls it, before a new thread is started
//      | the last that reads, and nobody rests: into the queue, and reads on; waits while the queue is full
//
// No more threads read than the requests of late had need of: the kernel wakes the one that has waited longest,
// and the more take turns, the further from the program's processor, and from warm caches, each one runs.
// For the same reason one that is about to answer counts as reading already: the program wakes, often in its
// place, and sends the next request before it gets round to reading.
//
// Invariants:
//  1. While requests may come, some thread reads or is about to, having answered; or the queue is full and
//     every other one serves.
//  2. A request in the queue is taken by the next thread that gets done.
//  3. While one rests, nothing is in the queue, and some other thread reads or is about to call it.
//
// How many read and how many requests wait are one word (state_), so that both are seen together. While
// nothing waits, threads stop reading and read again by changing that word alone; everything else happens
// under the mutex, too: whatever changes how many wait, the last reader's way, and any step while some wait.
//
// Who calls: the server. Source and serving are functions, so that tests bring their own.
#ifndef QUIRE_MOUNT_DISPATCHER_H_
#define QUIRE_MOUNT_DISPATCHER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "quire/result.h"
#include "sync/atomic.h"
#include "sync/clock.h"
#include "sync/condition.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace quire::mount {

class Dispatcher {
 public:
  // A request as the kernel gave it.
  struct Request {
    std::unique_ptr<std::byte[]> memory;
    std::size_t size = 0;
  };
  // Reads one request into memory of `capacity` bytes; blocks. Its size; 0: the connection has ended.
  using Read = std::function<std::size_t(std::byte* memory, std::size_t capacity)>;
  using Serve = std::function<void(std::byte* request, std::size_t size)>;

  struct Limits {
    std::size_t request_bytes_max = 0;
    unsigned threads_max = 2;  // at least 2
    std::size_t queue_max = 1;
    // After so many requests, each of which left two threads reading or more, one rests.
    std::size_t review_requests = 1;
  };
  struct Counts {
    std::uint64_t served = 0;
    std::uint64_t queued = 0;
    std::uint64_t waiting = 0;  // now
    unsigned threads = 0;       // now
    unsigned resting = 0;       // of them
    std::uint64_t total_ns = 0;
    std::uint64_t worst_ns = 0;
  };

  Dispatcher(Limits limits, Read read, Serve serve);
  // REQUIRES: run() has returned.
  ~Dispatcher() = default;
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  // Serves until the connection has ended and every request is served. Errors: EAGAIN, if no thread can be
  // started at all.
  Status run();
  Counts counts() const;

  // By a thread that serves: it answers next, and does nothing after that which may wait. May be left out.
  // Of other threads it is nothing.
  static void answering() noexcept;

 private:
  void work();
  // The thread's last step.
  void end() REQUIRES(mutex_);
  // Starts one more thread. REQUIRES: there may be one more.
  Status grow() REQUIRES(mutex_);
  // One more reads: one that rests, or a new one. False: there is none.
  bool call_another() REQUIRES(mutex_);
  // Until it is called: true, and it counts as reading. False: the connection has ended.
  bool rest() REQUIRES(mutex_);
  // What a thread does that got done and could not simply read again. False: the connection has ended.
  bool go_on(bool may_rest) REQUIRES(mutex_);
  void note_readers(std::uint64_t left);
  // True: it is time to see whether so many threads are needed.
  bool serve(std::byte* request, std::size_t size);
  // The same of a request that this thread has just read; `joined`: it counts as reading again already.
  bool serve_at_once(std::byte* request, std::size_t size, bool* joined);
  // Stops reading, with a request in hand, if that is seen to be right without the mutex.
  bool leave_at_once();
  // The same under the mutex. False: this is the last reader, and has put its request into the queue.
  bool leave(const std::byte* request, std::size_t size) REQUIRES(mutex_);
  // Reads again, if nothing waits.
  bool join_at_once();
  // Serves what is in the queue.
  void serve_queued() REQUIRES(mutex_);

  const Limits limits_;
  const Read read_;
  const Serve serve_;

  mutable sync::Mutex mutex_;
  sync::Condition room_;
  sync::Condition ended_;
  std::vector<sync::Thread> threads_ GUARDED_BY(mutex_);
  unsigned alive_ GUARDED_BY(mutex_) = 0;
  std::deque<Request> queue_ GUARDED_BY(mutex_);
  std::uint64_t queued_ GUARDED_BY(mutex_) = 0;
  sync::Condition called_;
  unsigned resting_ GUARDED_BY(mutex_) = 0;
  unsigned calls_ GUARDED_BY(mutex_) = 0;  // that no thread has heard yet
  bool over_ GUARDED_BY(mutex_) = false;   // the connection has ended

  sync::Atomic<std::uint64_t> state_{0};  // threads that read, and above them queue_.size()
  // Readers that were left when one had a request, the fewest since the last review.
  sync::Atomic<std::uint64_t> fewest_{0};
  sync::Atomic<std::uint64_t> served_{0};
  sync::Atomic<std::uint64_t> total_ns_{0};
  sync::Atomic<std::uint64_t> worst_ns_{0};
};

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_DISPATCHER_H_
