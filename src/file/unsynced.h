// Unsynced: what of a file was changed at the store since its last successful sync, and what became of
// it when a sync failed. After a failure nothing is known of what was written since the success before
// (ext4 was seen to fail one fsync, succeed the next, and lose the byte). So:
//
//   written --- a sync succeeds ---> (gone)
//      |
//      +------- a sync fails ------> to be written again --- its page is dirty again ---> (gone)
//                                          |
//                                          +--- its bytes are no longer known ---> lost
//
//   lost: until it is cut away, or written over from end to end. Until then every sync of it fails.
//
// What a sync has taken that is under way stays here, so that a cut forgets or moves it with the rest.
//
// Four sets of intervals of pages, each bounded by limits::kUnsyncedMax. When the first has half of that
// the file is due for a sync (sync_file.h), which empties it. If the store does not get round to that, the
// smaller half of the gaps between intervals are closed, and their pages taken for pages of the set. That
// writes nothing (only pages whose bytes are known are written again), but if a sync fails then they
// count as lost.
//
// Thread-safety: all calls from any thread.
#ifndef QUIRE_FILE_UNSYNCED_H_
#define QUIRE_FILE_UNSYNCED_H_

#include <cstddef>
#include <cstdint>
#include <map>

#include "sync/atomic.h"
#include "sync/mutex.h"

namespace quire::file {

class Unsynced {
 public:
  // First page -> one past the last.
  using Intervals = std::map<std::uint64_t, std::uint64_t>;
  // A sync of the file: how many changes it will make durable.
  struct Taken {
    std::uint64_t changes = 0;
  };

  // Pages were written to the store.
  void add(std::uint64_t first, std::size_t count);
  // The same, of which [whole_first, whole_end) were stored from end to end: what was to be written again,
  // or was lost, is there now. One step, for a sync that fails beside it: of one that failed before, what it
  // was about is cured; one that fails afterwards finds these pages among those written.
  void add_and_cure(std::uint64_t first, std::size_t count, std::uint64_t whole_first,
                    std::uint64_t whole_end);
  // Something else of the object was changed at the store: its size, its stamps.
  void note_change();
  // Changes so far.
  std::uint64_t changes() const;
  // Syncs that failed so far, of the file or of the store. A sync that is submitted when this is another
  // number than before the pages were flushed may find some of them dirty again.
  std::uint64_t failures() const;
  // So many pieces were written that the file should be synced.
  bool sync_due() const;
  // All of the first `changes` changes have been made durable.
  bool durable(std::uint64_t changes) const;
  // Something was changed that no sync has made durable.
  bool sync_needed() const;

  // A sync of the file is about to be submitted: it has taken the pages written. Ends with succeeded() or
  // failed(). REQUIRES: none is under way.
  Taken take();
  void succeeded(const Taken& taken);
  void failed();
  // A sync of the whole store succeeded, which was submitted when changes() was `changes`; or failed.
  // That one takes nothing out: other syncs may run beside it.
  void store_succeeded(std::uint64_t changes);
  // True if there is something to be written again.
  bool store_failed();

  // The first page that must be written again; false if there is none. It stays until rewritten() says
  // that it is dirty again, or lose(), so that no other sync can succeed before.
  bool next_rewrite(std::uint64_t* page) const;
  // Still so, now that nobody can cure, cut or move it. REQUIRES: the write range of the page.
  bool to_rewrite(std::uint64_t page) const;
  void rewritten(std::uint64_t page);
  bool rewrite_needed() const;
  // Pages from `first` on, which are to be written again, lie past the end of the file.
  void forget_rewrite_from(std::uint64_t first);

  // The page was to be written again, and its bytes are known no more. Nothing if it is not to be.
  void lose(std::uint64_t page);
  bool any_lost() const noexcept { return any_lost_.load(); }
  // How many pages in [first, last] are lost; where there are any, the first of them.
  std::uint64_t lost(std::uint64_t first, std::uint64_t last, std::uint64_t* first_lost) const;
  // All bytes of the page were stored again.
  void overwritten(std::uint64_t page);

  // Nothing of the file is of interest any more.
  void forget();
  // The file was cut: pages from `first` on are no longer of interest.
  void forget_from(std::uint64_t first);
  // Pages [first, end) were punched or zeroed.
  void forget_range(std::uint64_t first, std::uint64_t end);
  // Pages [first, end) were inserted: what was at `first` is at `end` now.
  void inserted(std::uint64_t first, std::uint64_t end);
  // Pages [first, end) were collapsed: what was at `end` is at `first` now.
  void collapsed(std::uint64_t first, std::uint64_t end);

  // For tests: what the sync under way has taken.
  Intervals taken() const;

 private:
  static void insert(Intervals& set, std::uint64_t first, std::uint64_t end);
  static void join_nearest(Intervals& set);
  // The interval that `page` lies in, or the end.
  static Intervals::const_iterator find(const Intervals& set, std::uint64_t page);
  // False if it was not there.
  static bool remove(Intervals& set, std::uint64_t page);
  static void cut(Intervals& set, std::uint64_t first);
  // Ends the interval that `at` lies in there, and begins another.
  static void split(Intervals& set, std::uint64_t at);
  static void remove_range(Intervals& set, std::uint64_t first, std::uint64_t end);
  // Calls change(set) for each of the sets: the file was cut.
  template <class Change>
  void change_all(const Change& change) EXCLUDES(mutex_);

  mutable sync::Mutex mutex_;
  Intervals written_ GUARDED_BY(mutex_);
  Intervals syncing_ GUARDED_BY(mutex_);
  Intervals rewrite_ GUARDED_BY(mutex_);
  Intervals lost_ GUARDED_BY(mutex_);
  std::uint64_t changes_ GUARDED_BY(mutex_) = 0;
  std::uint64_t durable_ GUARDED_BY(mutex_) = 0;  // of changes_
  std::uint64_t failures_ GUARDED_BY(mutex_) = 0;
  sync::Atomic<bool> any_lost_{false};  // lost_ is not empty; set under mutex_
};

}  // namespace quire::file

#endif  // QUIRE_FILE_UNSYNCED_H_
