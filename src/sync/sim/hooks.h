// What the seam's types call in the simulation build: the points at which the scheduler may let
// another fiber run. Tests and tools use scheduler.h instead.
//
// The simulation has one OS thread. Inside sim::run() the threads of the program are fibers, and a
// fiber gives way only here, just before the operation it names is carried out; so what lies
// between two operations is atomic. Outside a run there is nobody to give way to: every operation
// is carried out at once, and a wait that could only end by another thread's doing is a failed
// check.
//
// Two places where a fiber must not give way, since the C++ runtime takes the fibers for one
// thread: a std::stop_callback, and the initialiser of a function's static variable.
#ifndef QUIRE_SYNC_SIM_HOOKS_H_
#define QUIRE_SYNC_SIM_HOOKS_H_

#include <cstdint>

#include "sync/clock.h"

namespace quire::sync::sim {

// The operations, as the trace hash and the reports name them.
enum class Op : std::uint8_t {
  kStart,
  kLoad,
  kStore,
  kExchange,
  kCompareExchange,
  kFetch,
  kLock,
  kTryLock,
  kUnlock,
  kPark,
  kUnpark,
  kConditionWait,
  kNotify,
  kJoin,
  kClock,
  kSpin,
  kEnd,
};

inline constexpr std::uint32_t kNobody = ~std::uint32_t{0};

// Names a mutex, parker or condition by the order of first use within a run: an address would
// differ from one replay to the next.
struct ObjectTag {
  std::uint64_t run = 0;
  std::uint32_t ordinal = 0;
};

// An operation that cannot be carried out before one of these holds.
struct Wait {
  Op op = Op::kStart;
  std::uint32_t ordinal = 0;          // of the object; for kJoin the other fiber's number
  const bool* ready = nullptr;        // null: can be carried out now
  const bool* interrupted = nullptr;  // null: cannot be interrupted
  Clock::time_point deadline = Clock::kNever;
  const std::uint32_t* holder = nullptr;  // the fiber that holds the object, for reports
};

// The running fiber's number, or kNobody outside a run.
std::uint32_t running_fiber() noexcept;
// `tag`'s ordinal in this run; 0 outside a run.
std::uint32_t ordinal_of(ObjectTag& tag) noexcept;

// A yield point in front of an operation that can always be carried out.
void yield_point(Op op, std::uint32_t ordinal = 0) noexcept;
// A yield point in front of an operation that waits. On return one of the conditions holds.
void wait_point(const Wait& wait) noexcept;
// Enters an operation that is no yield point into the trace.
void note(Op op, std::uint32_t ordinal) noexcept;
// A yield point of a fiber that can do nothing useful until others have run: everybody else who can
// run gets a turn first, whatever the schedule, so that spinning cannot livelock it.
void spin() noexcept;

// True once in `one_in` calls, by the seed; never while exploring, and never outside a run.
bool chance(std::uint64_t one_in) noexcept;
// From 0 to bound - 1, by the seed; 0 while exploring and outside a run. REQUIRES: bound > 0.
std::uint64_t pick_below(std::uint64_t bound) noexcept;

// The running fiber's value for `key`, null at first; `destroy` is called with it when the fiber
// ends. REQUIRES: inside a run.
void*& fiber_local(const void* key, void (*destroy)(void*));

}  // namespace quire::sync::sim

#endif  // QUIRE_SYNC_SIM_HOOKS_H_
