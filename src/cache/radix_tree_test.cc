#include "quire/radix_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "cache/test_radix_tree.h"

namespace quire {
namespace {

using namespace radix_testing;

TEST(RadixTree, IsEmptyAtFirst) {
  Planted<> planted;
  EXPECT_TRUE(planted.tree.empty());
  EXPECT_EQ(planted.tree.find(0), nullptr);
  EXPECT_EQ(planted.tree.find(kMax), nullptr);
  EXPECT_TRUE(planted.filled(0, kMax).empty());
  EXPECT_EQ(planted.tree.erase(0, kMax, planted.nodes, nobody), 0u);
  EXPECT_EQ(planted.tree.prune(7, planted.nodes, is_zero, nobody), 0u);
}

TEST(RadixTree, SlotsStartAtZeroWhateverTheMemoryHeld) {
  Planted<> planted;
  Slot* const slot = planted.tree.find_or_add(5, planted.nodes);
  ASSERT_NE(slot, nullptr);
  for (std::uint64_t i = 0; i < Tree::kLeafSlots; ++i) {
    EXPECT_EQ(planted.tree.find(i)->load(), 0u);
  }
  EXPECT_EQ(planted.tree.find(Tree::kLeafSlots), nullptr);
}

TEST(RadixTree, FindsTheSameSlotThatItAdded) {
  Planted<> planted;
  for (const std::uint64_t index : boundaries()) {
    Slot* const slot = planted.tree.find_or_add(index, planted.nodes);
    ASSERT_NE(slot, nullptr);
    EXPECT_EQ(slot->load(), 0u) << index;
    EXPECT_EQ(planted.tree.find(index), slot) << index;
    EXPECT_EQ(planted.tree.find_or_add(index, planted.nodes), slot) << index;
    slot->store(~index | 1);
  }
  for (const std::uint64_t index : boundaries()) EXPECT_EQ(planted.get(index), ~index | 1);
}

TEST(RadixTree, GrowsFromEveryHeightToEveryHeight) {
  for (const std::uint64_t from : boundaries()) {
    for (const std::uint64_t to : boundaries()) {
      Planted<> planted;
      planted.set(from, 1);
      const unsigned promised = planted.tree.nodes_missing(to);
      const std::size_t before = planted.nodes.taken();
      planted.set(to, 2);
      EXPECT_LE(planted.nodes.taken() - before, promised) << from << " to " << to;
      EXPECT_EQ(planted.get(from), from == to ? 2u : 1u) << from << " to " << to;
      EXPECT_EQ(planted.get(to), 2u);
      EXPECT_EQ(planted.filled(0, kMax).size(), from == to ? 1u : 2u);
      EXPECT_EQ(planted.tree.nodes_missing(to), 0u);
    }
  }
}

TEST(RadixTree, MissingNodesAreCountedExactlyUnderTheRoot) {
  Planted<> planted;
  EXPECT_EQ(planted.tree.nodes_missing(0), 1u);
  EXPECT_EQ(planted.tree.nodes_missing(512), 2u);
  planted.set(std::uint64_t{1} << 27, 1);  // height 4
  EXPECT_EQ(planted.tree.nodes(), 4u);
  EXPECT_EQ(planted.tree.nodes_missing(0), 3u);
  planted.set(0, 1);
  EXPECT_EQ(planted.tree.nodes(), 7u);
  EXPECT_EQ(planted.tree.nodes_missing(511), 0u);
  EXPECT_EQ(planted.tree.nodes_missing(512), 1u);
  EXPECT_EQ(planted.tree.nodes_missing(512 * 512), 2u);
}

TEST(RadixTree, MissingNodesSufficeWhenSomebodyElseMakesTheRoot) {
  for (const std::uint64_t index : boundaries()) {
    Planted<> planted;
    const unsigned promised = planted.tree.nodes_missing(index);
    planted.set(0, 1);  // the worst that somebody else can do meanwhile
    const std::size_t before = planted.nodes.taken();
    planted.set(index, 2);
    EXPECT_LE(planted.nodes.taken() - before, promised) << index;
  }
}

// Slots of any size: the leaf's share of the index changes, and with it the greatest height.
template <std::size_t kBytes>
struct Bytes {
  std::array<unsigned char, kBytes> byte;
};

template <class T>
class RadixTreeOf : public testing::Test {};
using SlotTypes = testing::Types<Bytes<1>, Bytes<3>, std::uint16_t, Bytes<8>, Bytes<48>,
                                 Bytes<2048>, Bytes<2049>, Bytes<4096>>;
TYPED_TEST_SUITE(RadixTreeOf, SlotTypes);

TYPED_TEST(RadixTreeOf, HoldsSlotsAcrossTheFullIndexRange) {
  using TypedTree = RadixTree<TypeParam>;
  Planted<TypeParam> planted;
  std::set<void*> slots;
  for (const std::uint64_t index : boundaries()) {
    TypeParam* const slot = planted.tree.find_or_add(index, planted.nodes);
    ASSERT_NE(slot, nullptr);
    EXPECT_EQ(std::memcmp(slot, std::array<char, sizeof(TypeParam)>{}.data(), sizeof *slot), 0);
    std::fill_n(reinterpret_cast<unsigned char*>(slot), sizeof *slot, 0xff);
    EXPECT_TRUE(slots.insert(slot).second) << index << " shares its slot";
    EXPECT_EQ(planted.tree.find(index), slot);
  }
  EXPECT_EQ(slots.size(), boundaries().size());

  std::vector<std::uint64_t> seen;
  planted.tree.for_each(0, kMax, [&](std::uint64_t index, TypeParam& slot) {
    if (slots.contains(&slot)) seen.push_back(index);
    return true;
  });
  EXPECT_EQ(seen, boundaries());
  EXPECT_EQ(TypedTree::leaf_last(kMax), kMax);
  EXPECT_EQ(TypedTree::leaf_last(0) + 1, TypedTree::kLeafSlots);
  EXPECT_GT(planted.tree.erase(0, kMax, planted.nodes, nobody), 0u);
  EXPECT_TRUE(planted.tree.empty());
}

TEST(RadixTree, IteratesBothWaysOverHoles) {
  Planted<> planted;
  for (const std::uint64_t index : boundaries()) planted.set(index, 1);
  const std::vector<std::uint64_t> all = boundaries();
  for (std::size_t i = 0; i < all.size(); i += 3) {
    for (std::size_t j = i; j < all.size(); j += 5) {
      const std::vector<std::uint64_t> expected(all.begin() + static_cast<std::ptrdiff_t>(i),
                                                all.begin() + static_cast<std::ptrdiff_t>(j) + 1);
      EXPECT_EQ(planted.filled(all[i], all[j]), expected);
      const std::vector<std::uint64_t> backwards(expected.rbegin(), expected.rend());
      EXPECT_EQ(planted.filled(all[i], all[j], /*reverse=*/true), backwards);
    }
  }
  EXPECT_TRUE(planted.filled(600, 1000).empty());
}

TEST(RadixTree, IterationVisitsEverySlotOfALeafAndStopsWhenTold) {
  Planted<> planted;
  planted.set(1000, 1);
  std::vector<std::uint64_t> seen;
  const auto until_600 = [&](std::uint64_t index, Slot&) {
    seen.push_back(index);
    return index != 600;
  };
  EXPECT_FALSE(planted.tree.for_each(0, kMax, until_600));
  ASSERT_EQ(seen.size(), 600u - 512 + 1);
  EXPECT_EQ(seen.front(), 512u);
  EXPECT_EQ(seen.back(), 600u);
  seen.clear();
  EXPECT_FALSE(planted.tree.for_each_reverse(0, kMax, until_600));
  EXPECT_EQ(seen.front(), 1023u);
  EXPECT_EQ(seen.back(), 600u);
}

TEST(RadixTree, ADrySourceLosesNothing) {
  for (std::size_t limit = 0; limit < 14; ++limit) {
    Planted<> planted;
    planted.nodes.limit(limit + 1);
    planted.set(3, 1);
    EXPECT_EQ(planted.tree.find_or_add(kMax, planted.nodes), nullptr);
    EXPECT_EQ(planted.tree.nodes(), limit + 1);  // each node taken is in the tree
    EXPECT_EQ(planted.tree.find(kMax), nullptr);
    EXPECT_EQ(planted.get(3), 1u);
    planted.nodes.limit(kMax);
    planted.set(kMax, 2);
    EXPECT_EQ(planted.tree.nodes(), 15u);
    EXPECT_EQ(planted.filled(0, kMax), (std::vector<std::uint64_t>{3, kMax}));
  }
}

// Lets somebody else add to the tree at the moment when the source is asked: the race that
// find_or_add loses.
struct Overtaken {
  CountedNodes& nodes;
  Tree& tree;
  std::uint64_t index;
  std::size_t overtake_at;  // which allocation

