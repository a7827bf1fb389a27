#include "sync/wait_line.h"

#include <algorithm>

namespace quire::sync {

void WaitLine::join(Place& place) noexcept {
  MutexLock lock(mutex_);
  QUIRE_DCHECK(place.state_ == Place::State::kOut);
  place.state_ = Place::State::kUp;
  place.due_ = Clock::kNever;
  place.next_ = nullptr;
  place.previous_ = last_;
  (last_ != nullptr ? last_->next_ : first_) = &place;
  last_ = &place;
  length_.fetch_add(1);
}

bool WaitLine::look(Place& place) noexcept {
  MutexLock lock(mutex_);
  QUIRE_DCHECK(place.state_ != Place::State::kOut);
  place.state_ = Place::State::kUp;
  return first_ == &place;
}

void WaitLine::rest(Place& place) noexcept {
  MutexLock lock(mutex_);
  const bool missed = place.state_ == Place::State::kMissed;
  QUIRE_DCHECK(missed || place.state_ == Place::State::kUp);
  place.state_ = Place::State::kResting;
  if (missed) call(place);
}

void WaitLine::again(Place& place) noexcept {
  MutexLock lock(mutex_);
  QUIRE_DCHECK(place.state_ == Place::State::kUp || place.state_ == Place::State::kMissed);
  place.state_ = Place::State::kResting;
  call(place);
}

bool WaitLine::leave(Place& place) noexcept {
  MutexLock lock(mutex_);
  QUIRE_DCHECK(place.state_ != Place::State::kOut);
  const bool called = place.state_ == Place::State::kCalled;
  const bool was_first = first_ == &place;
  place.state_ = Place::State::kOut;
  (place.previous_ != nullptr ? place.previous_->next_ : first_) = place.next_;
  (place.next_ != nullptr ? place.next_->previous_ : last_) = place.previous_;
  length_.fetch_sub(1);
  if (was_first && first_ != nullptr) call(*first_);  // it may find enough
  return !called;
}

void WaitLine::call_first() noexcept {
  MutexLock lock(mutex_);
  if (first_ != nullptr) call(*first_);
}

void WaitLine::call(Place& place) noexcept {
  switch (place.state_) {
    case Place::State::kUp:
      place.state_ = Place::State::kMissed;
      break;
    case Place::State::kResting:
      place.state_ = Place::State::kCalled;
      place.waker_.wake();
      break;
    case Place::State::kMissed:
    case Place::State::kCalled:
    case Place::State::kOut:
      break;
  }
}

void WaitLine::set_due(Place& place, Clock::time_point when) noexcept {
  MutexLock lock(mutex_);
  place.due_ = when;
}

Clock::time_point WaitLine::call_due() noexcept {
  Clock::time_point next = Clock::kNever;
  if (empty()) return next;
  const Clock::time_point now = Clock::now();
  MutexLock lock(mutex_);
  for (Place* place = first_; place != nullptr;) {
    Place* const behind = place->next_;  // the place may be another's once it is called
    if (place->due_ <= now) {
      place->due_ = Clock::kNever;
      call(*place);
    } else {
      next = std::min(next, place->due_);
    }
    place = behind;
  }
  return next;
}

}  // namespace quire::sync
