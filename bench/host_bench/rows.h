// The rows. A maker sets its row's data up; the row keeps what it needs until it is destroyed.
#ifndef QUIRE_BENCH_HOST_BENCH_ROWS_H_
#define QUIRE_BENCH_HOST_BENCH_ROWS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "host_bench/row.h"

namespace quire::bench {

struct Context {
  std::string directory;  // empty, ours, on the disk to measure
  bool quick = false;     // smaller files, fewer operations: to see that it runs, not to believe it
  std::string self;       // this program's own path, for rows that need processes
};

struct RowMaker {
  std::string name;
  std::function<Row(const Context&)> make;
};

std::vector<RowMaker> hit_rows();        // hits.cc
std::vector<RowMaker> overwrite_rows();  // overwrites.cc
std::vector<RowMaker> miss_rows();       // misses.cc
std::vector<RowMaker> pass_rows();       // passes.cc

// What a process started by a pass row does; returns its exit status. passes.cc
int run_pass_child(int argc, char** argv);
inline constexpr char kPassChildFlag[] = "--pass-child";

}  // namespace quire::bench

#endif  // QUIRE_BENCH_HOST_BENCH_ROWS_H_