  void* allocate() noexcept {
    if (overtake_at-- == 0) tree.find_or_add(index, nodes);
    return nodes.allocate();
  }
  void deallocate(void* node) noexcept { nodes.deallocate(node); }
};

TEST(RadixTree, ALostRaceGivesTheSpareNodeBack) {
  for (const std::uint64_t start : {std::uint64_t{0}, std::uint64_t{1} << 20}) {
    for (const std::uint64_t other : {kMax, kMax - 600, std::uint64_t{5}}) {
      for (std::size_t at = 0; at < 14; ++at) {
        Planted<> planted;
        planted.set(start, 1);
        const unsigned promised = planted.tree.nodes_missing(kMax);
        Overtaken source{planted.nodes, planted.tree, other, at};
        Slot* const slot = planted.tree.find_or_add(kMax, source);
        ASSERT_NE(slot, nullptr);
        EXPECT_EQ(slot, planted.tree.find(kMax));
        EXPECT_EQ(planted.get(start), 1u);
        EXPECT_EQ(planted.tree.nodes(), planted.nodes.out());
        EXPECT_LE(promised, 14u);
      }
    }
  }
}

TEST(RadixTree, EraseFreesWholeNodesAndZeroesTheRest) {
  Planted<> planted;
  for (std::uint64_t i = 0; i < 4 * 512; ++i) planted.set(i, i + 1);
  EXPECT_EQ(planted.tree.nodes(), 5u);
  EXPECT_EQ(planted.tree.erase(500, 1600, planted.nodes, nobody), 2u);
  EXPECT_EQ(planted.tree.nodes(), 3u);
  EXPECT_EQ(planted.tree.find(512), nullptr);
  EXPECT_EQ(planted.tree.find(1535), nullptr);
  EXPECT_EQ(planted.get(499), 500u);
  EXPECT_EQ(planted.get(500), 0u);
  EXPECT_NE(planted.tree.find(511), nullptr);
  EXPECT_EQ(planted.get(1600), 0u);
  EXPECT_EQ(planted.get(1601), 1602u);
  EXPECT_EQ(planted.filled(0, kMax).size(), 500u + (2048 - 1601));
}

TEST(RadixTree, EraseOfOneSlotFreesNothing) {
  Planted<> planted;
  planted.set(0, 1);
  planted.set(511, 1);
  EXPECT_EQ(planted.tree.erase(511, 511, planted.nodes, nobody), 0u);
  EXPECT_EQ(planted.filled(0, kMax), std::vector<std::uint64_t>{0});
}

TEST(RadixTree, EraseAtEveryBoundaryKeepsBothSides) {
  const std::vector<std::uint64_t> all = boundaries();
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = i; j < all.size(); j += 4) {
      Planted<> planted;
      for (const std::uint64_t index : all) planted.set(index, 1);
      const std::size_t before = planted.tree.nodes();
      const std::size_t freed = planted.tree.erase(all[i], all[j], planted.nodes, nobody);
      EXPECT_EQ(planted.tree.nodes(), before - freed);
      EXPECT_EQ(planted.nodes.out(), before - freed);
      std::vector<std::uint64_t> kept = all;
      kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(i),
                 kept.begin() + static_cast<std::ptrdiff_t>(j) + 1);
      EXPECT_EQ(planted.filled(0, kMax), kept);
    }
  }
}

