// quire::RadixTree<T>: an array of 2^64 slots, almost all of which are not there. A slot is any
// small fixed-size type that starts as its zero value and needs no destructor; look-up and growth
// take no lock. It stands alone: with radix_nodes.h and radix_readers.h, which it includes, it
// needs the standard library and nothing else of Quire.
//
//   quire::RadixTree<std::atomic<std::uint64_t>> tree;
//   quire::HeapNodes nodes;                                 // where the memory comes from
//   if (auto* slot = tree.find_or_add(1'000'000, nodes)) slot->store(7);
//   if (auto* slot = tree.find(1'000'000)) use(slot->load());
//   tree.clear(nodes);                                      // before the tree dies
//
// Its relative is the Linux kernel's genradix: the same fixed page-sized nodes, height in the low
// bits of the root pointer, growth by compare-and-swap. Beyond that one, this tree gives memory
// back (erase, prune) while look-ups run, iterates both ways, and takes its nodes from an object
// that every call names, so that they can be paid from somebody's budget.
//
// Shape. A leaf holds kLeafSlots slots, an interior node kFanOut pointers; each is kNodeBytes. The
// root word is a node address plus the height: 1 for a leaf, n + 1 for a node over nodes of height
// n. A node of height h covers the 2^shift(h) indices that differ only in their low shift(h) bits;
// a root covers those from 0. A tree whose height is too small for an index grows by putting a new
// root over the old one.
//
// Who may call what, at the same time as what:
//
//   method                    | may run beside                              | needs
//   --------------------------+---------------------------------------------+---------------------
//   find, for_each*           | everything but clear and the destructor     | a reader guard (1)
//   find_or_add               | everything, erase and prune of *its* index  | nothing; a guard (1)
//                             | excepted                                    | to use the slot
//   nodes_missing             | as find                                     | a guard (1)
//   erase(first, last)        | everything, but find_or_add, erase and prune| those excluded by
//   prune(.., first, last ..) | inside [first, last]                        | the caller
//   nodes, empty              | everything                                  | nothing
//   clear, destructor         | nothing                                     | the tree to oneself
//
//   (1) only where an erase or prune may take the place away meanwhile. The guard is what the
//       `quiesce` given to erase and prune waits for: a RadixReaders::Guard, or one's own.
//
// Invariants:
//  1. A call for index x dereferences only nodes that cover x; a call for a range only nodes that
//     meet it. (So adders outside an erased range need no guard against the erase.)
//  2. A node is linked by one atomic write, fully initialised before it, and unlinked by one.
//  3. What a reachable node covers never changes. Growth alters no node, only the root word: to a
//     new node whose child 0 is the old root, or null if there was none (4).
//  4. A root word of null with a height stands only while prune has the root in its hands: growth
//     from it builds a chain of child 0 that a failed prune can put the old root back into.
//  5. A node goes back to its source only when it is unlinked and a quiesce that began after
//     unlinking it has said that no reader is inside. Nodes reachable from an unlinked one are
//     unreachable otherwise, and go with it.
//  6. nodes() = nodes taken from sources by this tree and not given back, except while a call is
//     underway.
//  7. Order: every shared access is sequentially consistent. Loads then cost nothing extra on the
//     usual machines, stores are rare, and a guard needs only a sequentially consistent entry to be
//     ordered against unlinking.
#ifndef QUIRE_RADIX_TREE_H_
#define QUIRE_RADIX_TREE_H_

#include <array>
#include <bit>
#include <cassert>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <type_traits>

#include "quire/radix_nodes.h"
#include "quire/radix_readers.h"

namespace quire {

template <class T, class Traits = RadixTreeTraits>
class RadixTree {
 public:
  static constexpr std::size_t kNodeBytes = 4096;
  static_assert(sizeof(T) <= kNodeBytes, "a slot must fit a node");
  static_assert(alignof(T) <= kNodeBytes);
  static_assert(std::is_trivially_destructible_v<T>, "slots are dropped without being destroyed");
  static_assert(std::is_nothrow_default_constructible_v<T>);

