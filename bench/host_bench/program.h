// A benchmark program: its options, a scratch directory, each row in turn, the table and the JSON.
#ifndef QUIRE_BENCH_HOST_BENCH_PROGRAM_H_
#define QUIRE_BENCH_HOST_BENCH_PROGRAM_H_

#include <string>
#include <vector>

#include "host_bench/rows.h"

namespace quire::bench {

struct Program {
  std::string name;
  std::string about;  // for --help
  unsigned rounds;
  std::vector<RowMaker> rows;
  bool draws_chart = false;  // has --chart
};

// Returns the exit status: 0, 1 for what went wrong, 2 for what was asked wrongly.
int run_program(const Program& program, int argc, char** argv);

}  // namespace quire::bench

#endif  // QUIRE_BENCH_HOST_BENCH_PROGRAM_H_