TEST(RadixTree, EraseOfMoreSubtreesThanABatchFreesAll) {
  Planted<> planted;
  constexpr std::uint64_t kLeaves = 3 * Tree::kEraseBatch;
  planted.set(0, 1);
  for (std::uint64_t i = 1; i <= kLeaves; ++i) planted.set(i * 512, 1);
  std::uint64_t quiesced_to = 511;
  std::size_t calls = 0;
  const std::size_t out_before = planted.nodes.out();
  const auto quiesce = [&](std::uint64_t first, std::uint64_t last) {
    EXPECT_EQ(first, quiesced_to + 1);
    EXPECT_EQ(last, first + Tree::kEraseBatch * 512 - 1);
    EXPECT_EQ(planted.nodes.out(), out_before - calls * Tree::kEraseBatch);
    quiesced_to = last;
    ++calls;
    return true;
  };
  EXPECT_EQ(planted.tree.erase(512, kMax - 512, planted.nodes, quiesce), kLeaves);
  EXPECT_EQ(calls, 3u);
  EXPECT_EQ(planted.filled(0, kMax), std::vector<std::uint64_t>{0});
}

TEST(RadixTree, EraseAsksAgainUntilReadersAreGone) {
  Planted<> planted;
  planted.set(700, 1);
  int calls = 0;
  const auto third_time = [&](std::uint64_t, std::uint64_t) {
    EXPECT_EQ(planted.nodes.out(), 2u);
    return ++calls == 3;
  };
  EXPECT_EQ(planted.tree.erase(0, kMax, planted.nodes, third_time), 2u);
  EXPECT_EQ(calls, 3);
}

