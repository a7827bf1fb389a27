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
// The store's handles are held while an entry is open or left behind.
//
// Who calls: Cache and File. Thread-safe. The mutex is held for the table's sake only; what waits for
// the store happens outside, with the entry marked.
#ifndef QUIRE_FILE_INODE_TABLE_H_
#define QUIRE_FILE_INODE_TABLE_H_

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
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
  // One opener less. After the last: writes the file back and, if all could be written, closes the
  // store's handles. Returns what could not be written; the entry then stays.
  std::error_code close(const std::shared_ptr<Inode>& inode, const sync::WaitLimit& limit);

  // Files that are open or left behind.
  std::vector<std::shared_ptr<Inode>> in_use() const;
  // Keeps the handles of a file in use until its end_request(), though all close it. False if it is no
  // longer in use.
  bool begin_use(const Inode& inode);
  // Paths of open files.
  std::vector<std::string> open_paths() const;
  std::size_t open_count() const;

  // Closes the handles of what was left behind, as far as it has been written by now.
  void settle_left_behind();
  // Drops every page of every file, written or not. REQUIRES: nothing open, nothing under way.
  void forget_everything();

 private:
  struct Entry {
    std::shared_ptr<Inode> inode;
    std::uint32_t openers = 0;
    bool has_read = false;
    bool has_write = false;
    ObjectHandle read, write;
    bool idle = false;
    std::list<ObjectId>::iterator idle_place;
  };
  using Map = std::map<ObjectId, Entry>;

  void attach(Entry& entry, const OpenedObject& opened, bool writable,
              std::vector<ObjectHandle>& surplus) REQUIRES(mutex_);
  void become_idle(Entry& entry, std::vector<ObjectHandle>& surplus,
                   std::vector<std::shared_ptr<Inode>>& forgotten) REQUIRES(mutex_);
  void leave_idle(Entry& entry) REQUIRES(mutex_);
  void try_settle(const std::shared_ptr<Inode>& inode);
  void close_handles(const std::vector<ObjectHandle>& handles);
  void look_behind(Inode& inode, const ObjectStat& stat);

  cache::PageCache& cache_;
  const std::size_t idle_max_;
  mutable sync::Mutex mutex_;
  Map entries_ GUARDED_BY(mutex_);
  std::list<ObjectId> idle_ GUARDED_BY(mutex_);  // oldest first
  std::size_t open_files_ GUARDED_BY(mutex_) = 0;
  // Times that a file became idle: what the store said of a closed file before may be out of date.
  std::uint64_t settled_ GUARDED_BY(mutex_) = 0;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_INODE_TABLE_H_
