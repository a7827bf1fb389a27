// The rows of the mount. Each has three sides: a directory mounted by Quire, one mounted by the do-nothing
// daemon, and a plain directory on the same disk.
#ifndef QUIRE_BENCH_MOUNT_BENCH_ROWS_H_
#define QUIRE_BENCH_MOUNT_BENCH_ROWS_H_

#include <vector>

#include "host_bench/rows.h"

namespace quire::bench {

// What a 4 KiB request may take, over what the do-nothing daemon takes.
inline constexpr double kOverNothingMax = 1.1;

std::vector<RowMaker> mounted_data_rows();  // data_rows.cc
std::vector<RowMaker> mounted_name_rows();  // name_rows.cc

// Every row compares Quire, its first side, with the others.
inline std::vector<Comparison> beside_both(std::optional<double> target = std::nullopt) {
  return {{0, 1, Comparison::Kind::kTime, target}, {0, 2, Comparison::Kind::kTime}};
}

}  // namespace quire::bench

#endif  // QUIRE_BENCH_MOUNT_BENCH_ROWS_H_
