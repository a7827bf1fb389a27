// InodeTable: the files that a cache knows: those that are open, those that were closed with pages that
// could not be written yet, and those that were closed and whose clean pages are kept for the next open.
// Hard links lead to one entry.
//
//            open                       close, all written
//   (none) ---------> open ------------------------------------> idle --+ open, unchanged: its pages
//      ^               ^ |  close, not all written                |     | are used again
//      |               | +-----------------------> left behind    |     |
//      |               +---------- open --------------+           |     |
//      |               +------------------------------------------+-----+
//      +--- forgotten: changed behind our back, or too many idle -+
//
// The store's handles are held while an entry is open or left behind. Left behind without handles are
// files that were idle when a sync of the whole store failed: they are opened again, one after the other,
// to be written again. A left-behind file that has been written meanwhile gives its handles back at one
// of the next opens, or at a sync of the cache.
//
// Invariants:
//  1. An entry that has openers, or closers (threads inside close()), or requests under way keeps its
//     handles.
//  2. An idle entry has no dirty page, nothing to be written again and no lost page.
//
// Who calls: Cache and File. Thread-safe. The mutex is held for the table's sake only; what waits for
// the store happens outside, with the entry marked.
#ifndef QUIRE_FILE_INODE_TABLE_H_
#define QUIRE_FILE_INODE_TABLE_H_

#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "cache/page_cache.h"
#include "file/inode.h"
#include "quire/result.h"
#include "quire/store.h"
#include "sync/mutex.h"
#include "sync/wait.h"

namespace quire::file {

class InodeTable {
 public:
  explicit InodeTable(cache::PageCache& cache);
  // REQUIRES: forget_everything().
  ~InodeTable();
  InodeTable(const InodeTable&) = delete;
  InodeTable& operator=(const InodeTable&) = delete;

  // Opens the object at `path` in the store and counts an opener. Errors: the store's, ENFILE.
  Result<std::shared_ptr<Inode>> open(const std::string& path, OpenFlags flags, std::uint32_t mode);
  // The same of an object that the caller has opened in the store; for reading, and if `writable` for
  // writing too. Looks again at what it has. The handle is the table's from here on: on an error it is
  // closed. `path`: as Inode::path.
  Result<std::shared_ptr<Inode>> adopt(const OpenedObject& opened, const std::string& path,
                                       bool writable);
  // One more opener of a file that the caller has open. Does not ask the store. Errors: ENFILE; EBADF if
  // `writable` and the file is not open for writing.
  Status reopen(const std::shared_ptr<Inode>& inode, bool writable);
  // One opener less. Writes the file back; the last, if all could be written, closes the store's handles.
  // Returns what could not be written (the entry then stays), or what the store said to the closing.
  std::error_code close(const std::shared_ptr<Inode>& inode, const sync::WaitLimit& limit);

  // Gives back what is reserved at the store for files in use and not needed (reserve.h), as far as the
  // store answers within `limit`. For who was told that the store is full; holds nothing.
  void trim_all(const sync::WaitLimit& limit);

  // One opener less of a file that others have open: writes nothing, waits for nothing. REQUIRES: an opener
  // is left, and stays for as long as this call takes.
  void leave(const std::shared_ptr<Inode>& inode);

  // See attribute_change.h, which is the way to call these.
  std::uint64_t begin_attribute_change(const ObjectId& id);
  void end_attribute_change(const ObjectId& id, std::uint64_t looks, const ObjectStat* now,
                            Inode::Attribute what);
  void end_attribute_change_unseen(const ObjectId& id, std::uint64_t looks);

  // The file, if it is in use or idle. With `host_now`, what the store has now: not an idle one that it
  // says was changed by another program.
  std::shared_ptr<Inode> known(const ObjectId& id, const ObjectStat* host_now) const;

  // Files that are open or left behind.
  std::vector<std::shared_ptr<Inode>> in_use() const;
  // Keeps the handles of a file in use until its end_request(), though all close it, and sees to it that
  // it can be written if it must be. False if it is no longer in use. Errors: the store's, if it could
  // not be opened again.
  Result<bool> begin_use(const std::shared_ptr<Inode>& inode);
  // Paths of open files.
  std::vector<std::string> open_paths() const;
  std::size_t open_count() const;

