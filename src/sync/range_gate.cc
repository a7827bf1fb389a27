#include "sync/range_gate.h"

#include "fault/planted.h"

namespace quire::sync {

void RangeGate::Requests::push(Request& request) noexcept {
  request.next_ = nullptr;
  request.previous_ = last;
  (last != nullptr ? last->next_ : first) = &request;
  last = &request;
}

void RangeGate::Requests::remove(Request& request) noexcept {
  (request.previous_ != nullptr ? request.previous_->next_ : first) = request.next_;
  (request.next_ != nullptr ? request.next_->previous_ : last) = request.previous_;
}

bool RangeGate::barred(std::uint64_t first, std::uint64_t last) const noexcept {
  for (const Request* b = blockers_.first; b != nullptr; b = b->next_) {
    const bool bars = fault::planted(fault::Planted::kAddersOvertake)
                          ? b->state_ == Request::State::kIn
                          : b->state_ != Request::State::kBehind;
    if (bars && b->first_ <= last && first <= b->last_) return true;
  }
  return false;
}

// Counts an adder into the current phase. (Nobody else changes which one that is.)
RangeGate::Phase RangeGate::count_in() noexcept {
  const Phase phase = current(word_.load());
  word_.fetch_add(one(phase));
  return phase;
}

bool RangeGate::try_add(std::uint64_t first, std::uint64_t last, Phase* phase) noexcept {
  if (!take(phase)) {
    MutexLock lock(mutex_);
    if (barred(first, last)) return false;
    *phase = count_in();
  }
  lock_rank::acquired(Rank::kGate, this);
  return true;
}

bool RangeGate::enqueue(Adder& adder, std::uint64_t first, std::uint64_t last,
                        Waker& waker) noexcept {
  QUIRE_DCHECK(first <= last && adder.state_ == Request::State::kIdle);
  if (take(&adder.phase_)) return true;
  MutexLock lock(mutex_);
  adder.first_ = first;
  adder.last_ = last;
  adder.ahead_ = 0;
  for (const Request* b = blockers_.first; b != nullptr; b = b->next_) {
    if (b->state_ != Request::State::kBehind && b->overlaps(adder)) ++adder.ahead_;
  }
  if (adder.ahead_ == 0) {
    adder.phase_ = count_in();
    return true;
  }
  adder.waker_ = &waker;
  adder.arrival_ = ++arrivals_;
  adder.state_ = Request::State::kWaiting;
  adders_.push(adder);
  return false;
}

WaitStatus RangeGate::add(std::uint64_t first, std::uint64_t last, Phase* phase,
                          const WaitLimit& limit) {
  lock_rank::acquired(Rank::kGate, this);
  if (take(phase)) [[likely]]
    return WaitStatus::kReady;
  Adder adder;
  SleepingWaker self;
  if (!enqueue(adder, first, last, self)) {
    const WaitStatus status = self.park(limit, [&] { return cancel(adder); });
    if (status != WaitStatus::kReady) {
      lock_rank::released(Rank::kGate, this);
      return status;
    }
  }
  *phase = adder.phase();
  return WaitStatus::kReady;
}

bool RangeGate::enqueue(Blocker& blocker, std::uint64_t first, std::uint64_t last,
                        Waker& waker) noexcept {
  QUIRE_DCHECK(first <= last && blocker.state_ == Request::State::kIdle);
  Request* granted = nullptr;
  MutexLock lock(mutex_);
  blocker.first_ = first;
  blocker.last_ = last;
  blocker.waker_ = &waker;
  blocker.arrival_ = ++arrivals_;
  blocker.ahead_ = 0;
  blocker.state_ = Request::State::kBehind;
  for (const Request* a = adders_.first; a != nullptr; a = a->next_) {
    if (fault::planted(fault::Planted::kBlockersOvertake)) break;
    if (a->overlaps(blocker)) ++blocker.ahead_;
  }
  if (blockers_.first == nullptr) word_.fetch_or(kListed);
  blockers_.push(blocker);
  if (blocker.ahead_ == 0) start_draining(blocker);
  drain(&granted);
  const bool in = blocker.state_ == Request::State::kIn;
  lock.unlock();
  // Others too, if the last adder has left and did not get round to it yet.
  tell(granted, &blocker);
  return in;
}

bool RangeGate::try_block(Blocker& blocker, std::uint64_t first, std::uint64_t last) noexcept {
  SleepingWaker self;
  if (!enqueue(blocker, first, last, self)) {
    if (cancel(blocker)) return false;
    (void)self.park({});  // the last adder has left since
  }
  lock_rank::acquired(Rank::kGate, this);
  return true;
}

WaitStatus RangeGate::block(Blocker& blocker, std::uint64_t first, std::uint64_t last,
                            const WaitLimit& limit) {
  lock_rank::acquired(Rank::kGate, this);
  SleepingWaker self;
  if (enqueue(blocker, first, last, self)) return WaitStatus::kReady;
  const WaitStatus status = self.park(limit, [&] { return cancel(blocker); });
  if (status != WaitStatus::kReady) lock_rank::released(Rank::kGate, this);
  return status;
}

void RangeGate::start_draining(Blocker& blocker) noexcept {
  blocker.state_ = Request::State::kDraining;
  blocker.drains_ = Request::Drains::kBoth;
  // Those who came after it and wait for another.
  for (Request* a = adders_.first; a != nullptr; a = a->next_) {
    if (a->overlaps(blocker)) ++a->ahead_;
  }
}

void RangeGate::drain(Request** granted) noexcept {
  using State = Request::State;
  using Drains = Request::Drains;
  for (;;) {
    const std::uint64_t word = word_.load();
    const Phase other = current(word) ^ 1;
    if (adders_in(word, other) != 0) return;
    const bool none_in = adders_in(word, other ^ 1) == 0;
    bool flip = false;
    for (Request* b = blockers_.first; b != nullptr; b = b->next_) {
      if (b->state_ != State::kDraining) continue;
      if (none_in || b->drains_ == Drains::kOther) {
        b->state_ = State::kIn;
        link(*b, granted);
      } else {
        b->drains_ = Drains::kOther;
        flip = true;
      }
    }
    if (!flip) return;
    word_.fetch_xor(kCurrent);
  }
}

// The last adder of a phase left while somebody blocks, or waits to.
void RangeGate::all_adders_left() noexcept {
  Request* granted = nullptr;
  {
    MutexLock lock(mutex_);
    drain(&granted);
  }
  tell(granted);
}

void RangeGate::unblock(Blocker& blocker) noexcept {
  lock_rank::released(Rank::kGate, this);
  Request* granted = nullptr;
  {
    MutexLock lock(mutex_);
    QUIRE_CHECK(blocker.state_ == Request::State::kIn);
    remove(blocker);
    unbar(blocker, &granted);
    drain(&granted);
  }
  tell(granted);
}

void RangeGate::remove(Blocker& blocker) noexcept {
  blocker.state_ = Request::State::kIdle;
  blockers_.remove(blocker);
  if (blockers_.first == nullptr) word_.fetch_and(~kListed);
}

void RangeGate::unbar(const Blocker& blocker, Request** granted) noexcept {
  // All who can go now, before those whom they keep behind: they are one batch.
  for (Request* a = adders_.first; a != nullptr;) {
    Request* const next = a->next_;
    if (a->overlaps(blocker) && --a->ahead_ == 0) {
      adders_.remove(*a);
      a->phase_ = count_in();
      a->state_ = Request::State::kIdle;
      let_go(static_cast<Adder&>(*a));
      link(*a, granted);
    }
    a = next;
  }
  start_those_behind();
}

void RangeGate::let_go(const Adder& adder) noexcept {
  for (Request* b = blockers_.first; b != nullptr; b = b->next_) {
    if (b->state_ == Request::State::kBehind && b->arrival_ > adder.arrival_ &&
        b->overlaps(adder)) {
      QUIRE_DCHECK(b->ahead_ != 0);
      --b->ahead_;
    }
  }
}

void RangeGate::start_those_behind() noexcept {
  for (Request* b = blockers_.first; b != nullptr; b = b->next_) {
    if (b->state_ == Request::State::kBehind && b->ahead_ == 0) {
      start_draining(static_cast<Blocker&>(*b));
    }
  }
}

bool RangeGate::cancel(Adder& adder) noexcept {
  Request* granted = nullptr;
  {
    MutexLock lock(mutex_);
    if (adder.state_ != Request::State::kWaiting) return false;
    adder.state_ = Request::State::kIdle;
    adders_.remove(adder);
    let_go(adder);
    start_those_behind();
    drain(&granted);
  }
  tell(granted);
  return true;
}

bool RangeGate::cancel(Blocker& blocker) noexcept {
  Request* granted = nullptr;
  {
    MutexLock lock(mutex_);
    if (blocker.state_ == Request::State::kIn) return false;
    const bool barring = blocker.state_ == Request::State::kDraining;
    remove(blocker);
    if (barring) unbar(blocker, &granted);
    drain(&granted);
  }
  tell(granted);
  return true;
}

void RangeGate::link(Request& request, Request** granted) noexcept {
  request.next_granted_ = *granted;
  *granted = &request;
}

void RangeGate::tell(Request* granted, const Request* self) noexcept {
  while (granted != nullptr) {
    Request* const next = granted->next_granted_;  // it may be gone once it is told
    if (granted != self) granted->waker_->wake();
    granted = next;
  }
}

std::size_t RangeGate::waiting_count(GateSide side) const noexcept {
  MutexLock lock(mutex_);
  std::size_t n = 0;
  const Requests& list = side == GateSide::kAdd ? adders_ : blockers_;
  for (const Request* r = list.first; r != nullptr; r = r->next_) {
    n += r->state_ == Request::State::kIn ? 0 : 1;
  }
  return n;
}

std::size_t RangeGate::holders_count(GateSide side) const noexcept {
  MutexLock lock(mutex_);
  if (side == GateSide::kAdd) {
    const std::uint64_t word = word_.load();
    return adders_in(word, 0) + adders_in(word, 1);
  }
  std::size_t n = 0;
  for (const Request* b = blockers_.first; b != nullptr; b = b->next_) {
    n += b->state_ == Request::State::kIn ? 1 : 0;
  }
  return n;
}

}  // namespace quire::sync
