// A chart of results as SVG: for each row a bar for each side, as long as its operation took beside the
// row's first side.
#ifndef QUIRE_BENCH_HOST_BENCH_CHART_H_
#define QUIRE_BENCH_HOST_BENCH_CHART_H_

#include <string>
#include <vector>

#include "host_bench/row.h"

namespace quire::bench {

// Rows that were not measured are left out.
std::string draw_chart(const std::vector<RowResult>& results);

}  // namespace quire::bench

#endif  // QUIRE_BENCH_HOST_BENCH_CHART_H_
