// AddStripes: a second way into a gate for its adders, for gates at which many add at once. Each adder
// counts itself in a stripe, as a rule its own thread's, so that two of them do not meet in a cache line
// as they do in the gate's word. Blockers pay: who has entered the gate to block closes the stripes, and
// waits until everybody who came in by them has left. (The idea is that of BRAVO: Dice and Kogan,
// "BRAVO - Biased Locking for Reader-Writer Locks", USENIX ATC 2019.)
//
// Who calls: CacheLock, beside the gate that these stripes belong to. try_enter() and leave() from
// anywhere but a signal handler, leave() in whatever thread; close() may sleep.
//
//            note_company(), often enough         open()
//   +-----+ ----------------------------> +-----+ -------> +------+
//   | off |                               | hot |          | open | <-+ try_enter(), leave()
//   +-----+                               +-----+          +------+ --+
//      ^                                                       | close(), try_close()
//      |    the last of those who are in leaves: settle()  +----------+
//      +-------------------------------------------------- | draining | leave()
//                                                          +----------+
//
//  1. Adders enter by the stripes only while they are open.
//  2. They are opened by an adder who is in the gate itself, while no blocker is in and none can come in
//     before it has left: so none is in as they open.
//  3. A blocker is in once the gate has let it in and close() has returned: nobody is in by the stripes
//     then, nor can anybody come in while it is.
//  4. Who enters counts itself and then looks whether the stripes are open; who closes them says so and
//     then looks at the counts. Both are sequentially consistent: one of the two sees the other.
//  5. A closer waits for those who were in when it came, and for nobody who comes later: the gate's bound
//     on its blockers' wait is as it was. While a blocker waits in the gate, adders still come in by the
//     stripes; it does not wait for those.
//  6. At most limits::kStripedGatesMax gates of a process have stripes; the others go on without.
#ifndef QUIRE_SYNC_ADD_STRIPES_H_
#define QUIRE_SYNC_ADD_STRIPES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "fault/planted.h"
#include "sync/atomic.h"
#include "sync/check.h"
#include "sync/local_global_lock.h"
#include "sync/lock_rank.h"
#include "sync/mutex.h"
#include "sync/parker.h"
#include "sync/wait.h"

namespace quire::sync {

class AddStripes {
 public:
  // Which one an adder came in by. It leaves by the same.
  using Stripe = std::uint8_t;
  static constexpr std::size_t kStripeCount = 16;
  // Adders who met others at the gate, since it was last blocked, before the stripes open.
  static constexpr std::uint32_t kHotAfter = 64;

  AddStripes() = default;
  ~AddStripes();
  AddStripes(const AddStripes&) = delete;
  AddStripes& operator=(const AddStripes&) = delete;

  // Enters if the stripes are open.
  bool try_enter(Stripe* stripe) noexcept;
  void leave(Stripe stripe) noexcept;

  // An adder left the gate, in which others were too. Holding nothing. May allocate.
  void note_company() noexcept;
  // The stripes should be opened, by an adder who is in the gate and sees this.
  bool is_hot() const noexcept { return state_.load() == State::kHot; }
  // REQUIRES: the caller is in the gate as invariant 2 says, and saw is_hot() there.
  void open() noexcept;

  // REQUIRES for both: the caller is in the gate to block, and stays in if it succeeds.
  // Waits until nobody is in by the stripes. Errors: as the limit says; the stripes are closed all the same.
  [[nodiscard]] WaitStatus close(const WaitLimit& limit);
  [[nodiscard]] bool try_close() noexcept;

  // For tests: adders who are in by the stripes; exact only while nobody comes or goes.
  std::uint64_t holders_count() const noexcept;
  bool is_open() const noexcept { return state_.load() == State::kOpen; }

 private:
  enum class State : std::uint8_t { kOff, kHot, kOpen, kDraining };
  // A cache line pair each: the processor fetches neighbouring lines together.
  struct alignas(128) Count {
    Atomic<std::uint32_t> in{0};
  };
  struct Counts {
    std::array<Count, kStripeCount> of;
  };
  struct Closer {
    Parker parker;
    Closer* next = nullptr;
    bool waits = true;
  };

  // Draining, and the last one has left: off, and the closers go on.
  bool settle() noexcept REQUIRES(mutex_);
  void left_while_draining() noexcept;

  Atomic<State> state_{State::kOff};
  Atomic<std::uint32_t> company_{0};
  // Made before the first `hot`, and kept.
  std::unique_ptr<Counts> counts_;
  mutable Mutex mutex_;
  Closer* closers_ GUARDED_BY(mutex_) = nullptr;
};

inline bool AddStripes::try_enter(Stripe* stripe) noexcept {
  if (state_.load() != State::kOpen) return false;
  const auto mine = static_cast<Stripe>(thread_ordinal() % kStripeCount);
  counts_->of[mine].in.fetch_add(1);
  lock_rank::acquired(Rank::kGate, this);
  if (state_.load() == State::kOpen) [[likely]] {
    *stripe = mine;
    return true;
  }
  leave(mine);
  return false;
}

inline void AddStripes::leave(Stripe stripe) noexcept {
  lock_rank::released(Rank::kGate, this);
  if (fault::planted(fault::Planted::kLeaveOwnStripe)) {
    stripe = static_cast<Stripe>(thread_ordinal() % kStripeCount);
  }
  const std::uint32_t before = counts_->of[stripe].in.fetch_sub(1);
  QUIRE_CHECK(before != 0);
  if (state_.load() == State::kDraining) [[unlikely]]
    left_while_draining();
}

}  // namespace quire::sync

#endif  // QUIRE_SYNC_ADD_STRIPES_H_
