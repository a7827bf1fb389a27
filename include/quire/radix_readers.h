// RadixReaders: counts the threads that are looking at a tree, so that erase and prune can wait
// until nobody can still see what they have unlinked. One may serve many trees.
//
//   RadixReaders readers;
//   { auto guard = readers.enter(); if (auto* slot = tree.find(i)) use(*slot); }      // any thread
//   tree.erase(first, last, nodes, readers.quiesce());                               // the eraser
//
// It is the scheme of the kernel's sleepable RCU: counters in two sets, and a phase that says which
// set newcomers use, so that the old set drains however many readers keep coming.
//
// Invariants:
//  1. A guard adds one to the counter of its stripe and phase before its first look at the tree,
//     and takes it from the same counter when it ends, in whatever thread that is.
//  2. wait() returns true only after it has seen each counter at zero once since it began. So every
//     guard that existed then is gone, and every one entered since came after the unlinking.
//  3. While wait() drains a set, newcomers use the other, except those who had read the phase
//     before it changed: at most one each per thread. So it waits for the guards that it met, those
//     that came while the first set drained, and no more.
//
// Misuse: calling wait(), erase() or prune() under a guard waits for oneself.
#ifndef QUIRE_RADIX_READERS_H_
#define QUIRE_RADIX_READERS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <thread>
#include <utility>

namespace quire {

// What a tree and its readers take from their surroundings. Derive from it to put in other atomics.
struct RadixTreeTraits {
  template <class U>
  using Atomic = std::atomic<U>;

  // Lets other threads run, in a wait for readers.
  static void yield() noexcept { std::this_thread::yield(); }

  // A number that differs between most threads, to spread counters.
  static unsigned stripe() noexcept {
    static std::atomic<unsigned> next{0};
    thread_local const unsigned mine = next.fetch_add(1, std::memory_order_relaxed);
    return mine;
  }
};

template <class Traits = RadixTreeTraits>
class BasicRadixReaders {
  using Counter = typename Traits::template Atomic<std::size_t>;

 public:
  // Holds off the waiters until it ends. May be moved, also to another thread.
  class [[nodiscard]] Guard {
   public:
    Guard(Guard&& other) noexcept : counter_(std::exchange(other.counter_, nullptr)) {}
    Guard& operator=(Guard&&) = delete;
    ~Guard() { leave(); }

    // Ends it before its time.
    void leave() noexcept {
      if (counter_ != nullptr) std::exchange(counter_, nullptr)->fetch_sub(1);
    }

   private:
    friend class BasicRadixReaders;
    explicit Guard(Counter& counter) noexcept : counter_(&counter) { counter.fetch_add(1); }

    Counter* counter_;
  };

  BasicRadixReaders() = default;
  BasicRadixReaders(const BasicRadixReaders&) = delete;
  BasicRadixReaders& operator=(const BasicRadixReaders&) = delete;

  // Never waits. Guards of one thread may nest.
  Guard enter() noexcept {
    return Guard(stripes_[Traits::stripe() % kStripes].inside[phase_.load()]);
  }

  // Waits until every guard that exists now has ended. False: stopped before.
  bool wait(const std::stop_token& stop = {}) noexcept {
    while (waiting_.exchange(true)) {
      if (stop.stop_requested()) return false;
      Traits::yield();
    }
    const bool drained = drain_phase(stop) && drain_phase(stop);
    waiting_.store(false);
    return drained;
  }

  // wait() in one look: false if a guard was seen.
  bool try_wait() noexcept {
    for (Stripe& stripe : stripes_) {
      if (stripe.inside[0].load() != 0 || stripe.inside[1].load() != 0) return false;
    }
    return true;
  }

  // What erase() wants.
  auto quiesce() noexcept {
    return [this](std::uint64_t, std::uint64_t) noexcept { return wait(); };
  }
  // What suits a prune() that had rather give up than wait.
  auto try_quiesce() noexcept {
    return [this](std::uint64_t, std::uint64_t) noexcept { return try_wait(); };
  }

 private:
  static constexpr unsigned kStripes = 16;
  struct alignas(64) Stripe {
    Counter inside[2]{};
  };

  bool drain_phase(const std::stop_token& stop) noexcept {
    const unsigned old_phase = phase_.load();
    phase_.store(1 - old_phase);
    for (Stripe& stripe : stripes_) {
      while (stripe.inside[old_phase].load() != 0) {
        if (stop.stop_requested()) return false;
        Traits::yield();
      }
    }
    return true;
  }

  std::array<Stripe, kStripes> stripes_{};
  typename Traits::template Atomic<unsigned> phase_{0};
  typename Traits::template Atomic<bool> waiting_{false};  // one waiter at a time turns the phase
};

using RadixReaders = BasicRadixReaders<>;

}  // namespace quire

#endif  // QUIRE_RADIX_READERS_H_