// An eraser of the whole root meets somebody who is just growing the tree beyond it.
TEST(RadixTree, GrowthAndEraseOfTheRootMayMeet) {
  for (std::size_t at = 0; at < 6; ++at) {
    Planted<> planted;
    planted.set(1, 1);
    struct Source {
      Planted<>& planted;
      std::size_t erase_at;
      void* allocate() noexcept {
        if (erase_at-- == 0) planted.tree.erase(0, 511, planted.nodes, nobody);
        return planted.nodes.allocate();
      }
      void deallocate(void* node) noexcept { planted.nodes.deallocate(node); }
    } source{planted, at};
    constexpr std::uint64_t kFar = std::uint64_t{1} << 27;
    Slot* const slot = planted.tree.find_or_add(kFar, source);
    ASSERT_NE(slot, nullptr);
    slot->store(2);
    EXPECT_EQ(planted.tree.find(1), nullptr) << at;
    EXPECT_EQ(planted.filled(0, kMax), std::vector<std::uint64_t>{kFar});
  }
}

TEST(RadixTree, PruneTakesTheEmptyLeafAndWhatItLeavesEmpty) {
  Planted<> planted;
  planted.set(0, 1);
  planted.set(std::uint64_t{1} << 30, 1);
  EXPECT_EQ(planted.tree.nodes(), 7u);  // a root, and two paths of three
  EXPECT_EQ(planted.tree.prune(0, planted.nodes, is_zero, nobody), 0u) << "not empty";
  planted.tree.find(0)->store(0);
  std::pair<std::uint64_t, std::uint64_t> range;
  const auto quiesce = [&](std::uint64_t first, std::uint64_t last) {
    range = {first, last};
    EXPECT_EQ(planted.tree.find(0), nullptr) << "unlinked before readers are waited for";
    EXPECT_EQ(planted.nodes.out(), 7u) << "and freed after";
    return true;
  };
  EXPECT_EQ(planted.tree.prune(5, planted.nodes, is_zero, quiesce), 3u);
  EXPECT_EQ(range, std::make_pair(std::uint64_t{0}, (std::uint64_t{1} << 27) - 1));
  EXPECT_EQ(planted.tree.nodes(), 4u);
  planted.tree.find(std::uint64_t{1} << 30)->store(0);
  EXPECT_EQ(planted.tree.prune(std::uint64_t{1} << 30, planted.nodes, is_zero, nobody), 4u);
  EXPECT_TRUE(planted.tree.empty());
  planted.set(9, 1);
  EXPECT_EQ(planted.tree.nodes(), 1u) << "an emptied tree starts low again";
}

