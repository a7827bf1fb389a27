// The radix tree under every order of its atomic steps that two preemptions make, and under many
// random ones.
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "quire/radix_tree.h"
#include "sync/atomic.h"
#include "sync/sim/sim_test.h"
#include "sync/thread.h"

namespace quire {
namespace {

struct SeamTraits : RadixTreeTraits {
  template <class U>
  using Atomic = sync::Atomic<U>;
  static void yield() noexcept { sync::yield_thread(); }
  static unsigned stripe() noexcept { return 0; }
};

// Large, for leaves of few slots: each look at one is a step, and multiplies the schedules.
struct alignas(1024) Slot {
  std::uint64_t load() const noexcept { return value.load(); }
  void store(std::uint64_t v) noexcept { value.store(v); }
  void fetch_add(std::uint64_t v) noexcept { value.fetch_add(v); }

  sync::Atomic<std::uint64_t> value;
};
using Tree = RadixTree<Slot, SeamTraits>;
using Readers = BasicRadixReaders<SeamTraits>;

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kFar = std::uint64_t{1} << 12;  // a tree of height 3
constexpr std::uint64_t kLeafLast = Tree::leaf_last(0);
static_assert(kLeafLast == 3);

// Nodes from a fixed place, so that a run depends on no address. Not an atomic step: the fibers
// change only at the tree's own.
class Pool {
 public:
  Pool() { live_.fill(false); }

  void* allocate() noexcept {
    for (std::size_t i = 0; i < kNodes; ++i) {
      if (!live_[i]) {
        live_[i] = true;
        std::memset(memory()[i].byte, 0xa5, sizeof(Node));
        return memory()[i].byte;
      }
    }
    return nullptr;
  }
  void deallocate(void* node) noexcept {
    ASSERT_TRUE(is_live(node));
    live_[number_of(node)] = false;
    std::memset(node, 0x5a, sizeof(Node));
  }
  bool is_live(const void* inside) const { return live_[number_of(inside)]; }
  std::size_t out() const {
    std::size_t n = 0;
    for (const bool live : live_) n += live ? 1 : 0;
    return n;
  }

 private:
  static constexpr std::size_t kNodes = 24;
  struct alignas(Tree::kNodeBytes) Node {
    unsigned char byte[Tree::kNodeBytes];
  };
  static std::array<Node, kNodes>& memory() {
    static std::array<Node, kNodes> nodes;
    return nodes;
  }
  static std::size_t number_of(const void* inside) {
    return static_cast<std::size_t>(static_cast<const unsigned char*>(inside) - memory()[0].byte) /
           sizeof(Node);
  }

  std::array<bool, kNodes> live_;
};

// A tree, and at the end nothing lost.
struct World {
  Pool pool;
  Tree tree;
  Readers readers;

