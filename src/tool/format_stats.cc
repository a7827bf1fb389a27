#include "tool/format_stats.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "quire/limits.h"
#include "tool/metrics.h"
#include "tool/table.h"
#include "tool/units.h"

namespace quire::tool {

namespace {

using mount::control::Stats;
using mount::control::Waits;
using Json = nlohmann::ordered_json;

// The columns of --watch.
constexpr const char* kWatchRow = "{:>8} {:>10} {:>12} {:>12} {:>12} {:>12} {:>9} {:>10}\n";

std::string human_pages(std::uint64_t pages) {
  return human_bytes(pages * limits::kPageBytes);
}

std::string figures(const Stats& s) {
  Table table({Table::Align::kLeft, Table::Align::kLeft});
  table.add(
      {"hit rate", fmt::format("{} ({} hits, {} misses)", human_share(s.hits, s.hits + s.misses),
                               human_count(s.hits), human_count(s.misses))});
  table.add({"memory", fmt::format("{} of {}, {} of it file data", human_bytes(s.memory_used_bytes),
                                   human_bytes(s.memory_bytes), human_pages(s.cached_pages))});
  table.add({"dirty", fmt::format("{}, and {} on its way to the source", human_pages(s.dirty_pages),
                                  human_pages(s.writeback_pages))});
  table.add({"reserved", fmt::format("{} of space on the source, not written yet",
                                     human_pages(s.reserved_pages))});
  table.add({"written back",
             fmt::format("{} in {}, of which {} failed", human_pages(s.written_pages),
                         counted(s.write_requests, "request"), human_count(s.writeback_errors))});
  table.add({"read", fmt::format("{}, {} read ahead", counted(s.read_requests, "request"),
                                 human_pages(s.readahead_pages))});
  table.add({"evicted", human_pages(s.evicted_pages)});
  table.add({"open files", fmt::format("{}; the kernel knows {} files and directories",
                                       human_count(s.open_files), human_count(s.nodes))});
  table.add({"requests",
             fmt::format("{}, {} found every worker busy, {} wait now", human_count(s.requests),
                         human_count(s.requests_queued), human_count(s.requests_waiting))});
  table.add({"mapped pages",
             fmt::format("{}, {} kept from a late write-back", counted(s.kernel_recalls, "recall"),
                         human_bytes(s.kernel_bytes_kept))});
  return table.text();
}

std::string waits(const Stats& stats) {
  using enum Table::Align;
  Table table({kLeft, kRight, kRight, kRight, kLeft});
  table.add({"waits", "count", "mean", "worst"});
  for (const WaitMetric& metric : wait_metrics()) {
    const Waits& w = stats.*metric.field;
    table.add({std::string(metric.kind), human_count(w.count),
               w.count == 0 ? "-" : human_duration(w.total_ns / w.count),
               w.count == 0 ? "-" : human_duration(w.worst_ns), std::string(metric.help)});
  }
  return table.text();
}

std::string label_value(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\n') {
      escaped += "\\n";
    } else {
      if (c == '\\' || c == '"') escaped += '\\';
      escaped += c;
    }
  }
  return escaped;
}

// One metric of Prometheus's: its description, then samples.
class Family {
 public:
  Family(std::string_view name, Metric::Kind kind, std::string_view help)
      : name_(fmt::format("quire_{}{}", name, kind == Metric::Kind::kCounter ? "_total" : "")),
        text_(fmt::format("# HELP {} {}\n# TYPE {} {}\n", name_, help, name_,
                          kind == Metric::Kind::kCounter ? "counter" : "gauge")) {}

  template <class Value>
  void sample(const std::string& labels, Value value) {
    text_ += fmt::format("{}{{{}}} {}\n", name_, labels, value);
  }
  const std::string& text() const { return text_; }

 private:
  std::string name_;
  std::string text_;
};

std::uint64_t since(std::uint64_t before, std::uint64_t now) {
  return now > before ? now - before : 0;
}

std::uint64_t per_second(double change, double seconds) {
  return static_cast<std::uint64_t>(std::llround(change / seconds));
}

}  // namespace

std::string stats_text(const MountReport& report) {
  const Stats& s = report.stats;
  std::string text =
      fmt::format("{} on {}: for {}, by process {}, files {} be mapped shared\n\n",
                  printable(report.source), printable(report.mountpoint),
                  human_duration(s.uptime_ns), s.daemon_pid, s.shared_mmap != 0 ? "can" : "cannot");
  text += figures(s) + '\n' + waits(s);
  if (report.dirty && report.dirty->total > 0) {
    text += fmt::format("\n{} with unwritten data:\n", counted(report.dirty->total, "file"));
    text += describe_unwritten(report.dirty->files, report.dirty->total);
  }
  return text;
}

