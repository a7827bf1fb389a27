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
