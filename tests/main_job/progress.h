// One line every few seconds: how far the job is, in what phase, how long it has run.
//
// Thread-safety: any thread may count; one thread at a time starts phases.
#ifndef QUIRE_TESTS_MAIN_JOB_PROGRESS_H_
#define QUIRE_TESTS_MAIN_JOB_PROGRESS_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace quire::main_job {

class Progress {
 public:
  // `work_bytes` is the sum of what all phases will announce. `on_tick` runs before each line.
  Progress(std::uint64_t work_bytes, std::chrono::milliseconds interval,
           std::function<void()> on_tick);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  // `phase_bytes` will be counted in it. What the phase before did not count counts as done.
  void start_phase(std::string name, std::uint64_t phase_bytes);
  void count(std::uint64_t bytes) { phase_done_bytes_.fetch_add(bytes, std::memory_order_relaxed); }

 private:
  void run();
  void print();

  const std::uint64_t work_bytes_;
  const std::chrono::milliseconds interval_;
  const std::function<void()> on_tick_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::atomic<std::uint64_t> phase_done_bytes_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::string phase_;
  std::uint64_t phase_bytes_ = 0;
  std::uint64_t done_bytes_ = 0;  // in the phases before this one
  bool over_ = false;
  std::thread thread_;
};

}  // namespace quire::main_job

#endif  // QUIRE_TESTS_MAIN_JOB_PROGRESS_H_
