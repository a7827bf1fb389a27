// The locks by themselves: how long one waits to block while others add without a pause, and the mirror.
// Gate and RangeGate state a bound; std::shared_mutex states none.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <shared_mutex>
#include <thread>

#include "host_bench/data.h"
#include "locking_bench/rows.h"
#include "sync/gate.h"
#include "sync/range_gate.h"

namespace quire::bench {
namespace {

using std::chrono::steady_clock;
using sync::GateSide;

constexpr unsigned kCrowd = 4;
constexpr int kTries = 20;

// A lock with two sides, of which a crowd takes one and one thread the other.
struct TwoSided {
  virtual ~TwoSided() = default;
  virtual void visit(GateSide side) = 0;
};

// What is done inside, by either side.
void inside() {
  for (int i = 0; i < 50; ++i) sync::spin_pause();
}

struct OfGate final : TwoSided {
  void visit(GateSide side) override {
    (void)gate.enter(side);
    inside();
    gate.leave(side);
  }
  sync::Gate gate;
};

// All on one page: blockers overlap.
struct OfRangeGate final : TwoSided {
  void visit(GateSide side) override {
    if (side == GateSide::kAdd) {
      sync::RangeGate::Phase phase = 0;
      (void)gate.add(1, 1, &phase);
      inside();
      gate.leave(phase);
    } else {
      sync::RangeGate::Blocker blocker;
      (void)gate.block(blocker, 1, 1);
      inside();
      gate.unblock(blocker);
    }
  }
  sync::RangeGate gate;
};

struct OfSharedMutex final : TwoSided {
  void visit(GateSide side) override {
    if (side == GateSide::kAdd) {
      const std::shared_lock lock(mutex);
      inside();
    } else {
      const std::unique_lock lock(mutex);
      inside();
    }
  }
  std::shared_mutex mutex;
};

// The longest of kTries waits of one thread on `side`, in nanoseconds, while kCrowd others never pause on
// the other. A wait lasts for `most` at the longest: then the crowd goes home.
template <class Lock>
double longest_wait(GateSide side, std::chrono::milliseconds most) {
  Lock lock;
  double longest = 0;
  for (int i = 0; i < kTries; ++i) {
    std::atomic<bool> over{false};
    std::atomic<unsigned> running{0};
    std::vector<std::jthread> crowd;
    for (unsigned member = 0; member < kCrowd; ++member) {
      crowd.emplace_back([&] {
        ++running;
        const auto end = steady_clock::now() + most;
        while (!over && steady_clock::now() < end) lock.visit(other_side(side));
      });
    }
    while (running < kCrowd) std::this_thread::yield();
    const auto begin = steady_clock::now();
    lock.visit(side);
    const std::chrono::duration<double, std::nano> took = steady_clock::now() - begin;
    over = true;
    longest = std::max(longest, took.count());
  }
  return longest;
}

RowMaker wait_row(const std::string& name, GateSide side) {
  return {name, [side](const Context& context) {
            const std::chrono::milliseconds most(context.quick ? 20 : 200);
            Row row;
            row.title = fmt::format(
                "the longest of {} waits of one who {}, while {} who never pause {}; a wait ends "
                "after {} ms at the latest, for then they stop",
                kTries, side == GateSide::kBlock ? "blocks" : "adds", kCrowd,
                side == GateSide::kBlock ? "add" : "block", most.count());
            row.op_bytes = 1;
            row.sides = {
                {"gate", "", [=](unsigned) { return longest_wait<OfGate>(side, most); }},
                {"range gate", "", [=](unsigned) { return longest_wait<OfRangeGate>(side, most); }},
                {"std::shared_mutex", side == GateSide::kBlock ? "" : "whose blockers are alone",
                 [=](unsigned) { return longest_wait<OfSharedMutex>(side, most); }},
            };
            row.comparisons = {{2, 0, Comparison::Kind::kTime, std::nullopt}};
            return row;
          }};
}

}  // namespace

std::vector<RowMaker> wait_rows() {
  return {wait_row("wait.block", GateSide::kBlock), wait_row("wait.add", GateSide::kAdd)};
}

}  // namespace quire::bench
