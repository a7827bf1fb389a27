// Gate: a lock with two states, each of them shared. Any number of *adders* or any number of
// *blockers* are in at a time, never one of both. It guards one act, adding pages to a file's
// cache: who adds enters kAdd, who must keep pages out enters kBlock.
//
// From anywhere but a signal handler. enter() may sleep; try_enter(), enqueue(), cancel() and
// leave() never wait for a holder. leave() may be called by another thread than the one that
// entered. Entering again while holding the gate, in either state, is a deadlock and not allowed. A
// Gate may be destroyed when nobody holds it, waits for it or is inside a call on it.
//
// Fairness: who waits longest?
//   An acquirer waits for the holders it met and at most one batch of the other side. (THE BOUND.)
// As soon as somebody waits for the state that does not hold, newcomers of the state that does
// queue behind that turn. When the last holder leaves, everybody who waits for the turn's state is
// admitted at once, as one batch, and the turn goes to the other side. So the phases alternate
// while both sides wait, neither starves, and neither is throttled while the other is away. Every
// grant asserts the bound in checked builds; GateWaiter::batches_waited() shows it.
//
// The word. One 64-bit word decides the uncontended case with one read-modify-write:
//
//    bit 63    bits 62..32    bit 31   bits 30..0
//   +--------+--------------+--------+------------+
//   | queued |  blockers in |   0    |  adders in |
//   +--------+--------------+--------+------------+
//
//  1. adders == 0 or blockers == 0.
//  2. queued is set exactly while somebody is in the queue. Only under mutex_ does it change.
//  3. While queued is set, counts grow under mutex_ only; they may fall at any time.
//  4. Who brings the counts to zero while queued is set takes mutex_ and admits the next batch.
//  5. While the queue is not empty, somebody waits for the state turn_; holders, if there are any,
//     are of the other state. All accesses to the word are sequentially consistent.
//
// States (a: adders in, b: blockers in, q: queued), drawn for one side; the other is its mirror:
//
//              enter(add)                   block queues
//      +------+ --------> +---------------+ ------------> +------------------------+
//      | open |           | adding        |               | adding, closing        |
//      |      | <-------- | a>0           | <------------ | a>0 q, turn = block    |
//      +------+ last      +---------------+  all blockers +------------------------+
//               leave        ^   |    ^      gave up         | last leave
//                            +---+    |                      v
//                    enter, leave     |                   +------------------------+
//                                     |                   | between phases         |
//                                     |                   | a=b=0 q                |
//                                     |                   +------------------------+
//                                     |                      | admit the blockers
//          (through the mirror image) |                      v
//          the adders admitted,  +----+-----------------------------------------+
//          nobody else waits     | blocking b>0, or, with adders in the queue,  |
//                                | blocking, closing b>0 q, turn = add          |
//                                +----------------------------------------------+
//
// Transition                            -> function
//   open -> adding, adding -> adding       take()
//   adding -> closing, closing -> closing  enqueue()
//   adding -> adding, adding -> open       leave()
//   closing -> between phases              leave(), then pass_turn()
//   between phases -> blocking[, closing]  admit(), called by pass_turn() and cancel()
//   closing -> adding                      cancel() of the turn's last waiter: admit() lets who
//                                          queued behind it join the holders
//
// A grant reaches its waiter in two steps: under mutex_ the waiter is taken from the queue and
// counted into the word, and after mutex_ was released it is woken. cancel() between the two returns
// false.
#ifndef QUIRE_SYNC_GATE_H_
#define QUIRE_SYNC_GATE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "fault/planted.h"
#include "sync/atomic.h"
#include "sync/check.h"
#include "sync/lock_rank.h"
#include "sync/mutex.h"
#include "sync/wait.h"
#include "sync/waker.h"

