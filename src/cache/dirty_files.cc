#include "cache/dirty_files.h"

#include <algorithm>

#include "cache/file_pages.h"

namespace quire::cache {

void DirtyFiles::add(FilePages& pages) noexcept {
  sync::MutexLock lock(mutex_);
  if (pages.known_dirty_) return;
  pages.known_dirty_ = true;
  files_.push_back(pages.shared_from_this());
}

std::vector<std::shared_ptr<FilePages>> DirtyFiles::take_stock() {
  // Files that leave are released after the lock: the last reference may be ours.
  std::vector<std::shared_ptr<FilePages>> clean;
  sync::MutexLock lock(mutex_);
  const auto gone = std::stable_partition(
      files_.begin(), files_.end(), [](const auto& file) { return file->dirty().size() > 0; });
  for (auto it = gone; it != files_.end(); ++it) {
    (*it)->known_dirty_ = false;
    clean.push_back(std::move(*it));
  }
  files_.erase(gone, files_.end());
  auto stock = files_;
  lock.unlock();
  clean.clear();
  return stock;
}

void DirtyFiles::remove(FilePages& pages) noexcept {
  std::shared_ptr<FilePages> held;
  sync::MutexLock lock(mutex_);
  const auto it = std::find_if(files_.begin(), files_.end(),
                               [&](const auto& file) { return file.get() == &pages; });
  if (it == files_.end()) return;
  pages.known_dirty_ = false;
  held = std::move(*it);
  files_.erase(it);
  lock.unlock();
}

}  // namespace quire::cache