  ~World() {
    EXPECT_EQ(tree.nodes(), pool.out());
    tree.clear(pool);
    EXPECT_EQ(pool.out(), 0u);
  }
  void set(std::uint64_t index, std::uint64_t value) {
    Slot* const slot = tree.find_or_add(index, pool);
    ASSERT_NE(slot, nullptr);
    slot->store(value);
  }
  // Zero where nothing is.
  std::uint64_t get(std::uint64_t index) {
    auto guard = readers.enter();
    Slot* const slot = tree.find(index);
    if (slot == nullptr) return 0;
    sync::yield_thread();
    EXPECT_TRUE(pool.is_live(slot)) << "freed under a reader";
    return slot->load();
  }
};

bool is_zero(const Slot& slot) {
  return slot.load() == 0;
}

void together(std::vector<std::function<void()>> bodies) {
  std::vector<sync::Thread> threads;
  for (auto& body : bodies) {
    threads.push_back(std::move(sync::Thread::start("fiber", std::move(body)).value()));
  }
  for (sync::Thread& thread : threads) thread.join();
}

SIM_EXPLORE(RadixTreeSim, TwoAddersOfOnePlaceShareIt, 3) {
  World world;
  const auto add = [&] {
    Slot* const slot = world.tree.find_or_add(60, world.pool);
    ASSERT_NE(slot, nullptr);
    slot->fetch_add(1);
  };
  together({add, add});
  EXPECT_EQ(world.get(60), 2u);
  EXPECT_EQ(world.tree.nodes(), 2u);
}

SIM_EXPLORE(RadixTreeSim, GrowthLosesNoAdder, 2) {
  World world;
  together({[&] { world.set(1, 1); }, [&] { world.set(60, 2); }, [&] { world.set(kFar, 3); }});
  EXPECT_EQ(world.get(1), 1u);
  EXPECT_EQ(world.get(60), 2u);
  EXPECT_EQ(world.get(kFar), 3u);
}

SIM_EXPLORE(RadixTreeSim, NoMoreNodesThanPromised, 2) {
  World world;
  std::size_t taken = 0;
  struct Counting {
    Pool& pool;
    std::size_t& taken;
    void* allocate() noexcept {
      ++taken;
      return pool.allocate();
    }
    void deallocate(void* node) noexcept { pool.deallocate(node); }
  } counting{world.pool, taken};
  together({[&] { world.set(1, 1); },
            [&] {
              const unsigned promised = world.tree.nodes_missing(kFar);
              EXPECT_NE(world.tree.find_or_add(kFar, counting), nullptr);
              EXPECT_LE(taken, promised);
            }});
}

SIM_EXPLORE(RadixTreeSim, EraseBesideReadersAndGrowth, 2) {
  World world;
  world.set(3, 7);
  together({[&] {
              EXPECT_LE(world.tree.erase(0, kLeafLast, world.pool, world.readers.quiesce()), 1u);
              EXPECT_EQ(world.get(3), 0u);
            },
            [&] { world.set(kFar, 9); },
            [&] {
              const std::uint64_t seen = world.get(3);
              EXPECT_TRUE(seen == 0 || seen == 7) << seen;
            }});
  EXPECT_EQ(world.tree.find(3), nullptr);
  EXPECT_EQ(world.get(kFar), 9u);
}

SIM_EXPLORE(RadixTreeSim, PruneOfTheRootBesideReadersAndGrowth, 2) {
  World world;
  world.set(3, 0);
  std::size_t freed = 0;
  together({[&] {
              freed = world.tree.prune(3, 0, kLeafLast, world.pool, is_zero,
                                       world.readers.try_quiesce());
            },
            [&] { world.set(kFar, 9); }, [&] { EXPECT_EQ(world.get(3), 0u); }});
  EXPECT_EQ(world.tree.find(3) == nullptr, freed == 1);
  EXPECT_EQ(world.get(kFar), 9u);
}

// A reader inside fills a slot of the leaf that is being pruned: the leaf must come back.
SIM_EXPLORE(RadixTreeSim, PruneNeverLosesWhatAReaderStored, 3) {
  World world;
  world.set(kFar, 0);
  world.set(3, 0);
  bool stored = false;
  together(
      {[&] { world.tree.prune(3, 0, kLeafLast, world.pool, is_zero, world.readers.quiesce()); },
       [&] {
         auto guard = world.readers.enter();
         if (Slot* const slot = world.tree.find(3)) {
           slot->store(5);
           stored = true;
         }
       }});
  EXPECT_EQ(world.get(3), stored ? 5u : 0u);
}

// A reader that has read the phase before one wait turned it, and entered after: the next wait must
// see it all the same.
SIM_EXPLORE(RadixReadersSim, WaitOutlastsTheGuardItMet, 2) {
  Readers readers;
  bool inside = false;
  together({[&] {
              auto guard = readers.enter();
              inside = true;
              sync::yield_thread();
              inside = false;
            },
            [&] {
              for (int i = 0; i < 2; ++i) {
                const bool met = inside;
                EXPECT_TRUE(readers.wait());
                EXPECT_FALSE(met && inside);
                sync::yield_thread();
              }
            }});
}

// The same with several of each.
SIM_TEST(RadixReadersSim, WaitsOutlastTheGuardsTheyMet) {
  Readers readers;
  constexpr unsigned kReaders = 3;
  std::array<unsigned, kReaders> entered{};  // odd: inside
  const auto read = [&](unsigned id) {
    for (int i = 0; i < 5; ++i) {
      auto guard = readers.enter();
      ++entered[id];
      sync::yield_thread();
      ++entered[id];
    }
  };
  const auto wait = [&] {
    for (int i = 0; i < 3; ++i) {
      const std::array<unsigned, kReaders> met = entered;
      EXPECT_TRUE(readers.wait());
      for (unsigned id = 0; id < kReaders; ++id) {
        EXPECT_TRUE(met[id] % 2 == 0 || entered[id] > met[id]) << "reader " << id;
      }
    }
  };
  together({[&] { read(0); }, [&] { read(1); }, [&] { read(2); }, wait, wait});
  EXPECT_TRUE(readers.try_wait());
}

// There is always a guard, and no guard lasts: wait() must end.
SIM_TEST(RadixReadersSim, WaitEndsWhileGuardsKeepComing) {
  Readers readers;
  bool done = false;
  together({[&] {
              std::optional<Readers::Guard> guards[2];
              guards[0].emplace(readers.enter());
              unsigned i = 1;
              while (!done) {
                guards[i % 2].emplace(readers.enter());
                guards[++i % 2].reset();
                sync::yield_thread();
              }
            },
            [&] {
              EXPECT_TRUE(readers.wait());
              done = true;
            }});
}

SIM_TEST(RadixTreeSim, EverybodyAtOnce) {
  World world;
  together({[&] {
              for (int i = 0; i < 3; ++i) {
                world.set(5, 6);
                world.set(60, 61);
                EXPECT_GE(world.tree.erase(0, 63, world.pool, world.readers.quiesce()), 2u);
              }
            },
            [&] {
              for (int i = 0; i < 3; ++i) {
                world.set(200, 201);
                world.tree.find(200)->store(0);
                world.tree.prune(200, 200, 203, world.pool, is_zero, world.readers.try_quiesce());
              }
            },
            [&] { world.set(kFar, kFar + 1); },
            [&] {
              for (int i = 0; i < 3; ++i) {
                for (const std::uint64_t index : {std::uint64_t{5}, std::uint64_t{60}, kFar}) {
                  const std::uint64_t seen = world.get(index);
                  EXPECT_TRUE(seen == 0 || seen == index + 1) << seen;
                }
                auto guard = world.readers.enter();
                world.tree.for_each(5, 5, [](std::uint64_t index, Slot& slot) {
                  const std::uint64_t seen = slot.load();
                  EXPECT_TRUE(seen == 0 || seen == index + 1) << seen;
                  return true;
                });
              }
            }});
  EXPECT_EQ(world.get(kFar), kFar + 1);
  EXPECT_EQ(world.get(5), 0u);
  EXPECT_TRUE(world.tree.for_each(kFar + 1, kMax,
                                  [](std::uint64_t, Slot& slot) { return slot.load() == 0; }));
}

}  // namespace
}  // namespace quire
