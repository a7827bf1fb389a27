// CacheLock: what keeps pages out of a file's cache while the bytes under them change. One interface
// before four strategies; the cache chooses one for all of its files when it is made (Locking, options.h).
//
// Three acts of a file go through it, each by an object that holds what must be given back:
//   Operation  a whole read or write; outermost
//   Add        putting absent pages of a range into the tree
//   Block      keeping every Add out of a range, for as long as it lasts
//
//   strategy     Operation              Add                                Block
//   gate         -                      an instant, the whole file         the whole file, shared
//   range        -                      an instant, its pages              its pages, shared
//   invalidate   -                      until filled, the whole file       the whole file, alone
//   inode        shared or exclusive    - (its Operation keeps cuts out)   - (as Add)
//
// "Shared": with others of its kind. "Alone": one at a time. `gate` is Overstreet's, `range` Kara's and
// Chinner's, `invalidate` what Linux does with mapping->invalidate_lock, `inode` what XFS does with its
// IOLOCK; the last two are there to be measured against.
//
// Who calls: fill and page_write (Add), cuts (Block), the file floor (Operation), eviction (TreeBlock).
// An Operation and a Block may end in another thread than they began in, after hand_over(); so may an Add
// whose pages the store fills. No one thread holds two of a kind, or begins one to the left in the table
// while it holds one to the right.
//
// Invariants:
//  1. While a Block is held no page in its range becomes `filling`, under any strategy. Under `inode`
//     this is so because whoever adds is in a shared Operation, and whoever blocks in an exclusive one.
//  2. A page of the range may be `filling` still when a Block begins (not under `invalidate`): who blocks
//     waits for it (seal.h).
//  3. A hit passes through no Add and no Block. Under `inode` alone it is an Operation.
//  4. Under an Add nobody waits; under it and a Block nobody waits for memory (lock_rank).
//  5. What is no thread, such as a parked page fault, waits in the same queues (begin_async(), waker.h):
//     it is granted in its turn, and the bounds of the locks hold for it and towards it.
//  6. No call on a fast path is virtual, and nothing is allocated but the stripes of a file at whose gate many add at
//     once (`gate` and `range`; add_stripes.h).
#ifndef QUIRE_CACHE_CACHE_LOCK_H_
#define QUIRE_CACHE_CACHE_LOCK_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <variant>

#include "quire/options.h"
#include "sync/add_stripes.h"
#include "sync/check.h"
#include "sync/gate.h"
#include "sync/range_gate.h"
#include "sync/rw_lock.h"
#include "sync/wait.h"
#include "sync/waker.h"

namespace quire::cache {

// "gate", "range", "invalidate" or "inode".
constexpr const char* name(Locking strategy) {
  switch (strategy) {
    case Locking::kGate:
      return "gate";
    case Locking::kRange:
      return "range";
    case Locking::kInvalidate:
      return "invalidate";
    case Locking::kInode:
      return "inode";
  }
  return "unknown";
}

class CacheLock {
 public:
  class Operation;
  class OperationWaiter;
  class Add;
  class AddWaiter;
  class Block;
  class TreeBlock;

  explicit CacheLock(Locking strategy);
  CacheLock(const CacheLock&) = delete;
  CacheLock& operator=(const CacheLock&) = delete;

  Locking strategy() const noexcept { return strategy_; }
  // Even a hit needs an Operation.
  bool guards_operations() const noexcept { return strategy_ == Locking::kInode; }

  // For tests: who waits to add, or to read under `inode`; who waits to block, or to write under it.
  std::size_t waiting_count(sync::GateSide side) const noexcept;
  // For tests: as if many had added at once; whether adders come in by stripes.
  void heat() noexcept;
  bool is_striped() const noexcept { return stripes_.is_open(); }

 private:
  // `invalidate` and `inode`. Their readers/writer lock says nothing of the instant in which nodes come
  // into the tree: `nodes` guards that, as the kernel's i_pages lock does.
  struct Rw {
    explicit Rw(sync::Rank rank) : lock(rank) {}
    sync::RwLock lock;
    sync::Gate nodes{sync::Rank::kTree};
  };

  // REQUIRES: the strategy is one that T is for.
  template <class T>
  T& as() noexcept {
    T* const impl = std::get_if<T>(&impl_);
    QUIRE_DCHECK(impl != nullptr);
    if (impl == nullptr) __builtin_unreachable();
    return *impl;
  }
  sync::Gate& gate() noexcept { return as<sync::Gate>(); }
  sync::RangeGate& range() noexcept { return as<sync::RangeGate>(); }
  Rw& rw() noexcept { return as<Rw>(); }
  // By an adder who is in.
  void open_stripes() noexcept {
    if (strategy_ == Locking::kGate || !range().is_listed()) stripes_.open();
  }

