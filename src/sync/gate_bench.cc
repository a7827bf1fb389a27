// The locks of the engine beside those one would use instead: an add pair and a block pair of the
// gate beside std::shared_mutex, pthread_rwlock and a signed counter; the range lock, alone and in
// company, and the local/global lock beside a mutex.
#include <benchmark/benchmark.h>
#include <pthread.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <list>
#include <shared_mutex>

#include "sync/add_stripes.h"
#include "sync/gate.h"
#include "sync/local_global_lock.h"
#include "sync/mutex.h"
#include "sync/range_lock.h"

namespace quire::sync {
namespace {

// Each lock behind the same two calls. Where a lock has no second shared state its block pair is
// the exclusive one.
struct GateLock {
  void enter(GateSide side) { benchmark::DoNotOptimize(gate.enter(side)); }
  void leave(GateSide side) { gate.leave(side); }

  Gate gate;
};

// As CacheLock puts them together for a file at whose gate many add at once.
struct StripedGate {
  StripedGate() {
    for (std::uint32_t i = 0; i < AddStripes::kHotAfter; ++i) stripes.note_company();
  }
  void enter(GateSide) {
    if (stripes.try_enter(&stripe())) return;
    benchmark::DoNotOptimize(gate.enter(GateSide::kAdd));
    if (stripes.is_hot()) stripes.open();
    stripe() = kByTheGate;
  }
  void leave(GateSide) {
    if (stripe() != kByTheGate) {
      stripes.leave(stripe());
    } else {
      gate.leave(GateSide::kAdd);
    }
  }

  static constexpr AddStripes::Stripe kByTheGate = 0xff;
  static AddStripes::Stripe& stripe() {
    thread_local AddStripes::Stripe mine = kByTheGate;
    return mine;
  }

  Gate gate;
  AddStripes stripes;
};

struct SharedMutex {
  void enter(GateSide side) { side == GateSide::kAdd ? mutex.lock_shared() : mutex.lock(); }
  void leave(GateSide side) { side == GateSide::kAdd ? mutex.unlock_shared() : mutex.unlock(); }

  std::shared_mutex mutex;
};

struct PthreadRwlock {
  PthreadRwlock() { pthread_rwlock_init(&lock, nullptr); }
  ~PthreadRwlock() { pthread_rwlock_destroy(&lock); }

  void enter(GateSide side) {
    side == GateSide::kAdd ? pthread_rwlock_rdlock(&lock) : pthread_rwlock_wrlock(&lock);
  }
  void leave(GateSide) { pthread_rwlock_unlock(&lock); }

  pthread_rwlock_t lock;
};

// The two-state lock without fairness: above zero adders, below zero blockers.
struct SignedCounter {
  void enter(GateSide side) {
    const std::int64_t step = side == GateSide::kAdd ? 1 : -1;
    std::int64_t now = count.load();
    for (;;) {
      if (now * step < 0) {
        spin_pause();
        now = count.load();
      } else if (count.compare_exchange_weak(now, now + step)) {
        return;
      }
    }
  }
  void leave(GateSide side) { count.fetch_sub(side == GateSide::kAdd ? 1 : -1); }

  std::atomic<std::int64_t> count{0};
};

constexpr GateSide kAdd = GateSide::kAdd;
constexpr GateSide kBlock = GateSide::kBlock;

template <class Lock, GateSide kSide>
void one_side(benchmark::State& state) {
  alignas(128) static Lock lock;
  for (auto _ : state) {
    lock.enter(kSide);
    lock.leave(kSide);
  }
}
BENCHMARK_TEMPLATE(one_side, GateLock, kAdd)->ThreadRange(1, 2);
BENCHMARK_TEMPLATE(one_side, StripedGate, kAdd)->ThreadRange(1, 2);
BENCHMARK_TEMPLATE(one_side, GateLock, kBlock)->ThreadRange(1, 2);
BENCHMARK_TEMPLATE(one_side, SharedMutex, kAdd)->ThreadRange(1, 2);
BENCHMARK_TEMPLATE(one_side, SharedMutex, kBlock)->ThreadRange(1, 2);
BENCHMARK_TEMPLATE(one_side, PthreadRwlock, kAdd)->ThreadRange(1, 2);
BENCHMARK_TEMPLATE(one_side, PthreadRwlock, kBlock)->ThreadRange(1, 2);
BENCHMARK_TEMPLATE(one_side, SignedCounter, kAdd)->ThreadRange(1, 2);
BENCHMARK_TEMPLATE(one_side, SignedCounter, kBlock)->ThreadRange(1, 2);

// An adder against a blocker: what the alternation costs.
template <class Lock>
void both_sides(benchmark::State& state) {
  alignas(128) static Lock lock;
  const GateSide side = state.thread_index() == 0 ? kBlock : kAdd;
  for (auto _ : state) {
    lock.enter(side);
    lock.leave(side);
  }
}
BENCHMARK_TEMPLATE(both_sides, GateLock)->Threads(2);
BENCHMARK_TEMPLATE(both_sides, SharedMutex)->Threads(2);
BENCHMARK_TEMPLATE(both_sides, PthreadRwlock)->Threads(2);
BENCHMARK_TEMPLATE(both_sides, SignedCounter)->Threads(2);

void mutex_pair(benchmark::State& state) {
  alignas(128) static Mutex mutex;
  for (auto _ : state) {
    const MutexLock lock(mutex);
  }
}
BENCHMARK(mutex_pair)->ThreadRange(1, 2);

// One range of its own for each thread, beside `range(0)` holders of other ranges.
void range_pair(benchmark::State& state) {
  struct Crowded {
    RangeLock lock;
    std::list<RangeLock::Hold> others;
  };
  static Crowded crowded;
  if (state.thread_index() == 0) {
    for (std::int64_t i = 0; i < state.range(0); ++i) {
      const auto at = 1000 + static_cast<std::uint64_t>(i);
      crowded.lock.try_lock(crowded.others.emplace_back(), at, at, RangeMode::kExclusive);
      crowded.lock.hand_over();
    }
  }
  const auto mine = static_cast<std::uint64_t>(state.thread_index());
  for (auto _ : state) {
    RangeLock::Hold hold;
    benchmark::DoNotOptimize(crowded.lock.lock(hold, mine, mine, RangeMode::kExclusive));
    crowded.lock.unlock(hold);
  }
  if (state.thread_index() == 0) {
    for (RangeLock::Hold& other : crowded.others) crowded.lock.unlock(other);
    crowded.others.clear();
  }
}
BENCHMARK(range_pair)->Arg(0)->ThreadRange(1, 2);
BENCHMARK(range_pair)->Arg(8)->Arg(64)->Arg(512);

void local_pair(benchmark::State& state) {
  static LocalGlobalLock<> lock;
  for (auto _ : state) {
    const LocalGlobalLock<>::LocalGuard guard(lock);
    benchmark::DoNotOptimize(guard.stripe());
  }
}
BENCHMARK(local_pair)->ThreadRange(1, 2);

void global_pair(benchmark::State& state) {
  static LocalGlobalLock<> lock;
  for (auto _ : state) {
    const LocalGlobalLock<>::GlobalGuard guard(lock);
  }
}
BENCHMARK(global_pair);

}  // namespace
}  // namespace quire::sync
