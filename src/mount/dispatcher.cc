#include "mount/dispatcher.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "mount/caller.h"
#include "sync/check.h"

namespace quire::mount {

Dispatcher::Dispatcher(Limits limits, Read read, Serve serve)
    : limits_(limits), read_(std::move(read)), serve_(std::move(serve)) {
  QUIRE_CHECK(limits.threads_max >= 2 && limits.queue_max >= 1);
}

Status Dispatcher::grow() {
  // Counted from here on, so that it is known that somebody will read.
  ++alive_;
  ++reading_;
  auto thread = sync::Thread::start("quire-mount", [this] { work(); });
  if (!thread.ok()) {
    --alive_;
    --reading_;
    return std::move(thread).error();
  }
  threads_.push_back(std::move(*thread));
  return {};
}

Status Dispatcher::run() {
  std::vector<sync::Thread> threads;
  {
    sync::MutexLock lock(mutex_);
    for (int first = 0; first < 2; ++first) {
      if (Status grown = grow(); !grown.ok() && alive_ == 0) return grown;
    }
    while (alive_ > 0) ended_.wait(mutex_);
    threads.swap(threads_);
  }
  for (sync::Thread& thread : threads) thread.join();
  return {};
}

void Dispatcher::serve(std::byte* request, std::size_t size) {
  const sync::Clock::time_point began = sync::Clock::now();
  serve_(request, size);
  const auto took = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(sync::Clock::now() - began).count());
  sync::MutexLock lock(mutex_);
  ++counts_.served;
  counts_.total_ns += took;
  counts_.worst_ns = std::max(counts_.worst_ns, took);
}

void Dispatcher::enqueue(const std::byte* request, std::size_t size) {
  // As long as it is full everybody else serves, and makes room when done.
  while (queue_.size() >= limits_.queue_max) room_.wait(mutex_);
  Request copy{std::make_unique_for_overwrite<std::byte[]>(size), size};
  std::memcpy(copy.memory.get(), request, size);
  queue_.push_back(std::move(copy));
  ++counts_.queued;
}

void Dispatcher::serve_queued() {
  while (!queue_.empty()) {
    const Request next = std::move(queue_.front());
    queue_.pop_front();
    room_.notify_one();
    mutex_.unlock();
    serve(next.memory.get(), next.size);
    mutex_.lock();
  }
}

void Dispatcher::work() {
  ActAs::prepare_thread();
  const auto memory = std::make_unique_for_overwrite<std::byte[]>(limits_.request_bytes_max);
  for (;;) {
    const std::size_t size = read_(memory.get(), limits_.request_bytes_max);
    {
      sync::MutexLock lock(mutex_);
      if (size == 0) {
        --reading_;
        serve_queued();
        if (--alive_ == 0) ended_.notify_all();
        return;
      }
      if (reading_ == 1 && (alive_ >= limits_.threads_max || !grow().ok())) {
        // Nobody else would read; unless nobody else would serve either.
        if (alive_ > 1) {
          enqueue(memory.get(), size);
          continue;
        }
      }
      --reading_;
    }
    serve(memory.get(), size);
    sync::MutexLock lock(mutex_);
    serve_queued();
    ++reading_;
  }
}

Dispatcher::Counts Dispatcher::counts() const {
  sync::MutexLock lock(mutex_);
  Counts counts = counts_;
  counts.waiting = queue_.size();
  return counts;
}

}  // namespace quire::mount