  const Locking strategy_;
  std::variant<sync::Gate, sync::RangeGate, Rw> impl_;
  sync::AddStripes stripes_;  // beside a gate or a range gate
};

// What a whole operation holds. Nothing but under `inode`.
class CacheLock::Operation {
 public:
  Operation() = default;
  ~Operation() { end(); }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  bool try_begin(CacheLock& lock, sync::RwMode mode) noexcept;
  sync::WaitStatus begin(CacheLock& lock, sync::RwMode mode, const sync::WaitLimit& limit);
  // Begins at once (true), or queues (false): woken, call granted(). What begins so belongs to no thread.
  bool begin_async(CacheLock& lock, sync::RwMode mode, OperationWaiter& waiter) noexcept;
  void granted(OperationWaiter& waiter) noexcept;
  // Some thread ends it, perhaps another. Before that may happen.
  void hand_over() noexcept;
  void end() noexcept {
    if (lock_ != nullptr) [[unlikely]]
      std::exchange(lock_, nullptr)->unlock(mode_);
  }

 private:
  sync::RwLock* lock_ = nullptr;
  sync::RwMode mode_ = sync::RwMode::kRead;
};

// Who waits to begin an Operation and is no thread. Owned by the caller, and alive from begin_async()
// until `waker` was woken or cancel() returned true. May be used again after that.
class CacheLock::OperationWaiter {
 public:
  explicit OperationWaiter(sync::Waker& waker) noexcept : waiter_(waker) {}
  OperationWaiter(const OperationWaiter&) = delete;
  OperationWaiter& operator=(const OperationWaiter&) = delete;

  // REQUIRES: begin_async() queued it. See waker.h.
  bool cancel() noexcept { return lock_->cancel(waiter_); }

 private:
  friend class Operation;

  sync::RwLock* lock_ = nullptr;
  sync::RwMode mode_ = sync::RwMode::kRead;
  sync::RwLock::Waiter waiter_;
};

// The right to put pages of a range into the tree.
//
//   idle -- begin(), try_begin() --> adding -- added() --> filling -- end() --> idle
//   idle -- begin_async() --> queued in an AddWaiter -- granted() --> adding
class CacheLock::Add {
 public:
  Add() = default;
  Add(Add&& other) noexcept
      : lock_(std::exchange(other.lock_, nullptr)),
        phase_(other.phase_),
        stripe_(other.stripe_),
        adding_(other.adding_),
        striped_(other.striped_) {}
  Add& operator=(Add&& other) noexcept {
    end();
    lock_ = std::exchange(other.lock_, nullptr);
    phase_ = other.phase_;
    stripe_ = other.stripe_;
    adding_ = other.adding_;
    striped_ = other.striped_;
    return *this;
  }
  ~Add() { end(); }

  // [first, last] are pages.
  bool try_begin(CacheLock& lock, std::uint64_t first, std::uint64_t last) noexcept;
  sync::WaitStatus begin(CacheLock& lock, std::uint64_t first, std::uint64_t last,
                         const sync::WaitLimit& limit);
  // Begins at once (true), or queues (false): woken, call granted(). Either way it is the calling thread's
  // then, until added().
  bool begin_async(CacheLock& lock, std::uint64_t first, std::uint64_t last,
                   AddWaiter& waiter) noexcept;
  void granted(AddWaiter& waiter) noexcept;
  // The pages are in the tree. What is held still is held until end(), by whichever thread.
  void added() noexcept;
  // The pages are filled, or absent again.
  void end() noexcept {
    if (lock_ != nullptr) give_back();
  }

 private:
  // Enters by the stripes, if they are open.
  bool try_begin_striped(CacheLock& lock) noexcept;
  // It is in, by the gate itself.
  void begun(CacheLock& lock) noexcept;
  // The same under the strategies that are not `gate`.
  bool try_begin_other(CacheLock& lock, std::uint64_t first, std::uint64_t last) noexcept;
  sync::WaitStatus begin_other(CacheLock& lock, std::uint64_t first, std::uint64_t last,
                               const sync::WaitLimit& limit);
  void added_other() noexcept;
  void give_back() noexcept;

  CacheLock* lock_ = nullptr;
  sync::RangeGate::Phase phase_ = 0;
  sync::AddStripes::Stripe stripe_ = 0;
  bool adding_ = false;
  bool striped_ = false;
};

// Who waits to begin an Add and is no thread. Owned by the caller, and alive from begin_async() until
// `waker` was woken or cancel() returned true. May be used again after that.
//
//   strategy     waits for
//   gate, range  the gate
//   invalidate   the lock, and then in the thread that granted it for the nodes; they are free but for instants
//   inode        the nodes
class CacheLock::AddWaiter {
 public:
  explicit AddWaiter(sync::Waker& waker) noexcept
      : waker_(waker), gate_(waker), locked_(*this), rw_(locked_) {}
  AddWaiter(const AddWaiter&) = delete;
  AddWaiter& operator=(const AddWaiter&) = delete;

