// What the radix tree's tests share: sources that miss no lost node, and a tree that is emptied.
#ifndef QUIRE_CACHE_TEST_RADIX_TREE_H_
#define QUIRE_CACHE_TEST_RADIX_TREE_H_

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <limits>
#include <set>
#include <vector>

#include "quire/radix_tree.h"

namespace quire::radix_testing {

using Slot = std::atomic<std::uint64_t>;
using Tree = RadixTree<Slot>;

inline constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();

// The heap with a limit, which knows what is out.
class CountedNodes {
 public:
  explicit CountedNodes(std::size_t limit = kMax) : limit_(limit) {}
  ~CountedNodes() { EXPECT_EQ(out(), 0u) << "nodes were lost"; }

  void* allocate() noexcept {
    if (out_.fetch_add(1) >= limit_.load()) {
      out_.fetch_sub(1);
      return nullptr;
    }
    taken_.fetch_add(1);
    void* const node = heap_.allocate();
    std::memset(node, 0xa5, HeapNodes::kNodeBytes);  // any content
    return node;
  }
  void deallocate(void* node) noexcept {
    std::memset(node, 0x5a, HeapNodes::kNodeBytes);
    heap_.deallocate(node);
    out_.fetch_sub(1);
  }

  void limit(std::size_t nodes) { limit_ = nodes; }
  std::size_t out() const { return out_; }
  std::size_t taken() const { return taken_; }

 private:
  HeapNodes heap_;
  std::atomic<std::size_t> limit_;
  std::atomic<std::size_t> out_{0};
  std::atomic<std::size_t> taken_{0};
};

inline bool is_zero(const Slot& slot) {
  return slot.load() == 0;
}

// For trees that have no readers.
inline bool nobody(std::uint64_t, std::uint64_t) {
  return true;
}

// A tree with its source, emptied at the end.
template <class T = Slot>
struct Planted {
  RadixTree<T> tree;
  CountedNodes nodes;

  ~Planted() {
    EXPECT_EQ(tree.nodes(), nodes.out());
    tree.clear(nodes);
    EXPECT_TRUE(tree.empty());
  }
  void set(std::uint64_t index, std::uint64_t value) {
    Slot* const slot = tree.find_or_add(index, nodes);
    ASSERT_NE(slot, nullptr);
    slot->store(value);
  }
  std::uint64_t get(std::uint64_t index) const {
    const Slot* const slot = tree.find(index);
    return slot == nullptr ? 0 : slot->load();
  }
  std::vector<std::uint64_t> filled(std::uint64_t first, std::uint64_t last,
                                    bool reverse = false) const {
    std::vector<std::uint64_t> found;
    const auto visit = [&](std::uint64_t index, Slot& slot) {
      if (slot.load() != 0) found.push_back(index);
      return true;
    };
    EXPECT_TRUE(reverse ? tree.for_each_reverse(first, last, visit)
                        : tree.for_each(first, last, visit));
    return found;
  }
};

// The indices at which a tree of 8-byte slots gets one node higher, and their neighbours.
inline std::vector<std::uint64_t> boundaries() {
  std::set<std::uint64_t> all{0, 1, kMax, kMax - 1, kMax / 2, kMax / 2 + 1};
  for (unsigned bits = 9; bits < 64; bits += 9) {
    const std::uint64_t edge = std::uint64_t{1} << bits;
    all.insert({edge - 2, edge - 1, edge, edge + 1, 2 * edge - 1, 2 * edge});
  }
  return {all.begin(), all.end()};
}

}  // namespace quire::radix_testing

#endif  // QUIRE_CACHE_TEST_RADIX_TREE_H_
