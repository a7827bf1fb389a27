#include "main_job/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace quire::main_job {

Progress::Progress(std::uint64_t work_bytes, std::chrono::milliseconds interval,
                   std::function<void()> on_tick)
    : work_bytes_(std::max<std::uint64_t>(work_bytes, 1)),
      interval_(interval),
      on_tick_(std::move(on_tick)),
      thread_([this] { run(); }) {}

Progress::~Progress() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Progress::start_phase(std::string name, std::uint64_t phase_bytes) {
  const std::lock_guard lock(mutex_);
  done_bytes_ += phase_bytes_;
  phase_bytes_ = phase_bytes;
  phase_done_bytes_.store(0, std::memory_order_relaxed);
  phase_ = std::move(name);
}

void Progress::run() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, interval_, [this] { return over_; })) {
    lock.unlock();
    on_tick_();
    lock.lock();
    print();
  }
}

void Progress::print() {
  if (phase_.empty()) {
    return;
  }
  const std::uint64_t in_phase =
      std::min(phase_done_bytes_.load(std::memory_order_relaxed), phase_bytes_);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  fmt::print("{:3}%  {:<44} {:5} of {} MiB  {:6.1f} s\n",
             std::min<std::uint64_t>(100 * (done_bytes_ + in_phase) / work_bytes_, 99), phase_,
             in_phase >> 20, phase_bytes_ >> 20, seconds);
  std::fflush(stdout);
}

}  // namespace quire::main_job