  // REQUIRES: begin_async() queued it. See waker.h.
  bool cancel() noexcept;

 private:
  friend class Add;

  // Woken when the lock of `invalidate` is granted.
  class Locked final : public sync::Waker {
   public:
    explicit Locked(AddWaiter& waiter) noexcept : waiter_(waiter) {}
    void wake() noexcept override;

   private:
    AddWaiter& waiter_;
  };

  // True: it is in.
  bool enqueue(CacheLock& lock, std::uint64_t first, std::uint64_t last) noexcept;
  bool enqueue_nodes() noexcept;

  sync::Waker& waker_;
  CacheLock* lock_ = nullptr;
  bool queued_at_lock_ = false;  // of `invalidate`, rather than at the nodes
  sync::GateWaiter gate_;        // at a gate, or at the nodes
  sync::RangeGate::Adder adder_;
  Locked locked_;
  sync::RwLock::Waiter rw_;
};

// Keeps pages out of a range. Stays where it is.
class CacheLock::Block {
 public:
  Block() = default;
  ~Block() { end(); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  // [first, last] are pages. Under `inode`, REQUIRES: an exclusive Operation is held.
  sync::WaitStatus begin(CacheLock& lock, std::uint64_t first, std::uint64_t last,
                         const sync::WaitLimit& limit);
  void hand_over() noexcept;
  void end() noexcept;
  bool held() const noexcept { return lock_ != nullptr; }

 private:
  CacheLock* lock_ = nullptr;
  sync::RangeGate::Blocker blocker_;
};

// Keeps out of the whole file, for an instant, the act of adding alone, whatever is being filled: for
// freeing nodes of the tree. Only tries.
class CacheLock::TreeBlock {
 public:
  explicit TreeBlock(CacheLock& lock) noexcept;
  ~TreeBlock();
  TreeBlock(const TreeBlock&) = delete;
  TreeBlock& operator=(const TreeBlock&) = delete;

  explicit operator bool() const noexcept { return held_; }

 private:
  CacheLock& lock_;
  sync::RangeGate::Blocker blocker_;
  bool held_ = false;
};

// The ways of a hit, and of an add under the usual strategy, are inline.

inline bool CacheLock::Operation::try_begin(CacheLock& lock, sync::RwMode mode) noexcept {
  if (!lock.guards_operations()) [[likely]]
    return true;
  sync::RwLock& rw = lock.rw().lock;
  if (!rw.try_lock(mode)) return false;
  lock_ = &rw;
  mode_ = mode;
  return true;
}

inline bool CacheLock::Add::try_begin_striped(CacheLock& lock) noexcept {
  if (!lock.stripes_.try_enter(&stripe_)) [[likely]]
    return false;
  lock_ = &lock;
  adding_ = striped_ = true;
  return true;
}

inline void CacheLock::Add::begun(CacheLock& lock) noexcept {
  lock_ = &lock;
  adding_ = true;
  striped_ = false;
  if (lock.stripes_.is_hot()) [[unlikely]]
    lock.open_stripes();
}

inline bool CacheLock::Add::try_begin(CacheLock& lock, std::uint64_t first,
                                      std::uint64_t last) noexcept {
  if (try_begin_striped(lock)) return true;
  const bool in = lock.strategy_ == Locking::kGate ? lock.gate().try_enter(sync::GateSide::kAdd)
                                                   : try_begin_other(lock, first, last);
  if (in) begun(lock);
  return in;
}

inline sync::WaitStatus CacheLock::Add::begin(CacheLock& lock, std::uint64_t first,
                                              std::uint64_t last, const sync::WaitLimit& limit) {
  if (try_begin_striped(lock)) return sync::WaitStatus::kReady;
  const sync::WaitStatus status = lock.strategy_ == Locking::kGate
                                      ? lock.gate().enter(sync::GateSide::kAdd, limit)
                                      : begin_other(lock, first, last, limit);
  if (status == sync::WaitStatus::kReady) begun(lock);
  return status;
}

inline void CacheLock::Add::added() noexcept {
  if (!std::exchange(adding_, false)) return;
  if (striped_) {
    std::exchange(lock_, nullptr)->stripes_.leave(stripe_);
  } else if (lock_->strategy_ == Locking::kGate) [[likely]] {
    CacheLock& lock = *std::exchange(lock_, nullptr);
    if (lock.gate().leave(sync::GateSide::kAdd)) lock.stripes_.note_company();
  } else {
    added_other();
  }
}

}  // namespace quire::cache

#endif  // QUIRE_CACHE_CACHE_LOCK_H_
