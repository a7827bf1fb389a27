#include "cache/cache_lock.h"

namespace quire::cache {

using sync::GateSide;
using sync::RwMode;
using sync::WaitStatus;

CacheLock::CacheLock(Locking strategy) : strategy_(strategy) {
  switch (strategy) {
    case Locking::kGate:
      break;
    case Locking::kRange:
      impl_.emplace<sync::RangeGate>();
      break;
    case Locking::kInvalidate:
      impl_.emplace<Rw>(sync::Rank::kGate);
      break;
    case Locking::kInode:
      impl_.emplace<Rw>(sync::Rank::kFileStructure);
      break;
  }
}

std::size_t CacheLock::waiting_count(GateSide side) const noexcept {
  if (const auto* gate = std::get_if<sync::Gate>(&impl_)) return gate->waiting_count(side);
  if (const auto* range = std::get_if<sync::RangeGate>(&impl_)) return range->waiting_count(side);
  return std::get_if<Rw>(&impl_)->lock.waiting_count(side == GateSide::kAdd ? RwMode::kRead
                                                                            : RwMode::kWrite);
}

void CacheLock::heat() noexcept {
  if (strategy_ != Locking::kGate && strategy_ != Locking::kRange) return;
  for (std::uint32_t i = 0; i < sync::AddStripes::kHotAfter; ++i) stripes_.note_company();
}

// ---- Operation ----

WaitStatus CacheLock::Operation::begin(CacheLock& lock, RwMode mode, const sync::WaitLimit& limit) {
  if (!lock.guards_operations()) return WaitStatus::kReady;
  sync::RwLock& rw = lock.rw().lock;
  const WaitStatus status = rw.lock(mode, limit);
  if (status == WaitStatus::kReady) {
    lock_ = &rw;
    mode_ = mode;
  }
  return status;
}

bool CacheLock::Operation::begin_async(CacheLock& lock, RwMode mode,
                                       OperationWaiter& waiter) noexcept {
  if (!lock.guards_operations()) return true;
  waiter.lock_ = &lock.rw().lock;
  waiter.mode_ = mode;
  if (!waiter.lock_->enqueue(mode, waiter.waiter_)) return false;
  granted(waiter);
  return true;
}

void CacheLock::Operation::granted(OperationWaiter& waiter) noexcept {
  lock_ = waiter.lock_;
  mode_ = waiter.mode_;
}

void CacheLock::Operation::hand_over() noexcept {
  if (lock_ != nullptr) lock_->hand_over();
}

// ---- Add ----

bool CacheLock::Add::try_begin_other(CacheLock& lock, std::uint64_t first,
                                     std::uint64_t last) noexcept {
  if (lock.strategy_ == Locking::kRange) return lock.range().try_add(first, last, &phase_);
  Rw& rw = lock.rw();
  const bool guards_adds = lock.strategy_ == Locking::kInvalidate;
  if (guards_adds && !rw.lock.try_lock(RwMode::kRead)) return false;
  if (rw.nodes.try_enter(GateSide::kAdd)) return true;
  if (guards_adds) rw.lock.unlock(RwMode::kRead);
  return false;
}

WaitStatus CacheLock::Add::begin_other(CacheLock& lock, std::uint64_t first, std::uint64_t last,
                                       const sync::WaitLimit& limit) {
  if (lock.strategy_ == Locking::kRange) return lock.range().add(first, last, &phase_, limit);
  Rw& rw = lock.rw();
  if (lock.strategy_ == Locking::kInvalidate) {
    const WaitStatus status = rw.lock.lock(RwMode::kRead, limit);
    if (status != WaitStatus::kReady) return status;
  }
  // Who keeps adders from the nodes does so for an instant.
  return rw.nodes.enter(GateSide::kAdd);
}

void CacheLock::Add::added_other() noexcept {
  if (lock_->strategy_ == Locking::kRange) {
    CacheLock& lock = *std::exchange(lock_, nullptr);
    if (lock.range().leave(phase_)) lock.stripes_.note_company();
    return;
  }
  Rw& rw = lock_->rw();
  rw.nodes.leave(GateSide::kAdd);
  if (lock_->strategy_ == Locking::kInvalidate) {
    rw.lock.hand_over();
  } else {
    lock_ = nullptr;
  }
}

void CacheLock::Add::give_back() noexcept {
  added();
  if (lock_ != nullptr) std::exchange(lock_, nullptr)->rw().lock.unlock(RwMode::kRead);
}

bool CacheLock::Add::begin_async(CacheLock& lock, std::uint64_t first, std::uint64_t last,
                                 AddWaiter& waiter) noexcept {
  if (try_begin_striped(lock)) return true;
  if (!waiter.enqueue(lock, first, last)) return false;
  granted(waiter);
  return true;
}

void CacheLock::Add::granted(AddWaiter& waiter) noexcept {
  CacheLock& lock = *waiter.lock_;
  // From here on it is this thread's, and held to the lock order; but not the lock of `invalidate`, which
  // is kept for as long as the store takes.
  switch (lock.strategy_) {
    case Locking::kGate:
      lock.gate().take_over();
      break;
    case Locking::kRange:
      phase_ = waiter.adder_.phase();
      lock.range().take_over();
      break;
    case Locking::kInvalidate:
    case Locking::kInode:
      lock.rw().nodes.take_over();
      break;
  }
  begun(lock);
}

bool CacheLock::AddWaiter::enqueue(CacheLock& lock, std::uint64_t first,
                                   std::uint64_t last) noexcept {
  lock_ = &lock;
  queued_at_lock_ = false;
  switch (lock.strategy_) {
    case Locking::kGate:
      return lock.gate().enqueue(GateSide::kAdd, gate_);
    case Locking::kRange:
      return lock.range().enqueue(adder_, first, last, waker_);
    case Locking::kInvalidate:
      queued_at_lock_ = true;  // from now on another thread may be at the nodes for us
      if (!lock.rw().lock.enqueue(RwMode::kRead, rw_)) return false;
      queued_at_lock_ = false;
      return enqueue_nodes();
    case Locking::kInode:
      return enqueue_nodes();
  }
  return false;
}

bool CacheLock::AddWaiter::enqueue_nodes() noexcept {
  return lock_->rw().nodes.enqueue(GateSide::kAdd, gate_);
}

void CacheLock::AddWaiter::Locked::wake() noexcept {
  if (waiter_.enqueue_nodes()) waiter_.waker_.wake();
}

bool CacheLock::AddWaiter::cancel() noexcept {
  switch (lock_->strategy_) {
    case Locking::kGate:
      return lock_->gate().cancel(gate_);
    case Locking::kRange:
      return lock_->range().cancel(adder_);
    case Locking::kInvalidate: {
      Rw& rw = lock_->rw();
      // Where the lock was granted meanwhile the wake-up is on its way.
      if (queued_at_lock_) return rw.lock.cancel(rw_);
      if (!rw.nodes.cancel(gate_)) return false;
      rw.lock.unlock(RwMode::kRead);
      return true;
    }
    case Locking::kInode:
      return lock_->rw().nodes.cancel(gate_);
  }
  return false;
}

// ---- Block ----

WaitStatus CacheLock::Block::begin(CacheLock& lock, std::uint64_t first, std::uint64_t last,
                                   const sync::WaitLimit& limit) {
  WaitStatus status = WaitStatus::kReady;
  switch (lock.strategy_) {
    case Locking::kGate:
      status = lock.gate().enter(GateSide::kBlock, limit);
      if (status != WaitStatus::kReady) return status;
      status = lock.stripes_.close(limit);
      if (status != WaitStatus::kReady) lock.gate().leave(GateSide::kBlock);
      break;
    case Locking::kRange:
      status = lock.range().block(blocker_, first, last, limit);
      if (status != WaitStatus::kReady) return status;
      status = lock.stripes_.close(limit);
      if (status != WaitStatus::kReady) lock.range().unblock(blocker_);
      break;
    case Locking::kInvalidate:
      status = lock.rw().lock.lock(RwMode::kWrite, limit);
      break;
    case Locking::kInode:
      break;
  }
  if (status == WaitStatus::kReady) lock_ = &lock;
  return status;
}

void CacheLock::Block::hand_over() noexcept {
  if (lock_ == nullptr) return;
  switch (lock_->strategy_) {
    case Locking::kGate:
      lock_->gate().hand_over();
      break;
    case Locking::kRange:
      lock_->range().hand_over();
      break;
    case Locking::kInvalidate:
      lock_->rw().lock.hand_over();
      break;
    case Locking::kInode:
      break;
  }
}

void CacheLock::Block::end() noexcept {
  if (lock_ == nullptr) return;
  CacheLock& lock = *std::exchange(lock_, nullptr);
  switch (lock.strategy_) {
    case Locking::kGate:
      lock.gate().leave(GateSide::kBlock);
      break;
    case Locking::kRange:
      lock.range().unblock(blocker_);
      break;
    case Locking::kInvalidate:
      lock.rw().lock.unlock(RwMode::kWrite);
      break;
    case Locking::kInode:
      break;
  }
}

// ---- TreeBlock ----

CacheLock::TreeBlock::TreeBlock(CacheLock& lock) noexcept : lock_(lock) {
  switch (lock.strategy_) {
    case Locking::kGate:
      if (!lock.gate().try_enter(GateSide::kBlock)) return;
      held_ = lock.stripes_.try_close();
      if (!held_) lock.gate().leave(GateSide::kBlock);
      break;
    case Locking::kRange:
      if (!lock.range().try_block(blocker_, 0, ~std::uint64_t{0})) return;
      held_ = lock.stripes_.try_close();
      if (!held_) lock.range().unblock(blocker_);
      break;
    case Locking::kInvalidate:
    case Locking::kInode:
      held_ = lock.rw().nodes.try_enter(GateSide::kBlock);
      break;
  }
}

CacheLock::TreeBlock::~TreeBlock() {
  if (!held_) return;
  switch (lock_.strategy_) {
    case Locking::kGate:
      lock_.gate().leave(GateSide::kBlock);
      break;
    case Locking::kRange:
      lock_.range().unblock(blocker_);
      break;
    case Locking::kInvalidate:
    case Locking::kInode:
      lock_.rw().nodes.leave(GateSide::kBlock);
      break;
  }
}

}  // namespace quire::cache
