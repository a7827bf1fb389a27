#include "cache/page_wait.h"

namespace quire::cache {

void PageWaitLot::join(Bucket& bucket, Waiter& waiter) {
  waiter.next_ = bucket.first;
  waiter.previous_ = nullptr;
  if (bucket.first != nullptr) bucket.first->previous_ = &waiter;
  bucket.first = &waiter;
  waiter.linked_ = true;
}

void PageWaitLot::leave(Bucket& bucket, Waiter& waiter) {
  if (waiter.previous_ != nullptr) {
    waiter.previous_->next_ = waiter.next_;
  } else {
    bucket.first = waiter.next_;
  }
  if (waiter.next_ != nullptr) waiter.next_->previous_ = waiter.previous_;
  waiter.linked_ = false;
  waiter.timer_.reset();
}

bool PageWaitLot::cancel(Waiter& waiter) noexcept {
  Bucket& bucket = bucket_of(waiter.key_);
  sync::MutexLock lock(bucket.mutex);
  if (!waiter.linked_) return false;
  leave(bucket, waiter);
  return true;
}

void PageWaitLot::wake(PageKey key) noexcept {
  Bucket& bucket = bucket_of(key);
  sync::MutexLock lock(bucket.mutex);
  for (Waiter* w = bucket.first; w != nullptr;) {
    Waiter* const next = w->next_;  // once woken, `w` may be gone
    if (w->key_ == key) {
      leave(bucket, *w);
      w->waker_.wake();
    }
    w = next;
  }
}

}  // namespace quire::cache