  // Slots in a leaf, and pointers in an interior node: powers of two.
  static constexpr std::size_t kLeafSlots = std::bit_floor(kNodeBytes / sizeof(T));
  static constexpr std::size_t kFanOut =
      std::bit_floor(kNodeBytes / sizeof(typename Traits::template Atomic<void*>));
  static constexpr std::uint64_t kIndexMax = std::numeric_limits<std::uint64_t>::max();

  RadixTree() = default;
  RadixTree(const RadixTree&) = delete;
  RadixTree& operator=(const RadixTree&) = delete;
  // REQUIRES: empty(). A tree does not know whom its nodes belong to; clear() does.
  ~RadixTree() { assert(empty() && "clear() the tree before it dies"); }

  // The slot of `index`, or null where no leaf is.
  T* find(std::uint64_t index) const noexcept {
    const std::uintptr_t word = root_.load();
    void* node = node_of(word);
    unsigned height = height_of(word);
    if (node == nullptr || index > last_covered(0, height)) return nullptr;
    for (unsigned shift = shift_of(height); height > 1; --height) {
      shift -= kFanOutShift;
      node = interior(node)->child[(index >> shift) & (kFanOut - 1)].load();
      if (node == nullptr) return nullptr;
    }
    return slot(node, index);
  }

  // The slot of `index`, made if need be. Null: `source` ran dry; what was built until then stays
  // in the tree (nodes() counts it) and a later call goes on from there.
  template <NodeSource S>
  T* find_or_add(std::uint64_t index, S& source) noexcept {
    SpareNode<S> spare(source);
    const unsigned height_needed = height_for(index);
    std::uintptr_t word = root_.load();
    while (height_of(word) < height_needed || node_of(word) == nullptr) {
      void* const memory = spare.take();
      if (memory == nullptr) return nullptr;
      const unsigned height = height_of(word);
      unsigned new_height;
      if (height != 0 && height < height_needed) {
        new_height = height + 1;
        construct(memory, new_height);
        interior(memory)->child[0].store(node_of(word));
      } else {
        new_height = height == 0 ? height_needed : height;
        construct(memory, new_height);
      }
      const std::uintptr_t grown = word_of(memory, new_height);
      // Should the same root have gone and come back meanwhile, the new node is right again.
      if (root_.compare_exchange_strong(word, grown)) {
        nodes_.fetch_add(1);
        word = grown;
      } else {
        destruct(memory, new_height);
        spare.put_back(memory);
      }
    }

    void* node = node_of(word);
    unsigned height = height_of(word);
    for (unsigned shift = shift_of(height); height > 1; --height) {
      shift -= kFanOutShift;
      Link& link = interior(node)->child[(index >> shift) & (kFanOut - 1)];
      void* child = link.load();
      if (child == nullptr) {
        void* const memory = spare.take();
        if (memory == nullptr) return nullptr;
        construct(memory, height - 1);
        if (link.compare_exchange_strong(child, memory)) {
          nodes_.fetch_add(1);
          child = memory;
        } else {
          destruct(memory, height - 1);
          spare.put_back(memory);  // `child` is what somebody else put there
        }
      }
      node = child;
    }
    return slot(node, index);
  }

  // At most so many nodes would find_or_add(index) take from its source. Other threads' adds, and
  // erases and prunes elsewhere, do not raise it; an erase or prune of this index may.
  unsigned nodes_missing(std::uint64_t index) const noexcept {
    const std::uintptr_t word = root_.load();
    void* node = node_of(word);
    unsigned height = height_of(word);
    const unsigned needed = height_for(index);
    if (node == nullptr || height < needed) {
      // The worst case: somebody makes a leaf the root first. Then needed - 1 roots go over it, and
      // below the last one needed - 1 nodes towards the index, which is not under its child 0.
      const unsigned grown = needed == 1 ? 1 : 2 * (needed - 1);
      return grown > height ? grown : height;
    }
    for (unsigned shift = shift_of(height); height > 1; --height) {
      shift -= kFanOutShift;
      node = interior(node)->child[(index >> shift) & (kFanOut - 1)].load();
      if (node == nullptr) return height - 1;
    }
    return 0;
  }

