// The rows of the benchmark of mappings.
#ifndef QUIRE_BENCH_MAPPING_BENCH_ROWS_H_
#define QUIRE_BENCH_MAPPING_BENCH_ROWS_H_

#include <vector>

#include "host_bench/rows.h"

namespace quire::bench {

std::vector<RowMaker> fault_rows();  // fault_rows.cc
std::vector<RowMaker> frame_rows();  // frame_rows.cc
std::vector<RowMaker> sweep_rows();  // sweep_rows.cc

// What a process started by a sweep row does; returns its exit status. sweep_rows.cc
int run_sweep_child(int argc, char** argv);
inline constexpr char kSweepChildFlag[] = "--sweep-child";

}  // namespace quire::bench

#endif  // QUIRE_BENCH_MAPPING_BENCH_ROWS_H_
