#include "sync/add_stripes.h"

#include <new>

#include "quire/limits.h"

namespace quire::sync {
namespace {

// Of the process: gates that have stripes.
Atomic<std::uint32_t>& striped_gates() noexcept {
  static Atomic<std::uint32_t> count{0};
  return count;
}

}  // namespace

AddStripes::~AddStripes() {
  QUIRE_CHECK(holders_count() == 0);
  if (counts_ != nullptr) striped_gates().fetch_sub(1);
}

void AddStripes::note_company() noexcept {
  if (state_.load() != State::kOff || company_.fetch_add(1) + 1 < kHotAfter) return;
  MutexLock lock(mutex_);
  if (state_.load() != State::kOff) return;
  company_.store(0);
  if (counts_ == nullptr) {
    if (striped_gates().fetch_add(1) >= limits::kStripedGatesMax) {
      striped_gates().fetch_sub(1);
      return;
    }
    counts_.reset(new (std::nothrow) Counts);
    if (counts_ == nullptr) {
      striped_gates().fetch_sub(1);
      return;
    }
  }
  state_.store(State::kHot);
}

void AddStripes::open() noexcept {
  // Hot, or opened by another adder since: nobody closes them before the caller has left.
  state_.store(State::kOpen);
}

WaitStatus AddStripes::close(const WaitLimit& limit) {
  // Neither state becomes `open` while a blocker is in.
  const State state = state_.load();
  if (state == State::kOff || state == State::kHot) return WaitStatus::kReady;
  Closer self;
  {
    MutexLock lock(mutex_);
    State open = State::kOpen;
    (void)state_.compare_exchange_strong(open, State::kDraining);
    if (settle()) return WaitStatus::kReady;
    self.next = closers_;
    closers_ = &self;
  }
  const WaitStatus status = self.parker.park_until(limit);
  if (status == WaitStatus::kReady) return status;
  MutexLock lock(mutex_);
  if (!self.waits) return WaitStatus::kReady;  // the last one left at the same moment
  Closer** at = &closers_;
  while (*at != &self) at = &(*at)->next;
  *at = self.next;
  return status;
}

bool AddStripes::try_close() noexcept {
  const State state = state_.load();
  if (state == State::kOff || state == State::kHot) return true;
  MutexLock lock(mutex_);
  State open = State::kOpen;
  (void)state_.compare_exchange_strong(open, State::kDraining);
  return settle();
}

bool AddStripes::settle() noexcept {
  if (state_.load() != State::kDraining) return true;
  if (holders_count() != 0) return false;
  state_.store(State::kOff);
  while (closers_ != nullptr) {
    Closer* const next = closers_->next;  // it may be gone once it is told
    closers_->waits = false;
    closers_->parker.unpark();
    closers_ = next;
  }
  return true;
}

void AddStripes::left_while_draining() noexcept {
  MutexLock lock(mutex_);
  (void)settle();
}

std::uint64_t AddStripes::holders_count() const noexcept {
  std::uint64_t count = 0;
  if (counts_ == nullptr) return 0;
  for (const Count& stripe : counts_->of) count += stripe.in.load();
  return count;
}

}  // namespace quire::sync