  // Calls visit(index, slot) for every slot of the leaves that exist in [first, last], ascending,
  // until it returns false. False if it did. A leaf that is there all the while is visited; one
  // that comes or goes meanwhile may be.
  template <class F>
  requires std::is_invocable_r_v<bool, F&, std::uint64_t, T&>
  bool for_each(std::uint64_t first, std::uint64_t last, F&& visit) const {
    return walk<false>(first, last, visit);
  }

  // The same, descending.
  template <class F>
  requires std::is_invocable_r_v<bool, F&, std::uint64_t, T&>
  bool for_each_reverse(std::uint64_t first, std::uint64_t last, F&& visit) const {
    return walk<true>(first, last, visit);
  }

  // Gives back the leaf of `index` if is_empty(slot) holds for each of its slots, together with the
  // interior nodes above that cover nothing else, as far as they lie in [first, last]. Where there
  // is no leaf, empty interior nodes above its place go alike. Returns the number of nodes given
  // back.
  //
  // The nodes are unlinked by one write; then quiesce(first_index, last_index) is asked, with the
  // range they cover, whether no reader can be inside any more. If it says false, or a reader that
  // was inside has filled a slot, they are linked again, and nothing has changed except that
  // look-ups found nothing there for a while.
  //
  // REQUIRES: no find_or_add, erase or prune inside [first, last] meanwhile.
  template <NodeSource S, class IsEmpty, class Quiesce>
  requires std::predicate<IsEmpty&, T&> &&
      std::is_invocable_r_v<bool, Quiesce&, std::uint64_t, std::uint64_t>
          std::size_t prune(std::uint64_t index, std::uint64_t first, std::uint64_t last, S& source,
                            IsEmpty&& is_empty, Quiesce&& quiesce) {
    Path path;
    do {
      if (!find_prunable(index, first, last, is_empty, path)) return 0;
    } while (!unlink(index, path));

    const std::uint64_t unlinked_first = first_covered(index, path.top);
    const std::uint64_t unlinked_last = last_covered(index, path.top);
    if (!quiesce(unlinked_first, unlinked_last) ||
        !is_empty_node(path.node[path.bottom], path.bottom, is_empty)) {
      relink(index, path);
      return 0;
    }
    if (path.top == path.height) {
      std::uintptr_t held = word_of(nullptr, path.height);
      root_.compare_exchange_strong(held, 0);  // or the tree has grown over it
    }
    for (unsigned height = path.bottom; height <= path.top; ++height) {
      give_back(path.node[height], height, source);
    }
    return path.top - path.bottom + 1;
  }

  // The same, as far up as the tree goes. REQUIRES: no find_or_add, erase or prune at all
  // meanwhile.
  template <NodeSource S, class IsEmpty, class Quiesce>
  std::size_t prune(std::uint64_t index, S& source, IsEmpty&& is_empty, Quiesce&& quiesce) {
    return prune(index, 0, kIndexMax, source, is_empty, quiesce);
  }

  // Empties [first, last]: gives back every node that lies inside it and sets the other slots in it
  // to zero. Returns the number of nodes given back. Interior nodes that are left empty but reach
  // beyond the range stay; prune takes them.
  //
  // quiesce(first_index, last_index) is called after nodes were unlinked, once for at most
  // kEraseBatch subtrees, and again until it returns true: it must wait, and its waits must end.
  // Zeroed slots are stored to if T has a store(), so that readers may run; else they are made
  // anew, and the caller excludes readers of these slots too.
  //
  // REQUIRES: first <= last; no find_or_add, erase or prune inside [first, last] meanwhile.
  template <NodeSource S, class Quiesce>
  requires std::is_invocable_r_v<bool, Quiesce&, std::uint64_t, std::uint64_t> std::size_t erase(
      std::uint64_t first, std::uint64_t last, S& source, Quiesce&& quiesce) {
    assert(first <= last);
    Batch<S, Quiesce> batch(*this, source, quiesce);
    std::uintptr_t word = root_.load();
    while (node_of(word) != nullptr && first <= last_covered(0, height_of(word))) {
      const std::uint64_t root_last = last_covered(0, height_of(word));
      if (first > 0 || last < root_last) {
        erase_below(node_of(word), height_of(word), 0, first, last < root_last ? last : root_last,
                    batch);
        break;
      }
      const std::uintptr_t whole = word;
      if (root_.compare_exchange_strong(word, 0)) {
        batch.add(node_of(whole), height_of(whole), 0);
        break;
      }
    }
    return batch.flush();
  }

