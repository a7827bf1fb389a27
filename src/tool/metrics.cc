#include "tool/metrics.h"

#include <array>

#include "quire/limits.h"

namespace quire::tool {

namespace {

using mount::control::Stats;
using enum Metric::Kind;
using enum Metric::Unit;

constexpr std::array kMetrics = {
    Metric{"uptime_seconds", "Time since the mount was made.", kGauge, kNanoseconds,
           &Stats::uptime_ns},
    Metric{"page_hits", "Pages that were asked for and found in the cache.", kCounter, kCount,
           &Stats::hits},
    Metric{"page_misses", "Pages that were asked for and not in the cache.", kCounter, kCount,
           &Stats::misses},
    Metric{"readahead_bytes", "Read into the cache before it was asked for.", kCounter, kPages,
           &Stats::readahead_pages},
    Metric{"evicted_bytes", "Clean data given up to make room.", kCounter, kPages,
           &Stats::evicted_pages},
    Metric{"written_bytes", "Written back to the source.", kCounter, kPages, &Stats::written_pages},
    Metric{"source_reads", "Read requests to the source's file system.", kCounter, kCount,
           &Stats::read_requests},
    Metric{"source_writes", "Write requests to the source's file system.", kCounter, kCount,
           &Stats::write_requests},
    Metric{"writeback_errors", "Write requests of writeback that failed.", kCounter, kCount,
           &Stats::writeback_errors},
    Metric{"memory_bytes", "The memory budget.", kGauge, kBytes, &Stats::memory_bytes},
    Metric{"memory_used_bytes", "Memory in use, of the budget.", kGauge, kBytes,
           &Stats::memory_used_bytes},
    Metric{"cached_bytes", "File data in the cache.", kGauge, kPages, &Stats::cached_pages},
    Metric{"dirty_bytes", "File data that the source does not have yet.", kGauge, kPages,
           &Stats::dirty_pages},
    Metric{"writeback_bytes", "File data on its way to the source.", kGauge, kPages,
           &Stats::writeback_pages},
    Metric{"reserved_bytes", "Space taken on the source and not written yet.", kGauge, kPages,
           &Stats::reserved_pages},
    Metric{"open_files", "Files of the source held open, recently closed ones included.", kGauge,
           kCount, &Stats::open_files},
    Metric{"nodes", "Files and directories that the kernel knows.", kGauge, kCount, &Stats::nodes},
    Metric{"requests", "Requests of the kernel that were answered.", kCounter, kCount,
           &Stats::requests},
    Metric{"requests_queued", "Requests that found every worker busy.", kCounter, kCount,
           &Stats::requests_queued},
    Metric{"requests_waiting", "Requests that wait for a worker now.", kGauge, kCount,
           &Stats::requests_waiting},
    Metric{"kernel_recalls", "Requests to the kernel to give up pages of mapped files.", kCounter,
           kCount, &Stats::kernel_recalls},
    Metric{"kernel_kept_bytes", "Newer bytes that a late write-back of a mapped page did not undo.",
           kCounter, kBytes, &Stats::kernel_bytes_kept},
};

constexpr std::array kWaitMetrics = {
    WaitMetric{"page", "for a page that is being read or written", &Stats::page},
    WaitMetric{"throttle", "of writers, for the dirty limit", &Stats::throttle},
    WaitMetric{"memory", "for memory to be given up by others", &Stats::memory},
    WaitMetric{"range", "for another writer of the same bytes", &Stats::range},
    WaitMetric{"request", "of the kernel, for the answer to a request", &Stats::request},
};

}  // namespace

std::span<const Metric> metrics() {
  return kMetrics;
}

std::span<const WaitMetric> wait_metrics() {
  return kWaitMetrics;
}

double base_seconds(std::uint64_t nanoseconds) {
  return static_cast<double>(nanoseconds) / 1e9;
}

std::uint64_t base_value(const Metric& metric, const Stats& stats) {
  const std::uint64_t value = stats.*metric.field;
  return metric.unit == kPages ? value * limits::kPageBytes : value;
}

}  // namespace quire::tool
