// Unsynced: which pages of a file were written to the store since its last successful sync. If a sync
// fails nothing is known of them (ext4 was seen to fail one fsync, succeed the next, and lose the byte),
// so all of them are written again before the next sync may succeed.
//
// A set of intervals, bounded: when it has limits::kUnsyncedMax of them the two nearest are joined, and
// pages between are written again for nothing.
//
// Thread-safety: all calls from any thread.
#ifndef QUIRE_FILE_UNSYNCED_H_
#define QUIRE_FILE_UNSYNCED_H_

#include <cstddef>
#include <cstdint>
#include <map>

#include "sync/mutex.h"

namespace quire::file {

class Unsynced {
 public:
  // First page -> one past the last.
  using Intervals = std::map<std::uint64_t, std::uint64_t>;

  void add(std::uint64_t first, std::size_t count);
  // A sync begins: what is there is taken out, and given back if the sync fails.
  Intervals take();
  // The sync failed: `intervals` must be written again.
  void put_back(const Intervals& intervals);
  // The first page that must be written again; false if there is none. It stays until rewritten() says
  // that it is dirty again, so that no other sync can succeed before.
  bool next_rewrite(std::uint64_t* page) const;
  void rewritten(std::uint64_t page);
  bool rewrite_needed() const;
  // Pages from `first` on, which are to be written again, lie past the end of the file.
  void forget_rewrite_from(std::uint64_t first);
  // The file was cut: pages from `first` on are no longer of interest.
  void forget_from(std::uint64_t first);

 private:
  static void insert(Intervals& set, std::uint64_t first, std::uint64_t end);
  static void cut(Intervals& set, std::uint64_t first);

  mutable sync::Mutex mutex_;
  Intervals written_ GUARDED_BY(mutex_);
  Intervals rewrite_ GUARDED_BY(mutex_);
};

}  // namespace quire::file

#endif  // QUIRE_FILE_UNSYNCED_H_
