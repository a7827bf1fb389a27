// DirtyFiles: the files that the flusher has to look at. A file enters when its dirty list gets its
// first page and leaves when the flusher finds the list empty.
//
// Who calls: add() whoever stores into a page, holding it, in the handler of an access too (in_thread_fault.h): it
// takes no memory. The rest the flusher, and who closes a file.
//
// Invariant: a file with a non-empty dirty list is here, or became_dirty() is about to put it here.
#ifndef QUIRE_CACHE_DIRTY_FILES_H_
#define QUIRE_CACHE_DIRTY_FILES_H_

#include <memory>
#include <vector>

#include "sync/mutex.h"

namespace quire::cache {

class FilePages;

class DirtyFiles {
 public:
  DirtyFiles() = default;
  // Files that have been forgotten may be left, which the flusher has not looked at since they were clean.
  ~DirtyFiles();
  DirtyFiles(const DirtyFiles&) = delete;
  DirtyFiles& operator=(const DirtyFiles&) = delete;

  void add(FilePages& pages) noexcept;
  // All of them, oldest first. Files whose list is empty by now are taken out and not returned.
  std::vector<std::shared_ptr<FilePages>> take_stock();
  // Forgets `pages`, which is going away.
  void remove(FilePages& pages) noexcept;

 private:
  sync::Mutex mutex_;
  // Linked through the files, each of which keeps itself as long as it is here.
  FilePages* first_ GUARDED_BY(mutex_) = nullptr;
  FilePages* last_ GUARDED_BY(mutex_) = nullptr;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_DIRTY_FILES_H_
