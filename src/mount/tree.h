// Tree: the source directory, and every way by which the mount reaches what lies beneath it.
//
// Nothing is ever reached by a path of several components, nor through a symbolic link: each step is one
// name in a directory that is held open, so nobody can lead the daemon out of the source. What is mounted
// below the source is not entered: EXDEV.
//
// A node is reached by the names that its table knows; each is checked against the object's id, so that a
// name that somebody gave to another object behind our back never leads there: ESTALE, upon which the kernel
// looks the name up again. Descriptors of directories are kept for speed (DirectoryFds); files cost none.
//
// Who calls: the file system's operations, sharing the names lock. Thread-safe.
#ifndef QUIRE_MOUNT_TREE_H_
#define QUIRE_MOUNT_TREE_H_

#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "mount/answer.h"
#include "mount/directory_fds.h"
#include "mount/node_table.h"
#include "quire/result.h"
#include "store/fd.h"

namespace quire::mount {

ObjectId id_of(const struct statx& stat);

class Tree {
 public:
  // `root`: the open source directory; kept by the caller.
  static Result<Tree> open(int root, std::size_t fds_max);

  ObjectId root_id() const noexcept { return root_id_; }
  void attach(NodeTable& nodes) noexcept { nodes_ = &nodes; }

  // An O_PATH descriptor of a directory.
  Answer<SharedFd> directory(Node& node) const;
  // An O_PATH descriptor of any node. Acting on it through /proc/self/fd acts on this object and no other.
  Answer<SharedFd> reach(Node& node) const;
  Answer<struct statx> stat(Node& node) const;
  // What `name` in a directory is. ENOENT; EXDEV for what is mounted there.
  Answer<struct statx> stat(int directory, const char* name) const;
  // Opens a regular file for IO, or a directory to be read; `flags` as open(2), without O_CREAT.
  Answer<store::Fd> open(Node& node, int flags) const;
  // Opens what an O_PATH descriptor leads to.
  static Answer<store::Fd> reopen(int path_fd, int flags);

  // The node is about to be destroyed.
  void forget(Node& node) const { fds_->forget(node); }

 private:
  Tree(int root, std::uint64_t mount_id, ObjectId root_id, std::size_t fds_max);
  Answer<struct statx> stat_of(int fd, const char* name, int flags) const;
  // Calls `find` with each name that is known of the node, and its open parent, until that finds it. The last
  // error, of which ESTALE counts least.
  template <class T, class Find>
  Answer<T> by_names(Node& node, const Find& find) const;
  // A node by a name: ESTALE if it is not there, or is another object.
  Answer<SharedFd> step(const SharedFd& parent, const Node& node, const std::string& name) const;
  Answer<struct statx> stat_step(const SharedFd& parent, const Node& node,
                                 const std::string& name) const;
  // Null if it has to be reached by a name.
  Answer<SharedFd> known_directory(Node& node) const;

  int root_;
  std::uint64_t mount_id_;
  ObjectId root_id_;
  std::unique_ptr<DirectoryFds> fds_;
  NodeTable* nodes_ = nullptr;
};

// "/proc/self/fd/N", through which a path call acts on what an O_PATH descriptor leads to.
std::string proc_path(int fd);

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_TREE_H_