namespace quire::sync {

enum class GateSide : std::uint8_t { kAdd = 0, kBlock = 1 };

constexpr GateSide other_side(GateSide side) noexcept {
  return side == GateSide::kAdd ? GateSide::kBlock : GateSide::kAdd;
}

class Gate;

// A place in the queue of a Gate. Owned by the caller, and alive from enqueue() until its waker was woken
// or cancel() returned true. May be enqueued again after that.
class GateWaiter {
 public:
  // `waker` is woken, under no lock of the gate, when the gate is entered: leave() it when done.
  explicit GateWaiter(Waker& waker) noexcept : waker_(waker) {}
  GateWaiter(const GateWaiter&) = delete;
  GateWaiter& operator=(const GateWaiter&) = delete;
  ~GateWaiter() { QUIRE_DCHECK(!waiting_ && !owed_); }

  // Batches of the other side admitted between enqueue() and the grant: 0 or 1. Valid once woken.
  std::uint64_t batches_waited() const noexcept { return batches_waited_; }

 private:
  friend class Gate;

  // Guarded by the gate's mutex while waiting_. From the grant until the waker is woken it belongs to
  // the thread that granted.
  Waker& waker_;
  GateWaiter* next_ = nullptr;
  GateWaiter* previous_ = nullptr;
  std::uint64_t batches_at_start_ = 0;
  std::uint64_t batches_waited_ = 0;
  GateSide side_ = GateSide::kAdd;
  bool waiting_ = false;
  bool owed_ = false;  // granted, and its waker not woken yet
};

class Gate {
 public:
  // `rank`: its place in the lock order.
  explicit Gate(Rank rank = Rank::kGate) noexcept : rank_(rank) {}
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() { QUIRE_CHECK(word_.load() == 0); }

  // Enters at once or not at all. Overtakes nobody who waits for the other side.
  bool try_enter(GateSide side) noexcept;
  // Enters, waiting in turn within `limit`. kReady: entered. A free gate wins over a passed
  // deadline, and a grant over a give-up at the same moment.
  WaitStatus enter(GateSide side, const WaitLimit& limit = {});
  // Gives back one enter. From any thread. True: others of that side were in, too.
  bool leave(GateSide side) noexcept;

  // Enters at once (true: nobody is woken), or puts `waiter` into the queue (false). What is granted
  // so belongs to no thread.
  bool enqueue(GateSide side, GateWaiter& waiter) noexcept;
  // Takes `waiter` out of the queue (true), unless it was granted: see waker.h.
  bool cancel(GateWaiter& waiter) noexcept;

  // This thread's hold belongs to an operation from now on, which some thread will leave() for.
  // Must be said before that; checked builds hold the thread to the lock order until then.
  void hand_over() noexcept { lock_rank::handed_over(rank_, this); }
  // The opposite: what an operation was granted is this thread's from now on.
  void take_over() noexcept { lock_rank::acquired(rank_, this); }

  // For tests and statistics; exact only while nobody else uses the gate.
  std::uint64_t phases() const noexcept;                    // batches admitted from the queue
  std::size_t waiting_count(GateSide side) const noexcept;  // in the queue
  std::size_t holders_count(GateSide side) const noexcept;  // in

 private:
  // The waiters of one side, in the order they came.
  struct Queue {
    GateWaiter* first = nullptr;
    GateWaiter* last = nullptr;
    std::size_t count = 0;

    void push(GateWaiter& waiter) noexcept;
    void remove(GateWaiter& waiter) noexcept;
  };

  static constexpr std::uint64_t kQueued = std::uint64_t{1} << 63;
  static constexpr std::uint64_t kCountMask = (std::uint64_t{1} << 31) - 1;

  static constexpr unsigned shift(GateSide side) noexcept {
    return side == GateSide::kAdd ? 0 : 32;
  }
  static constexpr std::uint64_t one(GateSide side) noexcept {
    return std::uint64_t{1} << shift(side);
  }
  static constexpr std::uint64_t holders(std::uint64_t word, GateSide side) noexcept {
    return (word >> shift(side)) & kCountMask;
  }
  // The bits that keep a newcomer of `side` out.
  static constexpr std::uint64_t barred(GateSide side) noexcept {
    return kQueued | (kCountMask << shift(other_side(side)));
  }

