// One row of the benchmark: several sides that do the same work in different ways, measured in
// turn.
//
// A round runs every side once, each next round in the opposite order, so that whatever else the
// machine is doing falls on all sides alike. A row may cut its rounds into turns: each side does a
// part of its work at a time, and what it took in the round is the median of its turns. Sides are
// compared within a round; what is reported of a comparison is the median of those ratios, and the
// smallest and largest.
#ifndef QUIRE_BENCH_HOST_BENCH_ROW_H_
#define QUIRE_BENCH_HOST_BENCH_ROW_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace quire::bench {

// What a side took for one operation of its row in a round.
using NanosecondsPerOp = double;

struct Side {
  std::string name;
  std::string settings;
  // Does the work of turn `turn`, counted over all rounds. May throw NotMeasured.
  std::function<NanosecondsPerOp(unsigned turn)> run;
};

// Thrown by a side or a row's maker that cannot work on this machine; the text says why.
class NotMeasured : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Comparison {
  enum class Kind {
    kTime,  // time of `side` over time of `yardstick`; a target is the most it may be
    kRate,  // rate of `side` over rate of `yardstick`; a target is the least it may be
  };
  std::size_t side = 0;
  std::size_t yardstick = 0;
  Kind kind = Kind::kRate;
  std::optional<double> target = std::nullopt;
};

struct Row {
  std::string name;
  std::string title;
  std::uint64_t op_bytes = 0;  // moved by one operation
  unsigned rounds = 0;         // 0: as many as the program was asked for
  unsigned turns = 1;          // of each round, all of the same length
  std::vector<Side> sides;
  std::vector<Comparison> comparisons;
  // Said after the rounds: what else was counted meanwhile.
  std::function<std::string()> remark;
  // Said where a target is missed: what is known of why.
  std::string limited_by;
};

struct Spread {
  double median = 0;
  double min = 0;
  double max = 0;
};
// REQUIRES: values is not empty.
Spread spread_of(std::vector<double> values);

struct ComparisonResult {
  std::string text;  // "rate of A over B"
  Spread ratio;
  std::vector<double> rounds;
  std::optional<double> target;
  bool at_most = false;
  bool reached = true;
};

struct RowResult {
  std::string name;
  std::string title;
  std::uint64_t op_bytes = 0;
  std::string not_measured;  // why, or ""
  struct SideResult {
    std::string name;
    std::string settings;
    Spread ns_per_op;
    std::vector<double> rounds;
  };
  std::vector<SideResult> sides;
  std::vector<ComparisonResult> comparisons;
  std::string remark;
  std::string limited_by;  // "" where every target was reached
};

// One round that does not count, then `rounds` that do.
RowResult measure(const Row& row, unsigned rounds);

void print(const RowResult& result);
// The targets alone, reached or short, of all rows.
void print_summary(const std::vector<RowResult>& results);
nlohmann::json to_json(const RowResult& result);

}  // namespace quire::bench

#endif  // QUIRE_BENCH_HOST_BENCH_ROW_H_
