#include "mount/directory_fds.h"

#include <utility>

namespace quire::mount {

SharedFd DirectoryFds::get(Node& node) {
  sync::MutexLock lock(mutex_);
  if (node.directory_fd_ == nullptr) return nullptr;
  recent_.splice(recent_.begin(), recent_, node.recent_);
  return node.directory_fd_;
}

SharedFd DirectoryFds::put(Node& node, SharedFd fd) {
  SharedFd surplus;  // closed outside the mutex
  sync::MutexLock lock(mutex_);
  if (node.directory_fd_ != nullptr) return node.directory_fd_;
  if (recent_.size() >= fds_max_) {
    Node* const oldest = recent_.back();
    recent_.pop_back();
    surplus = std::move(oldest->directory_fd_);
    oldest->directory_fd_ = nullptr;
  }
  node.recent_ = recent_.insert(recent_.begin(), &node);
  node.directory_fd_ = std::move(fd);
  SharedFd result = node.directory_fd_;
  lock.unlock();
  surplus.reset();
  lock.lock();
  return result;
}

void DirectoryFds::forget(Node& node) {
  SharedFd surplus;
  sync::MutexLock lock(mutex_);
  if (node.directory_fd_ == nullptr) return;
  recent_.erase(node.recent_);
  surplus = std::move(node.directory_fd_);
  node.directory_fd_ = nullptr;
}

std::size_t DirectoryFds::size() const {
  sync::MutexLock lock(mutex_);
  return recent_.size();
}

}  // namespace quire::mount
