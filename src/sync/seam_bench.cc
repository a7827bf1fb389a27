// What the seam costs: each of its types beside the standard one. The pairs should not differ.
#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdint>
#include <mutex>

#include "sync/atomic.h"
#include "sync/mutex.h"
#include "sync/parker.h"

namespace quire::sync {
namespace {

template <class Counter>
void fetch_add(benchmark::State& state) {
  Counter counter{0};
  for (auto _ : state) benchmark::DoNotOptimize(counter.fetch_add(1));
}
BENCHMARK_TEMPLATE(fetch_add, std::atomic<std::uint64_t>);
BENCHMARK_TEMPLATE(fetch_add, Atomic<std::uint64_t>);

template <class Lockable, class Guard>
void lock_unlock(benchmark::State& state) {
  Lockable mutex;
  for (auto _ : state) {
    Guard guard(mutex);
    benchmark::ClobberMemory();
  }
}
BENCHMARK_TEMPLATE(lock_unlock, std::mutex, std::lock_guard<std::mutex>);
BENCHMARK_TEMPLATE(lock_unlock, Mutex, MutexLock);

// Both together: an unpark() that finds nobody asleep and the park() that takes its permit.
void unpark_park(benchmark::State& state) {
  Parker parker;
  for (auto _ : state) {
    parker.unpark();
    parker.park();
  }
}
BENCHMARK(unpark_park);

}  // namespace
}  // namespace quire::sync