  // Gives every node back. REQUIRES: nothing else runs on this tree.
  template <NodeSource S>
  void clear(S& source) {
    const std::uintptr_t word = root_.exchange(0);
    if (node_of(word) != nullptr) give_back_subtree(node_of(word), height_of(word), source);
  }

  // Nodes that the tree holds.
  std::size_t nodes() const noexcept { return nodes_.load(); }
  // True if it holds none.
  bool empty() const noexcept { return nodes() == 0; }

  // The range of the leaf that holds `index`.
  static constexpr std::uint64_t leaf_first(std::uint64_t index) noexcept {
    return first_covered(index, 1);
  }
  static constexpr std::uint64_t leaf_last(std::uint64_t index) noexcept {
    return last_covered(index, 1);
  }

  // Subtrees that erase() keeps unlinked before it waits for readers.
  static constexpr std::size_t kEraseBatch = 128;

 private:
  template <class U>
  using Atomic = typename Traits::template Atomic<U>;
  using Link = Atomic<void*>;

  struct Interior {
    Link child[kFanOut];
  };
  static_assert(sizeof(Interior) <= kNodeBytes && kFanOut >= 2);

  static constexpr unsigned kLeafShift = std::countr_zero(kLeafSlots);
  static constexpr unsigned kFanOutShift = std::countr_zero(kFanOut);
  static constexpr unsigned kIndexBits = 64;

  // Index bits that a node of this height resolves; 64 and more: all.
  static constexpr unsigned shift_of(unsigned height) noexcept {
    return kLeafShift + (height - 1) * kFanOutShift;
  }
  static constexpr unsigned kHeightMax =
      1 + (kIndexBits - kLeafShift + kFanOutShift - 1) / kFanOutShift;
  static constexpr std::uintptr_t kHeightMask = 127;
  static_assert(shift_of(kHeightMax) >= kIndexBits && shift_of(kHeightMax - 1) < kIndexBits);
  static_assert(kHeightMax <= kHeightMask && kHeightMask < kNodeBytes);

  // First and last index of the node of this height that covers `index`.
  static constexpr std::uint64_t first_covered(std::uint64_t index, unsigned height) noexcept {
    const unsigned shift = shift_of(height);
    return shift >= kIndexBits ? 0 : index >> shift << shift;
  }
  static constexpr std::uint64_t last_covered(std::uint64_t index, unsigned height) noexcept {
    const unsigned shift = shift_of(height);
    return shift >= kIndexBits ? kIndexMax : index | ((std::uint64_t{1} << shift) - 1);
  }
  // The least height of a root that covers `index`.
  static constexpr unsigned height_for(std::uint64_t index) noexcept {
    const unsigned bits = kIndexBits - static_cast<unsigned>(std::countl_zero(index));
    return bits <= kLeafShift ? 1 : 1 + (bits - kLeafShift + kFanOutShift - 1) / kFanOutShift;
  }

  static std::uintptr_t word_of(void* node, unsigned height) noexcept {
    return reinterpret_cast<std::uintptr_t>(node) | height;
  }
  static void* node_of(std::uintptr_t word) noexcept {
    return reinterpret_cast<void*>(word & ~kHeightMask);
  }
  static unsigned height_of(std::uintptr_t word) noexcept {
    return static_cast<unsigned>(word & kHeightMask);
  }
  static Interior* interior(void* node) noexcept {
    return std::launder(static_cast<Interior*>(node));
  }
  static T* slot(void* leaf, std::uint64_t index) noexcept {
    return std::launder(static_cast<T*>(leaf)) + (index & (kLeafSlots - 1));
  }

  static void construct(void* memory, unsigned height) noexcept {
    assert(reinterpret_cast<std::uintptr_t>(memory) % kNodeBytes == 0);
    if (height > 1) {
      ::new (memory) Interior();
    } else {
      std::uninitialized_value_construct_n(static_cast<T*>(memory), kLeafSlots);
    }
  }
  static void destruct(void* node, unsigned height) noexcept {
    if (height > 1) std::destroy_at(interior(node));
  }

