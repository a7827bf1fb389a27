// RangeGate: a Gate on ranges. *Adders* enter and leave ranges in which they add pages, in an instant
// each; *blockers* keep adders out of theirs for as long as they like. Adders share with adders,
// blockers with blockers, whatever their ranges; an adder and a blocker whose ranges overlap exclude
// each other. Adders elsewhere do not wait for a blocker that is in.
//
// From anywhere but a signal handler. add() and block() may sleep; the other calls never wait for a
// holder. Who leaves may be another thread than the one that entered. Entering again while holding the
// gate, on either side, is a deadlock and not allowed. Nothing is allocated.
//
// How: what an adder pays
//   While no blocker is in or waits, an adder's range is not even looked at: it counts itself into the
//   word, and out when it leaves, one read-modify-write each. Else it looks, under a mutex, at the list
//   of blockers, counts itself in if none bars its range, and queues if one does.
//
// How: what a blocker pays
//   It puts its range into the list. It cannot know where the adders are that are in already, so it
//   waits until all of them have left: soon, for they wait for nothing. For that the count is kept
//   twice, in two *phases*, of which one is current: who enters is counted in the current one. A blocker
//   flips them, and what it waits for can only fall. (So does sleepable RCU: McKenney, "Sleepable
//   RCU", 2006.) If the other phase has adders left it first waits for those. Blockers who come
//   meanwhile share the next flip.
//
//    bit 63   bit 62    bits 61..31         bits 30..0
//   +--------+---------+-------------------+-------------------+
//   | listed | current | adders in phase 1 | adders in phase 0 |
//   +--------+---------+-------------------+-------------------+
//
//  1. listed is set exactly while the list of blockers is not empty. It and `current` change under
//     mutex_ only.
//  2. While listed is set, counts grow under mutex_ only; they may fall at any time.
//  3. Who brings a count to zero while listed is set takes mutex_ and looks who may go on.
//  4. Adders wait only while the list is not empty: each for one of the blockers in it.
//
// States of a blocker                     -> function
//   idle -> behind                          block(): adders who overlap it wait already; they go first
//   idle, behind -> draining                start_draining(): bars its range; adders who are in leave
//   draining -> in                          drain(); at once where no adder is in
//   in -> idle                              unblock()
//   behind, draining -> idle                cancel()
// States of an adder: idle, waiting, in. `ahead_` of a blocker that is behind is the number of adders it
// lets go first; of an adder who waits, that of the blockers, draining or in, that bar its range.
//
// Fairness: who waits for whom?
//   A blocker waits for the adders who overlap it and waited when it came, and then for those who are in.
//   An adder waits for the blockers that bar its range, and for those that were behind when it came and
//   bar its range since. (Who comes later never delays you, but for the instant that an adder is in.)
// THE BOUND: so nobody waits for more than what it met. Where all ranges share a number it is the bound of
// the Gate: the blockers that are in, at most one batch of the adders, one batch of the blockers, and so
// on in turn; for an adder passes by a blocker that is behind, and joins those whom that blocker lets go
// first. Overlapping blockers therefore do not line up one after the other, with an adder between each.
// Where ranges overlap like the tiles of a roof a wait can be as many batches long as the longest chain
// met in which adders and blockers alternate.
#ifndef QUIRE_SYNC_RANGE_GATE_H_
#define QUIRE_SYNC_RANGE_GATE_H_

#include <cstddef>
#include <cstdint>

#include "sync/atomic.h"
#include "sync/check.h"
#include "sync/gate.h"
#include "sync/lock_rank.h"
#include "sync/mutex.h"
#include "sync/wait.h"
#include "sync/waker.h"

namespace quire::sync {

class RangeGate {
 public:
  class Request;
  class Adder;
  class Blocker;
  // What an adder must give back when it leaves.
  using Phase = std::uint8_t;

  RangeGate() = default;
  RangeGate(const RangeGate&) = delete;
  RangeGate& operator=(const RangeGate&) = delete;
  // REQUIRES: nobody is in, waits or is inside a call.
  ~RangeGate() { QUIRE_CHECK((word_.load() & ~kCurrent) == 0); }

  // All ranges are [first, last], both inclusive. REQUIRES: first <= last, and an idle request.

  // Enters at once or not at all.
  bool try_add(std::uint64_t first, std::uint64_t last, Phase* phase) noexcept;
  // Enters, waiting in turn within `limit`. kReady: entered. A grant wins over a give-up at the same
  // moment.
  WaitStatus add(std::uint64_t first, std::uint64_t last, Phase* phase,
                 const WaitLimit& limit = {});
  // Enters at once (true: nobody is woken), or queues (false): `waker` is woken, under no lock of the
  // gate, when it is entered. Entered, `adder` knows its phase. What is granted so belongs to no thread.
  bool enqueue(Adder& adder, std::uint64_t first, std::uint64_t last, Waker& waker) noexcept;
  // True: other adders were in, too.
  bool leave(Phase phase) noexcept;
  // A blocker is in or waits. False, seen by an adder who is in: none will be in before it leaves.
  bool is_listed() const noexcept { return (word_.load() & kListed) != 0; }

  bool try_block(Blocker& blocker, std::uint64_t first, std::uint64_t last) noexcept;
  WaitStatus block(Blocker& blocker, std::uint64_t first, std::uint64_t last,
                   const WaitLimit& limit = {});
  bool enqueue(Blocker& blocker, std::uint64_t first, std::uint64_t last, Waker& waker) noexcept;
  // REQUIRES: `blocker` is in. It is idle afterwards.
  void unblock(Blocker& blocker) noexcept;