  // Closes the handles of a file that was left behind, if it has been written by now. Returns what the
  // store said to that.
  std::error_code settle(const std::shared_ptr<Inode>& inode);
  // Syncs the whole store. If that fails, what was written to any file since the last good one, closed
  // files too, must be written again; such files are in use again.
  Status sync_store();
  // Closed files that were forgotten before a sync of the store that failed: nobody can write them again.
  std::uint64_t lost_files() const;
  // Drops every page of every file, written or not. Returns what the store said to the closing of
  // handles. REQUIRES: nothing open, nothing under way.
  std::error_code forget_everything();

 private:
  struct Entry {
    std::shared_ptr<Inode> inode;
    std::uint32_t openers = 0;
    std::uint32_t closers = 0;
    bool has_read = false;
    bool has_write = false;
    ObjectHandle read, write;
    bool idle = false;
    std::list<ObjectId>::iterator idle_place;
    bool left_behind = false;  // and in left_behind_
  };
  using Map = std::map<ObjectId, Entry>;

  Status check_room(const std::string& path) const REQUIRES(mutex_);
  // Counts an opener of what was opened. `settled`: settled_ before `opened.stat` was taken; kUnknown if
  // nobody knows. On an error the handle is closed.
  static constexpr std::uint64_t kUnknown = ~std::uint64_t{0};
  Result<std::shared_ptr<Inode>> enter(OpenedObject opened, const std::string& path, bool writable,
                                       std::uint64_t settled);
  void attach(Entry& entry, const OpenedObject& opened, bool writable,
              std::vector<ObjectHandle>& surplus) REQUIRES(mutex_);
  void become_idle(Entry& entry, std::vector<ObjectHandle>& surplus,
                   std::vector<std::shared_ptr<Inode>>& forgotten) REQUIRES(mutex_);
  void leave_idle(Entry& entry) REQUIRES(mutex_);
  // Takes an idle entry out of the table.
  void forget_idle(Map::iterator entry, std::vector<std::shared_ptr<Inode>>& forgotten)
      REQUIRES(mutex_);
  void leave_behind(Entry& entry) REQUIRES(mutex_);
  void note_forgotten(const Inode& inode) REQUIRES(mutex_);
  // Nobody has the file open and nothing of it is left to be done at the store.
  bool all_done(const Entry& entry) const;
  std::error_code settle(const std::shared_ptr<Inode>& inode, bool closer);
  void settle_some();
  // Opens the file for writing where it is open for reading, or not at all.
  std::error_code open_again(const std::shared_ptr<Inode>& inode);
  std::error_code close_handles(const std::vector<ObjectHandle>& handles);
  void look_behind(Inode& inode, const ObjectStat& stat);
  // trim() of a file that is being closed; what it cannot do is logged.
  void trim_closing(const std::shared_ptr<Inode>& inode, const sync::WaitLimit& limit);

  cache::PageCache& cache_;
  const std::size_t idle_max_;
  mutable sync::Mutex mutex_;
  Map entries_ GUARDED_BY(mutex_);
  std::list<ObjectId> idle_ GUARDED_BY(mutex_);  // oldest first
  // Some of these may be open again, or have been settled.
  std::deque<ObjectId> left_behind_ GUARDED_BY(mutex_);
  // Files forgotten that no sync of theirs had made durable: since the last sync of the store, and lost.
  std::uint64_t forgotten_unsynced_ GUARDED_BY(mutex_) = 0;
  std::uint64_t lost_files_ GUARDED_BY(mutex_) = 0;
  std::size_t open_files_ GUARDED_BY(mutex_) = 0;
  // Changes of attributes under way, by object. The table's inode of an object, if there is one, counts
  // as many.
  std::map<ObjectId, std::uint32_t> attribute_changes_ GUARDED_BY(mutex_);
  // Times that a file became idle, or its attributes were changed: what the store said of a closed file
  // before may be out of date.
  std::uint64_t settled_ GUARDED_BY(mutex_) = 0;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_INODE_TABLE_H_
