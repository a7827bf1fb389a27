// PageQuota: how many pages the objects of one memory store may allocate together, and how many
// they have. This is what makes a memory store full.
//
// Thread-safety: all calls, from any thread. It is the innermost lock of the memory store.
//
// Invariant: take() never lets the number in use pass the limit. A limit set below what is in use
// takes nothing away; it only refuses more.
#ifndef QUIRE_STORE_PAGE_QUOTA_H_
#define QUIRE_STORE_PAGE_QUOTA_H_

#include <cstdint>

#include "sync/check.h"
#include "sync/mutex.h"

namespace quire::store {

class PageQuota {
 public:
  explicit PageQuota(std::uint64_t limit_pages) : limit_pages_(limit_pages) {}

  // Takes `pages`, or nothing and returns false.
  bool take(std::uint64_t pages) EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    if (used_pages_ > limit_pages_ || pages > limit_pages_ - used_pages_) return pages == 0;
    used_pages_ += pages;
    return true;
  }

  void give(std::uint64_t pages) EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    QUIRE_CHECK(pages <= used_pages_);
    used_pages_ -= pages;
  }

  // Takes `pages` whatever the limit says: for what was promised before and comes back.
  void take_unchecked(std::uint64_t pages) EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    used_pages_ += pages;
  }

  void set_limit_pages(std::uint64_t pages) EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    limit_pages_ = pages;
  }

 private:
  sync::Mutex mutex_;
  std::uint64_t limit_pages_ GUARDED_BY(mutex_);
  std::uint64_t used_pages_ GUARDED_BY(mutex_) = 0;
};

}  // namespace quire::store

#endif  // QUIRE_STORE_PAGE_QUOTA_H_
