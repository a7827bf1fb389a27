#include "locking_bench/work.h"

#include <numeric>
#include <thread>

#include "host_bench/data.h"

namespace quire::bench {

NanosecondsPerOp Done::all() const {
  return nanoseconds /
         static_cast<double>(std::accumulate(operations.begin(), operations.end(), 0ull));
}

Done run_together(double seconds, const std::vector<Load>& loads) {
  constexpr std::uint64_t kSlice = 16;  // operations between looks at the clock
  Done done;
  done.operations.resize(loads.size());
  done.nanoseconds = timed_on_threads(static_cast<unsigned>(loads.size()), [&](unsigned thread) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    std::uint64_t count = 0;
    while (std::chrono::steady_clock::now() < end) {
      for (std::uint64_t i = 0; i < kSlice; ++i) loads[thread](count++);
    }
    done.operations[thread] = count;
  });
  return done;
}

std::vector<unsigned> thread_counts() {
  std::vector<unsigned> counts = {1, 2};
  if (std::thread::hardware_concurrency() >= 16) counts.push_back(16);
  return counts;
}

}  // namespace quire::bench
