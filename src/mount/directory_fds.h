// DirectoryFds: descriptors of directories that were used lately, at most so many, the one that was not used
// for longest given up first. A descriptor in use outlives its place here.
//
// Who calls: Tree. Thread-safe.
#ifndef QUIRE_MOUNT_DIRECTORY_FDS_H_
#define QUIRE_MOUNT_DIRECTORY_FDS_H_

#include <cstddef>
#include <list>

#include "mount/node.h"
#include "sync/mutex.h"

namespace quire::mount {

class DirectoryFds {
 public:
  explicit DirectoryFds(std::size_t fds_max) : fds_max_(fds_max) {}
  DirectoryFds(const DirectoryFds&) = delete;
  DirectoryFds& operator=(const DirectoryFds&) = delete;

  // The node's descriptor, or null.
  SharedFd get(Node& node);
  // Keeps `fd` as the node's, unless it has one by now; returns the one that it has.
  SharedFd put(Node& node, SharedFd fd);
  // The node goes.
  void forget(Node& node);
  std::size_t size() const;

 private:
  const std::size_t fds_max_;
  mutable sync::Mutex mutex_;
  std::list<Node*> recent_ GUARDED_BY(mutex_);  // the last used first
};

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_DIRECTORY_FDS_H_
