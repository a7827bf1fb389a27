#include "main_job/batch.h"

#include <fmt/format.h>

#include <utility>

namespace quire::main_job {

Batch::~Batch() {
  wait_for_all();
}

void Batch::submit(TargetFile& file, Op op, std::size_t moved) {
  Request* request = nullptr;
  {
    const std::lock_guard lock(mutex_);
    request = &requests_.emplace_back(Request{moved, 0});
    ++outstanding_;
  }
  try {
    file.submit(std::move(op), [this, request](Result<std::size_t> result) {
      const std::lock_guard lock(mutex_);
      if (++request->completions > 1) {
        problem_ = "a request completed twice";
        return;
      }
      if (!result.ok()) {
        problem_ = fmt::format("a submitted request failed: {}", result.error().message());
      } else if (*result != request->moved) {
        problem_ = fmt::format("a submitted request moved {} of {} bytes", *result, request->moved);
      }
      --outstanding_;
      // Under the lock: the Batch may be gone as soon as it is released.
      done_.notify_all();
    });
  } catch (...) {
    const std::lock_guard lock(mutex_);
    --outstanding_;
    throw;
  }
}

void Batch::wait() {
  wait_for_all();
  const std::lock_guard lock(mutex_);
  if (!problem_.empty()) {
    throw Failure(problem_);
  }
  requests_.clear();
}

void Batch::wait_for_all() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return outstanding_ == 0; });
}

}  // namespace quire::main_job
