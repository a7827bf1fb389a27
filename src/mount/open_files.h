// OpenFiles: the engine's files behind the nodes. A file that the last program has closed lingers: it stays open
// here for a while, so that the next open is cheap, and for as long as data of it is unwritten, so that
// closing a file does not wait for the source.
//
//             use()                    last unuse()
//   closed -----------> in use ------------------------> lingering
//      ^                   ^                                |  |
//      |                   +---------------- use() ---------+  |
//      |     all written, and old or too many: tidy()          |
//      +-------------------------------------------------------+
//            no name is left, and the kernel has forgotten it: at once, and nothing is written
//
// A file that has lost its last name can still be opened, through /proc/PID/fd of a descriptor that does not
// count as an open (O_PATH), for as long as the kernel knows its node: until then it lingers, apart.
//
// Invariants:
//  1. A lingering file has no users, and holds its node.
//  2. A file is closed only when nothing of it is unwritten, or nobody can ever read it again, or at the end.
//  3. More than kLingeringFilesMax files with a name linger only while they cannot be written.
//
// Who calls: the file system's operations, holding nothing; tidy() by the housekeeper. Thread-safe.
#ifndef QUIRE_MOUNT_OPEN_FILES_H_
#define QUIRE_MOUNT_OPEN_FILES_H_

#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "file/cache_impl.h"
#include "mount/answer.h"
#include "mount/node_file.h"
#include "mount/node_table.h"
#include "mount/tree.h"
#include "quire/file.h"
#include "store/host_store.h"
#include "sync/condition.h"
#include "sync/mutex.h"

namespace quire::mount {

class OpenFiles {
 public:
  OpenFiles(CacheImpl& cache, store::HostStore& store, NodeTable& nodes, const Tree& tree,
            std::size_t lingering_max);
  // REQUIRES: close_all().
  ~OpenFiles() = default;
  OpenFiles(const OpenFiles&) = delete;
  OpenFiles& operator=(const OpenFiles&) = delete;

  // 0, or why the files that linger cannot be written, of which there are so many that no further one must be
  // written to. Whoever opens files faster than the source takes them helps to close some.
  int make_room();
  // Opens the file in the engine, for reading, and if `write` for writing too, unless it is; one user more.
  Answer<FileImpl*> use(Node& node, bool write);
  // The same of a file that was just made: `fd` is open for both, `name` its path beneath the source. make_room()
  // comes before the making.
  Answer<FileImpl*> use_created(Node& node, store::Fd fd, std::string_view name);
  void unuse(Node& node) noexcept;
  // The same, but only if the file is open by now: null if not.
  FileImpl* use_if_open(Node& node) noexcept;
  // The file has lost its last name.
  void unlinked(Node& node);
  // ... and the kernel has forgotten its node.
  void forgotten(Node& node);

  // Closes what has lingered for long enough. Blocks.
  void tidy();
  // A file that could not be written back, and why.
  struct Failure {
    std::string path;
    std::size_t dirty_bytes = 0;
    int error = 0;
  };
  // Makes everything durable, also what was written and closed here before. Blocks for as long as that takes,
  // within `call`. A failure that is of no file has what went wrong for its path.
  std::vector<Failure> sync_all(const CallOptions& call);
  // Files with unwritten data.
  std::vector<Failure> dirty();
  // Gives all of them back. What could not be written stays with the cache. REQUIRES: no users.
  void close_all();
  std::size_t count() const;

 private:
  struct Closing {
    std::unique_ptr<FileImpl> read, write;
  };
  Answer<FileImpl*> opened(Node& node, NodeFile& file, bool write) REQUIRES(file.mutex_);
  void begin_use(NodeFile& file) REQUIRES(file.mutex_);
  // Looks at so many of the files that linger.
  void tidy(std::size_t count);
  // write_now(), but not for a while after it failed for any file.
  void write_back(NodeFile& file);
  // Writes a file back, which is off the lists then unless it is used meanwhile. 0 or an errno.
  int write_now(NodeFile& file);
  // Closes a file that is in the error state and that no program has open, so that it is opened anew.
  void mend(NodeFile& file);
  // Closes a file that is off the lists, or puts it back: if something of it is unwritten that somebody can
  // still read, unless this is the end. False if it is in use again, or back.
  bool close(NodeFile& file, bool at_end);
  void enlist(NodeFile& file, std::list<NodeFile*>& list) REQUIRES(mutex_);
  void delist(NodeFile& file) REQUIRES(mutex_);
  // Calls `act` with every open file that may have been written to; what it failed for.
  template <class Act>
  std::vector<Failure> for_each_written(const Act& act);
  static FileImpl* any_of(const NodeFile& file) REQUIRES(file.mutex_);

  CacheImpl& cache_;
  store::HostStore& store_;
  NodeTable& nodes_;
  const Tree& tree_;
  const std::size_t lingering_max_;

  mutable sync::Mutex mutex_;                          // after a NodeFile's
  std::list<NodeFile*> lingering_ GUARDED_BY(mutex_);  // the longest first
  std::list<NodeFile*> nameless_ GUARDED_BY(mutex_);   // linger until the kernel forgets them
  std::size_t open_ GUARDED_BY(mutex_) = 0;
  sync::Clock::time_point try_again_ GUARDED_BY(mutex_);
  int write_error_ GUARDED_BY(mutex_) = 0;  // why it failed before that
};

// A use for a scope or for as long as a program has the file open.
class FileUse {
 public:
  FileUse() = default;
  FileUse(OpenFiles& files, Node& node, FileImpl* file) noexcept
      : files_(&files), node_(&node), file_(file) {}
  FileUse(FileUse&& other) noexcept
      : files_(other.files_), node_(other.node_), file_(std::exchange(other.file_, nullptr)) {}
  FileUse& operator=(FileUse&&) = delete;
  ~FileUse() {
    if (file_ != nullptr) files_->unuse(*node_);
  }
  FileImpl* operator->() const noexcept { return file_; }
  FileImpl& operator*() const noexcept { return *file_; }
  explicit operator bool() const noexcept { return file_ != nullptr; }

 private:
  OpenFiles* files_ = nullptr;
  Node* node_ = nullptr;
  FileImpl* file_ = nullptr;
};

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_OPEN_FILES_H_