  static void zero(T& value) noexcept {
    if constexpr (requires { value.store({}); }) {
      value.store({});
    } else {
      std::destroy_at(&value);
      ::new (static_cast<void*>(&value)) T();
    }
  }

  template <bool kReverse, class F>
  bool walk(std::uint64_t first, std::uint64_t last, F& visit) const {
    const std::uintptr_t word = root_.load();
    if (node_of(word) == nullptr) return true;
    const std::uint64_t root_last = last_covered(0, height_of(word));
    if (last > root_last) last = root_last;
    if (first > last) return true;
    return walk_below<kReverse>(node_of(word), height_of(word), 0, first, last, visit);
  }

  // REQUIRES: [first, last] lies in the node, whose first index is `base`.
  template <bool kReverse, class F>
  static bool walk_below(void* node, unsigned height, std::uint64_t base, std::uint64_t first,
                         std::uint64_t last, F& visit) {
    const unsigned shift = height == 1 ? 0 : shift_of(height - 1);
    const std::size_t begin = static_cast<std::size_t>((first - base) >> shift);
    const std::size_t end = static_cast<std::size_t>((last - base) >> shift);
    for (std::size_t n = 0; n <= end - begin; ++n) {
      const std::size_t i = kReverse ? end - n : begin + n;
      if (height == 1) {
        if (!visit(base + i, *slot(node, i))) return false;
        continue;
      }
      void* const child = interior(node)->child[i].load();
      if (child == nullptr) continue;
      const std::uint64_t child_base = base + (std::uint64_t{i} << shift);
      const std::uint64_t child_last = last_covered(child_base, height - 1);
      if (!walk_below<kReverse>(child, height - 1, child_base,
                                first > child_base ? first : child_base,
                                last < child_last ? last : child_last, visit)) {
        return false;
      }
    }
    return true;
  }

  // The nodes of the tree that cover an index, by height: those from `bottom` to `top` can go.
  struct Path {
    std::array<void*, kHeightMax + 1> node;
    unsigned height;  // of the tree
    unsigned bottom;
    unsigned top;
  };

  Link& link_to(std::uint64_t index, const Path& path, unsigned height) const noexcept {
    return interior(path.node[height + 1])->child[(index >> shift_of(height)) & (kFanOut - 1)];
  }

  template <class IsEmpty>
  static bool is_empty_node(void* node, unsigned height, IsEmpty& is_empty) {
    if (height == 1) {
      for (std::size_t i = 0; i < kLeafSlots; ++i) {
        if (!is_empty(*slot(node, i))) return false;
      }
      return true;
    }
    return !has_other_child(node, nullptr);
  }

  static bool has_other_child(void* node, const void* child) noexcept {
    for (Link& link : interior(node)->child) {
      const void* const there = link.load();
      if (there != nullptr && there != child) return true;
    }
    return false;
  }

  // False if nothing can go.
  template <class IsEmpty>
  bool find_prunable(std::uint64_t index, std::uint64_t first, std::uint64_t last,
                     IsEmpty& is_empty, Path& path) const {
    const std::uintptr_t word = root_.load();
    path.height = height_of(word);
    if (node_of(word) == nullptr || index > last_covered(0, path.height)) return false;
    const auto inside = [&](unsigned height) {
      return first <= first_covered(index, height) && last_covered(index, height) <= last;
    };
    path.bottom = path.height;
    path.node[path.bottom] = node_of(word);
    while (path.bottom > 1) {
      void* const child = link_to(index, path, path.bottom - 1).load();
      if (child == nullptr) break;
      path.node[--path.bottom] = child;
    }
    if (!inside(path.bottom) || !is_empty_node(path.node[path.bottom], path.bottom, is_empty)) {
      return false;
    }
    path.top = path.bottom;
    while (path.top < path.height && inside(path.top + 1) &&
           !has_other_child(path.node[path.top + 1], path.node[path.top])) {
      ++path.top;
    }
    return true;
  }

