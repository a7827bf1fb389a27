// Flusher: the thread that writes dirty pages in the background ("quire-flush", one to a cache).
//
// It writes when there is a reason: more is dirty than the background limit; a writer waits for the hard
// limit, or somebody for memory; a page is older than dirty_age. Files take turns, oldest first. A file
// whose writes fail is left alone for a while that doubles with each failure, from
// limits::kWritebackRetryMin to kWritebackRetryMax; sync and close do not wait for that.
#ifndef QUIRE_CACHE_FLUSHER_H_
#define QUIRE_CACHE_FLUSHER_H_

#include <chrono>
#include <stop_token>

#include "quire/result.h"
#include "sync/atomic.h"
#include "sync/clock.h"
#include "sync/parker.h"
#include "sync/thread.h"

namespace quire::cache {

class FilePages;
class PageCache;

class Flusher {
 public:
  Flusher() = default;
  // REQUIRES: stopped.
  ~Flusher();
  Flusher(const Flusher&) = delete;
  Flusher& operator=(const Flusher&) = delete;

  // Starts the thread. Errors: EAGAIN.
  Status start(PageCache& cache, std::chrono::milliseconds dirty_age);
  // Interrupts what it waits for and joins the thread. Requests that it made may still be under way.
  void stop();
  // Starts the thread again after stop(), with the same files to look at. Errors: EAGAIN.
  Status restart();
  // Memory or dirty credits are short, or the background limit is passed. Never blocks.
  void wake() noexcept;
  // The same, with the reason that somebody is waiting for it.
  void press() noexcept;

 private:
  Status start_thread();
  void run();
  // One round over the dirty files. Returns when to look again if nobody wakes us.
  sync::Clock::time_point round(bool pressed);
  // True if something was written or the file was tried in vain.
  bool flush_file(FilePages& pages, bool all_ages, sync::Clock::time_point now);

  PageCache* cache_ = nullptr;
  std::chrono::milliseconds dirty_age_{0};
  sync::Atomic<bool> stopping_{false};
  sync::Atomic<bool> pressed_{false};
  std::stop_source stop_;
  sync::Parker parker_;
  sync::Thread thread_;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_FLUSHER_H_
