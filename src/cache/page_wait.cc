#include "cache/page_wait.h"

namespace quire::cache {

void PageWaitLot::join(Bucket& bucket, Waiter& waiter) {
  waiter.next = bucket.first;
  if (bucket.first != nullptr) bucket.first->previous = &waiter;
  bucket.first = &waiter;
  waiter.linked = true;
}

void PageWaitLot::leave(Bucket& bucket, Waiter& waiter) {
  if (waiter.previous != nullptr) {
    waiter.previous->next = waiter.next;
  } else {
    bucket.first = waiter.next;
  }
  if (waiter.next != nullptr) waiter.next->previous = waiter.previous;
  waiter.linked = false;
}

sync::WaitStatus PageWaitLot::sleep(Bucket& bucket, Waiter& waiter, const sync::WaitLimit& limit) {
  const sync::WaitStatus status = waiter.parker.park_until(limit);
  if (status == sync::WaitStatus::kReady) return status;
  {
    sync::MutexLock lock(bucket.mutex);
    if (waiter.linked) {
      leave(bucket, waiter);
      return status;
    }
  }
  // A waker took us off the list and is about to unpark: the Parker must live until it has.
  waiter.parker.park();
  return sync::WaitStatus::kReady;
}

void PageWaitLot::wake(PageKey key) noexcept {
  Bucket& bucket = bucket_of(key);
  sync::MutexLock lock(bucket.mutex);
  for (Waiter* w = bucket.first; w != nullptr;) {
    Waiter* const next = w->next;  // once unparked, `w` may be gone
    if (w->key == key) {
      leave(bucket, *w);
      w->parker.unpark();
    }
    w = next;
  }
}

}  // namespace quire::cache
