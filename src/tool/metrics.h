// The numbers of a mount, each with the name, unit and meaning under which every form of `quire stats`
// shows it.
//
// Invariants:
//  1. Every counter and gauge of control::Stats is here once (a test counts them).
//  2. Names are what JSON shows; Prometheus shows the same with "quire_" before and, for counters,
//     "_total" behind. So a name is never changed, only added.
//  3. Base units: bytes and seconds, named by the last word. Pages are shown as bytes, unless what is
//     counted is events.
//
// Thread-safety: constants and pure functions.
#ifndef QUIRE_TOOL_METRICS_H_
#define QUIRE_TOOL_METRICS_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "mount/control.h"

namespace quire::tool {

struct Metric {
  enum class Kind { kCounter, kGauge };
  enum class Unit { kCount, kBytes, kPages, kNanoseconds };

  std::string_view name;
  std::string_view help;
  Kind kind;
  Unit unit;
  std::uint64_t mount::control::Stats::*field;
};

struct WaitMetric {
  std::string_view kind;  // a word
  std::string_view help;  // what is waited for
  mount::control::Waits mount::control::Stats::*field;
};

std::span<const Metric> metrics();
std::span<const WaitMetric> wait_metrics();

// In the metric's base unit. Seconds have fractions; all else is whole.
double base_seconds(std::uint64_t nanoseconds);
std::uint64_t base_value(const Metric& metric, const mount::control::Stats& stats);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_METRICS_H_
