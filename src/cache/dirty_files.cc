#include "cache/dirty_files.h"

#include <cstddef>
#include <utility>

#include "cache/file_pages.h"

namespace quire::cache {

DirtyFiles::~DirtyFiles() {
  while (first_ != nullptr) {
    const std::shared_ptr<FilePages> file = std::exchange(first_->known_dirty_, nullptr);
    first_ = std::exchange(file->next_dirty_, nullptr);
  }
}

void DirtyFiles::add(FilePages& pages) noexcept {
  sync::MutexLock lock(mutex_);
  if (pages.known_dirty_ != nullptr) return;
  pages.known_dirty_ = pages.shared_from_this();
  (last_ != nullptr ? last_->next_dirty_ : first_) = &pages;
  last_ = &pages;
}

std::vector<std::shared_ptr<FilePages>> DirtyFiles::take_stock() {
  // Files that leave are released after the lock: the last reference may be ours.
  std::vector<std::shared_ptr<FilePages>> clean;
  std::vector<std::shared_ptr<FilePages>> stock;
  sync::MutexLock lock(mutex_);
  std::size_t files = 0;
  for (const FilePages* file = first_; file != nullptr; file = file->next_dirty_) ++files;
  // Nothing throws once the list is being changed.
  clean.reserve(files);
  stock.reserve(files);
  FilePages** link = &first_;
  last_ = nullptr;
  while (FilePages* const file = *link) {
    if (file->dirty().size() > 0) {
      stock.push_back(file->known_dirty_);
      last_ = file;
      link = &file->next_dirty_;
      continue;
    }
    clean.push_back(file->known_dirty_);
    *link = std::exchange(file->next_dirty_, nullptr);
    file->known_dirty_ = nullptr;
  }
  lock.unlock();
  clean.clear();
  return stock;
}

void DirtyFiles::remove(FilePages& pages) noexcept {
  std::shared_ptr<FilePages> held;
  sync::MutexLock lock(mutex_);
  FilePages* before = nullptr;
  FilePages* file = first_;
  for (; file != nullptr && file != &pages; file = file->next_dirty_) before = file;
  if (file == nullptr) return;
  (before != nullptr ? before->next_dirty_ : first_) = pages.next_dirty_;
  if (last_ == &pages) last_ = before;
  pages.next_dirty_ = nullptr;
  held = std::exchange(pages.known_dirty_, nullptr);
  lock.unlock();
}

}  // namespace quire::cache