  Queue& queue(GateSide side) noexcept REQUIRES(mutex_) {
    return queues_[static_cast<std::size_t>(side)];
  }
  std::uint64_t& batches(GateSide side) noexcept REQUIRES(mutex_) {
    return batches_[static_cast<std::size_t>(side)];
  }

  bool take(GateSide side) noexcept;
  WaitStatus wait(GateSide side, const WaitLimit& limit);
  void pass_turn() noexcept;
  GateWaiter* admit() noexcept REQUIRES(mutex_);
  static void tell(GateWaiter* granted) noexcept;

  Atomic<std::uint64_t> word_{0};
  const Rank rank_;
  mutable Mutex mutex_;
  std::array<Queue, 2> queues_ GUARDED_BY(mutex_);
  std::array<std::uint64_t, 2> batches_ GUARDED_BY(mutex_) = {0, 0};  // admitted from the queue
  GateSide turn_ GUARDED_BY(mutex_) = GateSide::kAdd;  // of the next batch; see invariant 5
};

// One enter of a gate as a value: whoever has the token leaves the gate, in whatever thread.
class GateToken {
 public:
  GateToken() = default;
  // Takes charge of an enter that the caller made or was granted.
  static GateToken adopt(Gate& gate, GateSide side) noexcept { return GateToken(gate, side); }
  GateToken(GateToken&& other) noexcept
      : gate_(std::exchange(other.gate_, nullptr)), side_(other.side_) {}
  GateToken& operator=(GateToken&& other) noexcept {
    if (this != &other) {
      release();
      gate_ = std::exchange(other.gate_, nullptr);
      side_ = other.side_;
    }
    return *this;
  }
  ~GateToken() { release(); }

  explicit operator bool() const noexcept { return gate_ != nullptr; }
  GateSide side() const noexcept { return side_; }

  // Leaves the gate, if not done yet.
  void release() noexcept {
    if (gate_ != nullptr) (void)std::exchange(gate_, nullptr)->leave(side_);
  }
  // Before the token goes to another thread: see Gate::hand_over().
  void hand_over() noexcept {
    if (gate_ != nullptr) gate_->hand_over();
  }

 private:
  GateToken(Gate& gate, GateSide side) noexcept : gate_(&gate), side_(side) {}

  Gate* gate_ = nullptr;
  GateSide side_ = GateSide::kAdd;
};

inline bool Gate::take(GateSide side) noexcept {
  std::uint64_t bars = barred(side);
  if (fault::planted(side == GateSide::kAdd ? fault::Planted::kAddersOvertake
                                            : fault::Planted::kBlockersOvertake)) {
    bars &= ~kQueued;
  }
  std::uint64_t word = word_.load();
  while ((word & bars) == 0) {
    QUIRE_DCHECK(holders(word, side) < kCountMask);
    if (word_.compare_exchange_weak(word, word + one(side))) return true;
  }
  return false;
}

inline bool Gate::try_enter(GateSide side) noexcept {
  if (!take(side)) return false;
  lock_rank::acquired(rank_, this);
  return true;
}

inline WaitStatus Gate::enter(GateSide side, const WaitLimit& limit) {
  lock_rank::acquired(rank_, this);
  if (take(side)) [[likely]]
    return WaitStatus::kReady;
  return wait(side, limit);
}

inline bool Gate::leave(GateSide side) noexcept {
  lock_rank::released(rank_, this);
  const std::uint64_t before = word_.fetch_sub(one(side));
  QUIRE_CHECK(holders(before, side) != 0);
  if (before == (kQueued | one(side))) [[unlikely]]
    pass_turn();
  return holders(before, side) > 1;
}

}  // namespace quire::sync

#endif  // QUIRE_SYNC_GATE_H_