  // Takes one who waits out of the queue (true), unless it was granted: see waker.h.
  bool cancel(Adder& adder) noexcept;
  bool cancel(Blocker& blocker) noexcept;

  // This thread's hold belongs to an operation from now on, which some thread will give back. Must be
  // said before that; checked builds hold the thread to the lock order until then.
  void hand_over() noexcept { lock_rank::handed_over(Rank::kGate, this); }
  // The opposite: what an operation was granted is this thread's from now on.
  void take_over() noexcept { lock_rank::acquired(Rank::kGate, this); }

  // For tests and statistics: who waits; adders and blockers who are in.
  std::size_t waiting_count(GateSide side) const noexcept;
  std::size_t holders_count(GateSide side) const noexcept;

 private:
  static constexpr std::uint64_t kListed = std::uint64_t{1} << 63;
  static constexpr std::uint64_t kCurrent = std::uint64_t{1} << 62;
  static constexpr unsigned kPhaseBits = 31;
  static constexpr std::uint64_t kCountMask = (std::uint64_t{1} << kPhaseBits) - 1;

  static constexpr Phase current(std::uint64_t word) noexcept {
    return (word & kCurrent) != 0 ? 1 : 0;
  }
  static constexpr std::uint64_t one(Phase phase) noexcept {
    return std::uint64_t{1} << (phase * kPhaseBits);
  }
  static constexpr std::uint64_t adders_in(std::uint64_t word, Phase phase) noexcept {
    return (word >> (phase * kPhaseBits)) & kCountMask;
  }

  bool take(Phase* phase) noexcept;
  Phase count_in() noexcept REQUIRES(mutex_);
  bool barred(std::uint64_t first, std::uint64_t last) const noexcept REQUIRES(mutex_);
  void start_draining(Blocker& blocker) noexcept REQUIRES(mutex_);
  // Grants the blockers whose adders have left, and flips the phases for those who wait for that.
  void drain(Request** granted) noexcept REQUIRES(mutex_);
  // `blocker` is gone from the list, and bars its range no more: grants who waited for nothing else.
  void unbar(const Blocker& blocker, Request** granted) noexcept REQUIRES(mutex_);
  // `adder` waits no more: blockers behind it have one less to let go first.
  void let_go(const Adder& adder) noexcept REQUIRES(mutex_);
  // Starts the blockers that have nobody to let go first.
  void start_those_behind() noexcept REQUIRES(mutex_);
  void remove(Blocker& blocker) noexcept REQUIRES(mutex_);
  void all_adders_left() noexcept;
  static void link(Request& request, Request** granted) noexcept;
  // Tells all of them but `self`, who knows.
  static void tell(Request* granted, const Request* self = nullptr) noexcept;

  // A list of requests in the order they came.
  struct Requests {
    Request* first = nullptr;
    Request* last = nullptr;

    void push(Request& request) noexcept;
    void remove(Request& request) noexcept;
  };

  Atomic<std::uint64_t> word_{0};
  mutable Mutex mutex_;
  Requests blockers_ GUARDED_BY(mutex_);
  Requests adders_ GUARDED_BY(mutex_);  // those who wait
  std::uint64_t arrivals_ GUARDED_BY(mutex_) = 0;
};

// What adders who wait and blockers have in common; the RangeGate's alone.
class RangeGate::Request {
 public:
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

 protected:
  friend class RangeGate;

  enum class State : std::uint8_t {
    kIdle,
    kWaiting,  // an adder
    kBehind,   // a blocker, as below
    kDraining,
    kIn,
  };
  // Of a blocker that drains: which adders it waits for.
  enum class Drains : std::uint8_t {
    kBoth,   // of both phases: those of the one that is not current must leave before a flip
    kOther,  // of the phase that is not current
  };

  Request() = default;
  ~Request() { QUIRE_CHECK(state_ == State::kIdle); }

  bool overlaps(const Request& other) const noexcept {
    return first_ <= other.last_ && other.first_ <= last_;
  }

  // All guarded by the gate's mutex while it is in a list; next_granted_ belongs to who granted.
  Request* next_ = nullptr;
  Request* previous_ = nullptr;
  Request* next_granted_ = nullptr;
  Waker* waker_ = nullptr;
  std::uint64_t first_ = 0;
  std::uint64_t last_ = 0;
  std::uint64_t arrival_ = 0;
  std::size_t ahead_ = 0;
  State state_ = State::kIdle;
  Drains drains_ = Drains::kBoth;
  Phase phase_ = 0;
};

// An adder that waits, from enqueue() until it is granted or cancelled. Owned by the caller; may be
// enqueued again after that.
class RangeGate::Adder : public Request {
 public:
  // REQUIRES: entered.
  Phase phase() const noexcept { return phase_; }
};

// A blocker, from block() to unblock(). Owned by the caller.
class RangeGate::Blocker : public Request {};

inline bool RangeGate::take(Phase* phase) noexcept {
  std::uint64_t word = word_.load();
  while ((word & kListed) == 0) {
    const Phase now = current(word);
    QUIRE_DCHECK(adders_in(word, now) < kCountMask);
    if (word_.compare_exchange_weak(word, word + one(now))) {
      *phase = now;
      return true;
    }
  }
  return false;
}

inline bool RangeGate::leave(Phase phase) noexcept {
  lock_rank::released(Rank::kGate, this);
  const std::uint64_t before = word_.fetch_sub(one(phase));
  QUIRE_CHECK(adders_in(before, phase) != 0);
  if ((before & kListed) != 0 && adders_in(before, phase) == 1) [[unlikely]]
    all_adders_left();
  return adders_in(before, 0) + adders_in(before, 1) > 1;
}

}  // namespace quire::sync

#endif  // QUIRE_SYNC_RANGE_GATE_H_
