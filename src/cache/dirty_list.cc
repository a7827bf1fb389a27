#include "cache/dirty_list.h"

#include "sync/check.h"

namespace quire::cache {

DirtyList::~DirtyList() {
  QUIRE_CHECK(size_ == 0 && flushes_ == nullptr);
}

bool DirtyList::add(FrameNumber frame) noexcept {
  FrameDescriptor& d = at(frame);
  sync::MutexLock lock(mutex_);
  if (d.on_dirty_list) return false;
  d.dirty_sequence = ++sequence_;
  d.dirtied_at_ns = sync::Clock::coarse_now().time_since_epoch().count();
  insert(frame);
  return size_ == 1;
}

void DirtyList::note_written(std::size_t count) noexcept {
  sync::MutexLock lock(mutex_);
  taken_ -= count;
}

bool DirtyList::put_back(const DirtyPage& page) noexcept {
  FrameDescriptor& d = at(page.frame);
  sync::MutexLock lock(mutex_);
  const bool listed = d.on_dirty_list;
  if (listed) unlink(page.frame);
  d.dirty_sequence = page.sequence;
  d.dirtied_at_ns = page.dirtied_at_ns;
  insert(page.frame);
  --taken_;
  near_ = page.frame;
  return !listed && size_ == 1;
}

FrameNumber DirtyList::first_after(std::uint64_t sequence) const noexcept {
  FrameNumber frame = near_ != kNoFrame ? near_ : first_;
  while (frame != kNoFrame && at(frame).dirty_sequence <= sequence) frame = at(frame).dirty_next;
  if (frame == kNoFrame) return kNoFrame;
  for (FrameNumber previous = at(frame).dirty_previous;
       previous != kNoFrame && at(previous).dirty_sequence > sequence;
       previous = at(frame).dirty_previous) {
    frame = previous;
  }
  return frame;
}

void DirtyList::insert(FrameNumber frame) noexcept {
  FrameDescriptor& d = at(frame);
  const bool newest = last_ == kNoFrame || at(last_).dirty_sequence < d.dirty_sequence;
  d.dirty_next = newest ? kNoFrame : first_after(d.dirty_sequence);
  d.dirty_previous = newest ? last_ : at(d.dirty_next).dirty_previous;
  (d.dirty_previous != kNoFrame ? at(d.dirty_previous).dirty_next : first_) = frame;
  (d.dirty_next != kNoFrame ? at(d.dirty_next).dirty_previous : last_) = frame;
  d.on_dirty_list = true;
  ++size_;
}

void DirtyList::unlink(FrameNumber frame) noexcept {
  FrameDescriptor& d = at(frame);
  if (near_ == frame) near_ = d.dirty_next != kNoFrame ? d.dirty_next : d.dirty_previous;
  (d.dirty_previous != kNoFrame ? at(d.dirty_previous).dirty_next : first_) = d.dirty_next;
  (d.dirty_next != kNoFrame ? at(d.dirty_next).dirty_previous : last_) = d.dirty_previous;
  d.dirty_next = d.dirty_previous = kNoFrame;
  d.on_dirty_list = false;
  --size_;
}

void DirtyList::remove(FrameNumber frame) noexcept {
  sync::MutexLock lock(mutex_);
  unlink(frame);
}

std::uint64_t DirtyList::newest_sequence() const noexcept {
  sync::MutexLock lock(mutex_);
  return sequence_;
}

std::size_t DirtyList::size() const noexcept {
  sync::MutexLock lock(mutex_);
  return size_;
}

std::size_t DirtyList::unwritten() const noexcept {
  sync::MutexLock lock(mutex_);
  return size_ + taken_;
}

sync::Clock::time_point DirtyList::oldest() const noexcept {
  sync::MutexLock lock(mutex_);
  if (first_ == kNoFrame) return sync::Clock::kNever;
  return sync::Clock::time_point(sync::Clock::duration(at(first_).dirtied_at_ns));
}

void DirtyList::begin_flush(Flush& flush) noexcept {
  sync::MutexLock lock(mutex_);
  flush.number_ = ++flush_number_;
  flush.next_ = flushes_;
  if (flushes_ != nullptr) flushes_->previous_ = &flush;
  flushes_ = &flush;
}

void DirtyList::end_flush(Flush& flush, std::error_code error) noexcept {
  sync::MutexLock lock(mutex_);
  if (error) ++failures_;
  (flush.previous_ != nullptr ? flush.previous_->next_ : flushes_) = flush.next_;
  if (flush.next_ != nullptr) flush.next_->previous_ = flush.previous_;
  flush.next_ = flush.previous_ = nullptr;
  Waiter** link = &waiters_;
  while (*link != nullptr) {
    Waiter& waiter = **link;
    if (flushes_left(waiter.up_to)) {
      link = &waiter.next;
      continue;
    }
    *link = waiter.next;
    waiter.linked = false;
    waiter.parker.unpark();
  }
}

bool DirtyList::flushes_left(std::uint64_t up_to) const noexcept {
  for (const Flush* f = flushes_; f != nullptr; f = f->next_) {
    if (f->number_ <= up_to) return true;
  }
  return false;
}

sync::WaitStatus DirtyList::wait_flushes(const sync::WaitLimit& limit) {
  Waiter waiter;
  {
    sync::MutexLock lock(mutex_);
    waiter.up_to = flush_number_;
    if (!flushes_left(waiter.up_to)) return sync::WaitStatus::kReady;
    waiter.next = waiters_;
    waiters_ = &waiter;
  }
  const sync::WaitStatus status = waiter.parker.park_until(limit);
  if (status == sync::WaitStatus::kReady) return status;
  sync::MutexLock lock(mutex_);
  if (!waiter.linked) return sync::WaitStatus::kReady;
  Waiter** link = &waiters_;
  while (*link != &waiter) link = &(*link)->next;
  *link = waiter.next;
  return status;
}

std::uint64_t DirtyList::failures() const noexcept {
  sync::MutexLock lock(mutex_);
  return failures_;
}

}  // namespace quire::cache
