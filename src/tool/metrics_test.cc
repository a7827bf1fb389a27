#include "tool/metrics.h"

#include <cctype>
#include <cstddef>
#include <set>
#include <string_view>

#include "gtest/gtest.h"

namespace quire::tool {
namespace {

using mount::control::Stats;
using mount::control::Waits;

// Stats is four 32-bit numbers, then 64-bit ones and waits.
TEST(MetricsTest, EveryNumberOfStatsIsShownOnce) {
  constexpr std::size_t kHeadBytes = 4 * sizeof(std::uint32_t);
  EXPECT_EQ(
      metrics().size() * sizeof(std::uint64_t) + wait_metrics().size() * sizeof(Waits) + kHeadBytes,
      sizeof(Stats));
  std::set<std::size_t> places;
  const Stats stats = {};
  const auto place = [&](const auto& field) {
    const void* const begin = &stats;
    const void* const at = &field;
    return static_cast<std::size_t>(static_cast<const char*>(at) - static_cast<const char*>(begin));
  };
  for (const Metric& metric : metrics()) {
    EXPECT_TRUE(places.insert(place(stats.*metric.field)).second) << metric.name;
  }
  for (const WaitMetric& metric : wait_metrics()) {
    EXPECT_TRUE(places.insert(place(stats.*metric.field)).second) << metric.kind;
  }
}

TEST(MetricsTest, NamesEndInTheirBaseUnitAndHelpIsASentence) {
  std::set<std::string_view> names;
  for (const Metric& metric : metrics()) {
    EXPECT_TRUE(names.insert(metric.name).second) << metric.name;
    for (const char c : metric.name) EXPECT_TRUE(c == '_' || std::islower(c) != 0) << metric.name;
    const bool bytes = metric.name.ends_with("_bytes");
    const bool seconds = metric.name.ends_with("_seconds");
    using enum Metric::Unit;
    EXPECT_EQ(bytes, metric.unit == kBytes || metric.unit == kPages) << metric.name;
    EXPECT_EQ(seconds, metric.unit == kNanoseconds) << metric.name;
    EXPECT_TRUE(metric.help.ends_with('.')) << metric.name;
  }
}

}  // namespace
}  // namespace quire::tool