  // False if the tree has grown: the path is longer than it was.
  bool unlink(std::uint64_t index, const Path& path) noexcept {
    if (path.top < path.height) {
      link_to(index, path, path.top).store(nullptr);
      return true;
    }
    std::uintptr_t word = word_of(path.node[path.top], path.height);
    return root_.compare_exchange_strong(word, word_of(nullptr, path.height));
  }

  void relink(std::uint64_t index, const Path& path) noexcept {
    if (path.top < path.height) {
      link_to(index, path, path.top).store(path.node[path.top]);
      return;
    }
    std::uintptr_t word = word_of(nullptr, path.height);
    if (root_.compare_exchange_strong(word, word_of(path.node[path.top], path.height))) return;
    // The tree has grown meanwhile, from the null root: a chain of child 0 leads to its place.
    void* node = node_of(word);
    for (unsigned height = height_of(word); height > path.height + 1; --height) {
      node = interior(node)->child[0].load();
      assert(node != nullptr);
    }
    interior(node)->child[0].store(path.node[path.top]);
  }

  // Subtrees that are unlinked, ascending, and wait for their readers.
  template <class S, class Quiesce>
  class Batch {
   public:
    Batch(RadixTree& tree, S& source, Quiesce& quiesce)
        : tree_(tree), source_(source), quiesce_(quiesce) {}

    void add(void* node, unsigned height, std::uint64_t first) {
      if (count_ == kEraseBatch) flush();
      if (count_ == 0) first_ = first;
      last_ = last_covered(first, height);
      subtrees_[count_++] = {node, height};
    }

    // Returns the number of nodes given back so far.
    std::size_t flush() {
      if (count_ != 0) {
        while (!quiesce_(first_, last_)) {
        }
      }
      for (std::size_t i = 0; i < count_; ++i) {
        given_back_ += tree_.give_back_subtree(subtrees_[i].node, subtrees_[i].height, source_);
      }
      count_ = 0;
      return given_back_;
    }

   private:
    struct Subtree {
      void* node;
      unsigned height;
    };

    RadixTree& tree_;
    S& source_;
    Quiesce& quiesce_;
    std::array<Subtree, kEraseBatch> subtrees_;
    std::size_t count_ = 0;
    std::size_t given_back_ = 0;
    std::uint64_t first_ = 0;
    std::uint64_t last_ = 0;
  };

  // REQUIRES: [first, last] lies in the node, whose first index is `base`, and is not all of it.
  template <class B>
  static void erase_below(void* node, unsigned height, std::uint64_t base, std::uint64_t first,
                          std::uint64_t last, B& batch) {
    if (height == 1) {
      for (std::uint64_t i = first - base; i <= last - base; ++i) zero(*slot(node, i));
      return;
    }
    const unsigned shift = shift_of(height - 1);
    const std::size_t end = static_cast<std::size_t>((last - base) >> shift);
    for (std::size_t i = static_cast<std::size_t>((first - base) >> shift); i <= end; ++i) {
      Link& link = interior(node)->child[i];
      void* const child = link.load();
      if (child == nullptr) continue;
      const std::uint64_t child_base = base + (std::uint64_t{i} << shift);
      const std::uint64_t child_last = last_covered(child_base, height - 1);
      if (first <= child_base && child_last <= last) {
        link.store(nullptr);
        batch.add(child, height - 1, child_base);
      } else {
        erase_below(child, height - 1, child_base, first > child_base ? first : child_base,
                    last < child_last ? last : child_last, batch);
      }
    }
  }

  template <class S>
  void give_back(void* node, unsigned height, S& source) noexcept {
    destruct(node, height);
    nodes_.fetch_sub(1);
    source.deallocate(node);
  }

  // Returns the number of nodes given back. The depth of the recursion is the height.
  template <class S>
  std::size_t give_back_subtree(void* node, unsigned height, S& source) noexcept {
    std::size_t given_back = 1;
    if (height > 1) {
      for (Link& link : interior(node)->child) {
        void* const child = link.load();
        if (child != nullptr) given_back += give_back_subtree(child, height - 1, source);
      }
    }
    give_back(node, height, source);
    return given_back;
  }

  Atomic<std::uintptr_t> root_{0};
  Atomic<std::size_t> nodes_{0};
};

}  // namespace quire

#endif  // QUIRE_RADIX_TREE_H_
