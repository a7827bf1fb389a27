#include "host_bench/row.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstdio>
#include <utility>

namespace quire::bench {
namespace {

constexpr double kMiB = 1 << 20;

std::string rate_text(const RowResult& row, double ns_per_op) {
  if (row.op_bytes < 4096) {
    return fmt::format("{:8.2f} M/s   ", 1e3 / ns_per_op);
  }
  return fmt::format("{:8.0f} MiB/s ", static_cast<double>(row.op_bytes) / kMiB * 1e9 / ns_per_op);
}

std::string target_text(const ComparisonResult& c) {
  if (!c.target) {
    return "";
  }
  return fmt::format("{} {:.2f}: {}", c.at_most ? "at most" : "at least", *c.target,
                     c.reached ? "reached" : "SHORT");
}

nlohmann::json to_json(const Spread& spread) {
  return {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}};
}

ComparisonResult compare(const Comparison& comparison, const RowResult& row) {
  const bool time = comparison.kind == Comparison::Kind::kTime;
  const RowResult::SideResult& side = row.sides[comparison.side];
  const RowResult::SideResult& yardstick = row.sides[comparison.yardstick];
  ComparisonResult result;
  result.text = fmt::format("{} of {} over {}", time ? "time" : "rate", side.name, yardstick.name);
  for (std::size_t i = 0; i < side.rounds.size(); ++i) {
    const double times = side.rounds[i] / yardstick.rounds[i];
    result.rounds.push_back(time ? times : 1 / times);
  }
  result.ratio = spread_of(result.rounds);
  result.target = comparison.target;
  result.at_most = time;
  if (result.target) {
    result.reached =
        time ? result.ratio.median <= *result.target : result.ratio.median >= *result.target;
  }
  return result;
}

}  // namespace

Spread spread_of(std::vector<double> values) {
  assert(!values.empty());
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return {(values[(n - 1) / 2] + values[n / 2]) / 2, values.front(), values.back()};
}

RowResult measure(const Row& row, unsigned rounds) {
  RowResult result;
  result.name = row.name;
  result.title = row.title;
  result.op_bytes = row.op_bytes;
  rounds = row.rounds != 0 ? std::min(row.rounds, rounds) : rounds;
  std::vector<std::vector<double>> values(row.sides.size());
  // Round 0 warms up.
  for (unsigned round = 0; round <= rounds; ++round) {
    std::vector<std::vector<double>> turns(row.sides.size());
    for (unsigned turn = round * row.turns; turn < (round + 1) * row.turns; ++turn) {
      for (std::size_t i = 0; i < row.sides.size(); ++i) {
        const std::size_t side = turn % 2 == 0 ? i : row.sides.size() - 1 - i;
        turns[side].push_back(row.sides[side].run(turn));
      }
    }
    for (std::size_t side = 0; round > 0 && side < row.sides.size(); ++side) {
      values[side].push_back(spread_of(std::move(turns[side])).median);
    }
  }
  for (std::size_t i = 0; i < row.sides.size(); ++i) {
    result.sides.push_back(
        {row.sides[i].name, row.sides[i].settings, spread_of(values[i]), values[i]});
  }
  for (const Comparison& comparison : row.comparisons) {
    result.comparisons.push_back(compare(comparison, result));
  }
  if (row.remark) {
    result.remark = row.remark();
  }
  if (std::any_of(result.comparisons.begin(), result.comparisons.end(),
                  [](const ComparisonResult& c) { return !c.reached; })) {
    result.limited_by = row.limited_by;
  }
  return result;
}

void print(const RowResult& row) {
  fmt::print("{}: {}\n", row.name, row.title);
  if (!row.not_measured.empty()) {
    fmt::print("  not measured: {}\n\n", row.not_measured);
    return;
  }
  for (const RowResult::SideResult& side : row.sides) {
    const Spread& ns = side.ns_per_op;
    fmt::print("  {:<32}{:>10.1f} ns {} [{:.1f} to {:.1f}]  {}\n", side.name, ns.median,
               rate_text(row, ns.median), ns.min, ns.max, side.settings);
  }
  for (const ComparisonResult& c : row.comparisons) {
    fmt::print("  {:<60}{:>6.2f} [{:.2f} to {:.2f}]  {}\n", c.text, c.ratio.median, c.ratio.min,
               c.ratio.max, target_text(c));
  }
  if (!row.remark.empty()) {
    fmt::print("  {}\n", row.remark);
  }
  if (!row.limited_by.empty()) {
    fmt::print("  what limits it: {}\n", row.limited_by);
  }
  fmt::print("\n");
  std::fflush(stdout);
}

void print_summary(const std::vector<RowResult>& results) {
  fmt::print("Targets (medians of ratios within a round, smallest and largest)\n");
  for (const RowResult& row : results) {
    if (!row.not_measured.empty()) {
      fmt::print("  {:<20}not measured: {}\n", row.name, row.not_measured);
    }
    for (const ComparisonResult& c : row.comparisons) {
      if (c.target) {
        fmt::print("  {:<20}{:<56}{:>6.2f} [{:.2f} to {:.2f}]  {}\n", row.name, c.text,
                   c.ratio.median, c.ratio.min, c.ratio.max, target_text(c));
      }
    }
  }
}

nlohmann::json to_json(const RowResult& row) {
  nlohmann::json json{{"name", row.name}, {"title", row.title}, {"op_bytes", row.op_bytes}};
  if (!row.not_measured.empty()) {
    json["not_measured"] = row.not_measured;
    return json;
  }
  for (const RowResult::SideResult& side : row.sides) {
    json["sides"].push_back({{"name", side.name},
                             {"settings", side.settings},
                             {"ns_per_op", to_json(side.ns_per_op)},
                             {"rounds_ns_per_op", side.rounds}});
  }
  for (const ComparisonResult& c : row.comparisons) {
    nlohmann::json entry{{"what", c.text}, {"ratio", to_json(c.ratio)}, {"rounds", c.rounds}};
    if (c.target) {
      entry["target"] = *c.target;
      entry["target_is"] = c.at_most ? "at most" : "at least";
      entry["reached"] = c.reached;
    }
    json["comparisons"].push_back(std::move(entry));
  }
  json["remark"] = row.remark;
  json["limited_by"] = row.limited_by;
  return json;
}

}  // namespace quire::bench
