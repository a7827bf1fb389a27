#include "mount/dispatcher.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "mount/caller.h"
#include "sync/check.h"
#include "sync/thread_local.h"

namespace quire::mount {
namespace {

// Of the state word.
constexpr std::uint64_t kReader = 1;
constexpr std::uint64_t kWaiting = std::uint64_t{1} << 32;
// Fewer readers than this were left, if any thread had a request at all.
constexpr std::uint64_t kAllReaders = ~std::uint64_t{0};

std::uint64_t readers(std::uint64_t state) {
  return state % kWaiting;
}
std::uint64_t waiting(std::uint64_t state) {
  return state / kWaiting;
}

// What this thread serves that it has read itself.
struct Serving {
  Dispatcher* dispatcher = nullptr;
  bool joined = false;
};
struct ServingTag {};

Serving& serving() {
  return sync::ThreadLocal<Serving, ServingTag>::get();
}

}  // namespace

Dispatcher::Dispatcher(Limits limits, Read read, Serve serve)
    : limits_(limits), read_(std::move(read)), serve_(std::move(serve)) {
  QUIRE_CHECK(limits.threads_max >= 2 && limits.queue_max >= 1);
}

Status Dispatcher::grow() {
  // Counted from here on, so that it is known that somebody will read.
  ++alive_;
  state_.fetch_add(kReader);
  auto thread = sync::Thread::start("quire-mount", [this] { work(); });
  if (!thread.ok()) {
    --alive_;
    state_.fetch_sub(kReader);
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

bool Dispatcher::call_another() {
  if (resting_ == 0) return alive_ < limits_.threads_max && grow().ok();
  --resting_;
  ++calls_;
  state_.fetch_add(kReader);
  called_.notify_one();
  return true;
}

bool Dispatcher::rest() {
  ++resting_;
  while (calls_ == 0 && !over_) called_.wait(mutex_);
  if (calls_ == 0) {
    --resting_;
    return false;
  }
  --calls_;
  return true;
}

bool Dispatcher::go_on(bool may_rest) {
  serve_queued();
  // The last that reads stays, or calls one that rests, under the mutex.
  if (may_rest && fewest_.exchange(kAllReaders) > 1 && readers(state_.load()) > 0) return rest();
  state_.fetch_add(kReader);
  return true;
}

void Dispatcher::note_readers(std::uint64_t left) {
  std::uint64_t fewest = fewest_.load();
  while (left < fewest && !fewest_.compare_exchange_weak(fewest, left)) {
  }
}

bool Dispatcher::serve(std::byte* request, std::size_t size) {
  const sync::Clock::time_point began = sync::Clock::now();
  serve_(request, size);
  const auto took = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(sync::Clock::now() - began).count());
  const std::uint64_t served = served_.fetch_add(1) + 1;
  total_ns_.fetch_add(took);
  std::uint64_t worst = worst_ns_.load();
  while (worst < took && !worst_ns_.compare_exchange_weak(worst, took)) {
  }
  return served % limits_.review_requests == 0;
}

bool Dispatcher::serve_at_once(std::byte* request, std::size_t size, bool* joined) {
  Serving& here = serving();
  here = {this, false};
  const bool may_rest = serve(request, size);
  *joined = here.joined;
  here = {};
  return may_rest;
}

void Dispatcher::answering() noexcept {
  Serving& here = serving();
  if (here.dispatcher != nullptr && !here.joined) here.joined = here.dispatcher->join_at_once();
}

bool Dispatcher::leave_at_once() {
  std::uint64_t state = state_.load();
  while (readers(state) > 1 && waiting(state) == 0) {
    if (!state_.compare_exchange_weak(state, state - kReader)) continue;
    note_readers(readers(state) - 1);
    return true;
  }
  return false;
}

bool Dispatcher::leave(const std::byte* request, std::size_t size) {
  note_readers(1);
  std::uint64_t state = state_.load();
  for (;;) {
    // Others may start and stop reading meanwhile, as long as nothing waits.
    const bool last = readers(state) == 1;
    if (last && call_another()) {
      state = state_.load();
      continue;
    }
    // Alone, nobody else would serve.
    if (!last || alive_ == 1) {
      if (state_.compare_exchange_weak(state, state - kReader)) return true;
      continue;
    }
    // As long as it is full everybody else serves, and makes room when done.
    if (waiting(state) >= limits_.queue_max) {
      room_.wait(mutex_);
      state = state_.load();
      continue;
    }
    if (state_.compare_exchange_weak(state, state + kWaiting)) break;
  }
  Request copy{std::make_unique_for_overwrite<std::byte[]>(size), size};
  std::memcpy(copy.memory.get(), request, size);
  queue_.push_back(std::move(copy));
  ++queued_;
  return false;
}

bool Dispatcher::join_at_once() {
  std::uint64_t state = state_.load();
  while (waiting(state) == 0) {
    if (state_.compare_exchange_weak(state, state + kReader)) return true;
  }
  return false;
}

void Dispatcher::serve_queued() {
  while (!queue_.empty()) {
    const Request next = std::move(queue_.front());
    queue_.pop_front();
    state_.fetch_sub(kWaiting);
    room_.notify_one();
    mutex_.unlock();
    (void)serve(next.memory.get(), next.size);
    mutex_.lock();
  }
}

void Dispatcher::work() {
  ActAs::prepare_thread();
  const auto memory = std::make_unique_for_overwrite<std::byte[]>(limits_.request_bytes_max);
  for (;;) {
    const std::size_t size = read_(memory.get(), limits_.request_bytes_max);
    if (size == 0) break;
    if (!leave_at_once()) {
      sync::MutexLock lock(mutex_);
      if (!leave(memory.get(), size)) continue;
    }
    bool joined = false;
    const bool may_rest = serve_at_once(memory.get(), size, &joined);
    if (may_rest || (!joined && !join_at_once())) {
      sync::MutexLock lock(mutex_);
      if (joined) state_.fetch_sub(kReader);
      if (!go_on(may_rest)) {
        end();
        return;
      }
    }
  }
  sync::MutexLock lock(mutex_);
  state_.fetch_sub(kReader);
  over_ = true;
  called_.notify_all();
  serve_queued();
  end();
}

void Dispatcher::end() {
  if (--alive_ == 0) ended_.notify_all();
}

Dispatcher::Counts Dispatcher::counts() const {
  sync::MutexLock lock(mutex_);
  return {served_.load(), queued_,          queue_.size(),   alive_,
          resting_,       total_ns_.load(), worst_ns_.load()};
}

}  // namespace quire::mount
