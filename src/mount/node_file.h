// NodeFile: what the mount knows of a regular file beside its attributes: its opens in the engine, what the
// kernel's cache holds of it, and whether a write must take set-id bits away. One for each node.
//
// The files themselves are opened and closed by OpenFiles (open_files.h), which also draws their states.
#ifndef QUIRE_MOUNT_NODE_FILE_H_
#define QUIRE_MOUNT_NODE_FILE_H_

#include <cstdint>
#include <list>
#include <memory>

#include "mount/kernel_pages.h"
#include "sync/atomic.h"
#include "sync/clock.h"
#include "sync/mutex.h"
#include "sync/range_lock.h"

namespace quire {
class FileImpl;
}

namespace quire::mount {

class Node;

class NodeFile {
 public:
  explicit NodeFile(Node& node);
  ~NodeFile();
  NodeFile(const NodeFile&) = delete;
  NodeFile& operator=(const NodeFile&) = delete;

  // The rule of kernel_pages.h for who holds what of it.
  sync::RangeLock& kernel_order() noexcept { return kernel_order_; }
  KernelPages& kernel_pages() noexcept { return kernel_pages_; }

  // A write must look for set-id bits and capabilities of the file. Until somebody looked, yes.
  bool may_have_privileges() const noexcept { return may_have_privileges_.load(); }
  void set_may_have_privileges(bool may) noexcept { may_have_privileges_.store(may); }

 private:
  friend class OpenFiles;

  Node& node_;
  sync::RangeLock kernel_order_{sync::Rank::kKernelPages};
  KernelPages kernel_pages_;
  sync::Atomic<bool> may_have_privileges_{true};

  // Held over the opening and closing of the file, so that there is one of each.
  sync::Mutex mutex_;
  std::unique_ptr<FileImpl> read_ GUARDED_BY(mutex_);
  std::unique_ptr<FileImpl> write_ GUARDED_BY(mutex_);
  std::uint32_t users_ GUARDED_BY(mutex_) = 0;
  bool unlinked_ GUARDED_BY(mutex_) = false;  // no name is left

  // Guarded by OpenFiles: the list on which it lingers, if it does, where on it, and since when.
  std::list<NodeFile*>* lingers_ = nullptr;
  std::list<NodeFile*>::iterator place_;
  sync::Clock::time_point since_;
  bool write_failed_ = false;  // when it was last tried, and that was logged
};

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_NODE_FILE_H_
