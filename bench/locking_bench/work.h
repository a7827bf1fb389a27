// How the rows run: operations drawn beforehand, on threads that start together.
#ifndef QUIRE_BENCH_LOCKING_BENCH_WORK_H_
#define QUIRE_BENCH_LOCKING_BENCH_WORK_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include "host_bench/row.h"
#include "host_bench/rows.h"

namespace quire::bench {

// What a thread does over and over: its `count`th operation of this round.
using Load = std::function<void(std::uint64_t count)>;

// Runs each load on a thread of its own for about `seconds`. How long an operation of one load took, and
// how far apart those of all of them were. Each load's time is its own: those whose operations are long
// end later.
struct Done {
  std::vector<NanosecondsPerOp> each;

  NanosecondsPerOp all() const;
};
Done run_together(double seconds, const std::vector<Load>& loads);

// How long a side works in a round.
constexpr double round_seconds(const Context& context) {
  return context.quick ? 0.05 : 0.4;
}

// 1 and 2 threads, and 16 where the machine has as many processors.
std::vector<unsigned> thread_counts();

}  // namespace quire::bench

#endif  // QUIRE_BENCH_LOCKING_BENCH_WORK_H_
