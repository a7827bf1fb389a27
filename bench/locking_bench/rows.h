// The rows of the locking benchmark.
#ifndef QUIRE_BENCH_LOCKING_BENCH_ROWS_H_
#define QUIRE_BENCH_LOCKING_BENCH_ROWS_H_

#include <vector>

#include "host_bench/rows.h"

namespace quire::bench {

// One operation after the other, by one thread and by several that meet nobody. plain_rows.cc
std::vector<RowMaker> plain_locking_rows();
// One kind of operation beside another. mixed_rows.cc
std::vector<RowMaker> mixed_locking_rows();
// The locks by themselves: how long one side waits for another that never pauses. wait_rows.cc
std::vector<RowMaker> wait_rows();

}  // namespace quire::bench

#endif  // QUIRE_BENCH_LOCKING_BENCH_ROWS_H_