std::string stats_json(const MountReport& report) {
  Json json;
  json["source"] = report.source;
  json["mountpoint"] = report.mountpoint;
  json["daemon_pid"] = report.stats.daemon_pid;
  json["owner_uid"] = report.stats.owner_uid;
  json["shared_mmap"] = report.stats.shared_mmap != 0;
  for (const Metric& metric : metrics()) {
    const std::uint64_t value = base_value(metric, report.stats);
    if (metric.unit == Metric::Unit::kNanoseconds) {
      json[std::string(metric.name)] = base_seconds(value);
    } else {
      json[std::string(metric.name)] = value;
    }
  }
  for (const WaitMetric& metric : wait_metrics()) {
    const Waits& w = report.stats.*metric.field;
    json["waits"][std::string(metric.kind)] = {{"count", w.count},
                                               {"total_seconds", base_seconds(w.total_ns)},
                                               {"worst_seconds", base_seconds(w.worst_ns)}};
  }
  if (report.dirty) {
    json["unwritten_files"] = report.dirty->total;
    json["unwritten"] = Json::array();
    for (const UnwrittenFile& file : report.dirty->files) {
      json["unwritten"].push_back(
          {{"path", file.path}, {"bytes", file.bytes}, {"errno", file.error}});
    }
  }
  // Names are bytes; JSON is UTF-8.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

std::string stats_prometheus(const MountReport& report) {
  using enum Metric::Kind;
  const std::string mountpoint = fmt::format("mountpoint=\"{}\"", label_value(report.mountpoint));
  std::string text;
  Family mapped("shared_mmap", kGauge, "1 if files can be mapped shared.");
  mapped.sample(mountpoint, report.stats.shared_mmap);
  text += mapped.text();
  for (const Metric& metric : metrics()) {
    Family family(metric.name, metric.kind, metric.help);
    const std::uint64_t value = base_value(metric, report.stats);
    if (metric.unit == Metric::Unit::kNanoseconds) {
      family.sample(mountpoint, base_seconds(value));
    } else {
      family.sample(mountpoint, value);
    }
    text += family.text();
  }
  Family count("waits", kCounter, "Waits, by what was waited for.");
  Family total("wait_seconds", kCounter, "Time spent in waits that have ended.");
  Family worst("wait_worst_seconds", kGauge, "The longest wait since the mount was made.");
  for (const WaitMetric& metric : wait_metrics()) {
    const std::string labels = fmt::format("{},kind=\"{}\"", mountpoint, metric.kind);
    const Waits& w = report.stats.*metric.field;
    count.sample(labels, w.count);
    total.sample(labels, base_seconds(w.total_ns));
    worst.sample(labels, base_seconds(w.worst_ns));
  }
  return text + count.text() + total.text() + worst.text();
}

std::string watch_heading() {
  return fmt::format(kWatchRow, "hit rate", "requests/s", "misses/s", "ahead/s", "written/s",
                     "dirty", "waits/s", "mean wait");
}

std::string watch_line(const Stats& before, const Stats& now) {
  const double seconds = std::max(base_seconds(since(before.uptime_ns, now.uptime_ns)), 1e-3);
  const auto rate = [&](std::uint64_t Stats::*field) {
    const auto change = static_cast<double>(since(before.*field, now.*field));
    return per_second(change, seconds);
  };
  std::uint64_t wait_count = 0;
  std::uint64_t wait_ns = 0;
  for (const WaitMetric& metric : wait_metrics()) {
    // The kernel's requests are no waits of the engine's.
    if (metric.field == &Stats::request) continue;
    wait_count += since((before.*metric.field).count, (now.*metric.field).count);
    wait_ns += since((before.*metric.field).total_ns, (now.*metric.field).total_ns);
  }
  const std::uint64_t hits = since(before.hits, now.hits);
  return fmt::format(kWatchRow, human_share(hits, hits + since(before.misses, now.misses)),
                     human_count(rate(&Stats::requests)), human_count(rate(&Stats::misses)),
                     human_pages(rate(&Stats::readahead_pages)),
                     human_pages(rate(&Stats::written_pages)), human_pages(now.dirty_pages),
                     human_count(per_second(static_cast<double>(wait_count), seconds)),
                     wait_count == 0 ? "-" : human_duration(wait_ns / wait_count));
}

}  // namespace quire::tool
