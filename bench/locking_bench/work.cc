#include "locking_bench/work.h"

#include <chrono>
#include <thread>

#include "host_bench/data.h"

namespace quire::bench {

NanosecondsPerOp Done::all() const {
  double per_nanosecond = 0;
  for (const NanosecondsPerOp load : each) per_nanosecond += 1 / load;
  return 1 / per_nanosecond;
}

Done run_together(double seconds, const std::vector<Load>& loads) {
  using std::chrono::steady_clock;
  constexpr std::uint64_t kSlice = 16;  // operations between looks at the clock
  Done done;
  done.each.resize(loads.size());
  timed_on_threads(static_cast<unsigned>(loads.size()), [&](unsigned thread) {
    const auto begin = steady_clock::now();
    const auto end = begin + std::chrono::duration<double>(seconds);
    auto now = begin;
    std::uint64_t count = 0;
    for (; now < end; now = steady_clock::now()) {
      for (std::uint64_t i = 0; i < kSlice; ++i) loads[thread](count++);
    }
    const std::chrono::duration<double, std::nano> took = now - begin;
    done.each[thread] = took.count() / static_cast<double>(count);
  });
  return done;
}

std::vector<unsigned> thread_counts() {
  std::vector<unsigned> counts = {1, 2};
  if (std::thread::hardware_concurrency() >= 16) counts.push_back(16);
  return counts;
}

}  // namespace quire::bench
