// Flusher: the thread that writes dirty pages in the background ("quire-flush", one to a cache).
//
// It writes when there is a reason: more is dirty than the background limit; a writer waits for the hard
// limit, or somebody for memory; a page is older than dirty_age. Files take turns of a batch each, those
// first that have been dirty longest.
//
// What programs may store into unheard (views.h) counts as dirty all the time: for its age alone it is written and
// stays in their sight, for the other reasons it becomes clean.
//
// A file is written in passes over its dirty list, so a page whose write fails does not keep the others
// from being tried. After a pass with a failure the file is left alone for a while that doubles each
// time, from limits::kWritebackRetryMin to kWritebackRetryMax; sync and close do not wait for that.
//
// A batch that the store does not answer soon is left under way: its file has no other turn until it
// has ended, the other files go on. The buffers of writeback are few, and a store that answers no more
// ends up with all of them. When one has been out for limits::kStoreSilenceMax the flusher says so to
// those who wait at the dirty limit (DirtyBudget): a page that nobody writes is the same to them as one
// that cannot be written. It is also the clock of those of them who are no threads.
#ifndef QUIRE_CACHE_FLUSHER_H_
#define QUIRE_CACHE_FLUSHER_H_

#include <chrono>
#include <memory>
#include <stop_token>
#include <vector>

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
  Flusher();
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
  struct Turn;

  Status start_thread();
  void run();
  // One round over the dirty files. Returns when to look again if nobody wakes us.
  sync::Clock::time_point round();
  // Writes a batch of the file. True if the next one should follow at once.
  bool take_turn(const std::shared_ptr<FilePages>& file, bool all_ages,
                 sync::Clock::time_point now);
  // The batch of a turn has ended: stamps, errors, how far the pass is. True as above.
  bool end_turn(const Turn& turn);
  // Looks after turns that were left under way.
  void end_turns();
  // The file's last turn is one of them. It will be pressed for again if `pressed`.
  bool in_turn(const FilePages& pages, bool pressed) noexcept;
  void note_silence();

  PageCache* cache_ = nullptr;
  std::chrono::milliseconds dirty_age_{0};
  sync::Atomic<bool> stopping_{false};
  sync::Atomic<bool> pressed_{false};
  std::stop_source stop_;
  std::vector<std::unique_ptr<Turn>> turns_;  // left under way; of the thread, and of stop()
  sync::Parker parker_;
  sync::Thread thread_;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_FLUSHER_H_