TEST(RadixTree, PruneStaysInsideItsRange) {
  Planted<> planted;
  planted.set(std::uint64_t{1} << 30, 0);
  const std::uint64_t index = std::uint64_t{1} << 30;
  EXPECT_EQ(planted.tree.prune(index, index, index + 510, planted.nodes, is_zero, nobody), 0u);
  EXPECT_EQ(planted.tree.prune(index, index + 1, index + 511, planted.nodes, is_zero, nobody), 0u);
  EXPECT_EQ(planted.tree.prune(index, index, index + 511, planted.nodes, is_zero, nobody), 1u);
  EXPECT_EQ(planted.tree.nodes(), 3u);
  EXPECT_EQ(planted.tree.prune(index, index, index + 512 * 512 - 1, planted.nodes, is_zero, nobody),
            1u)
      << "an interior node left empty goes by its place";
  EXPECT_EQ(planted.tree.prune(index, planted.nodes, is_zero, nobody), 2u);
}

TEST(RadixTree, PruneThatIsRefusedPutsTheNodesBack) {
  Planted<> planted;
  planted.set(0, 1);
  for (const std::uint64_t index : {std::uint64_t{1} << 30, std::uint64_t{600}}) {
    Slot* const slot = planted.tree.find_or_add(index, planted.nodes);
    const std::size_t before = planted.tree.nodes();
    const auto refuse = [&](std::uint64_t, std::uint64_t) {
      EXPECT_EQ(planted.tree.find(index), nullptr);
      return false;
    };
    EXPECT_EQ(planted.tree.prune(index, planted.nodes, is_zero, refuse), 0u);
    EXPECT_EQ(planted.tree.find(index), slot);
    EXPECT_EQ(planted.tree.nodes(), before);
  }
}

TEST(RadixTree, PruneSparesALeafThatAReaderInsideHasFilled) {
  Planted<> planted;
  Slot* const slot = planted.tree.find_or_add(600, planted.nodes);
  const auto fill = [&](std::uint64_t, std::uint64_t) {
    slot->store(1);
    return true;
  };
  EXPECT_EQ(planted.tree.prune(600, planted.nodes, is_zero, fill), 0u);
  EXPECT_EQ(planted.get(600), 1u);
}

// The root is in the hands of a prune of [0, 511] while somebody adds far outside.
TEST(RadixTree, PruneOfTheRootSurvivesGrowthMeanwhile) {
  for (const bool refused : {false, true}) {
    for (const std::uint64_t far : {std::uint64_t{512}, std::uint64_t{1} << 40, kMax}) {
      Planted<> planted;
      Slot* const slot = planted.tree.find_or_add(3, planted.nodes);
      const unsigned promised = planted.tree.nodes_missing(far);
      const auto quiesce = [&](std::uint64_t first, std::uint64_t last) {
        EXPECT_EQ(first, 0u);
        EXPECT_EQ(last, 511u);
        const std::size_t before = planted.nodes.taken();
        planted.set(far, 7);
        EXPECT_LE(planted.nodes.taken() - before, promised);
        return !refused;
      };
      EXPECT_EQ(planted.tree.prune(3, 0, 511, planted.nodes, is_zero, quiesce), refused ? 0u : 1u);
      EXPECT_EQ(planted.tree.find(3), refused ? slot : nullptr);
      EXPECT_EQ(planted.get(far), 7u);
    }
  }
}

}  // namespace
}  // namespace quire
