// Where the nodes of a RadixTree come from: an object that each call of the tree names.
#ifndef QUIRE_RADIX_NODES_H_
#define QUIRE_RADIX_NODES_H_

#include <concepts>
#include <cstddef>
#include <new>
#include <utility>

namespace quire {

// A source of nodes. allocate() gives RadixTree::kNodeBytes bytes aligned to as much, with any
// content, or null when there is no more. deallocate() takes them back. Both may be called from
// every thread that calls the tree with this source.
template <class S>
concept NodeSource =
    noexcept(std::declval<S&>().allocate()) && noexcept(std::declval<S&>().deallocate(nullptr)) &&
    std::same_as<decltype(std::declval<S&>().allocate()), void*>;

// The plain source: the heap.
struct HeapNodes {
  static constexpr std::size_t kNodeBytes = 4096;

  void* allocate() noexcept {
    return ::operator new (kNodeBytes, std::align_val_t{kNodeBytes}, std::nothrow);
  }
  void deallocate(void* node) noexcept { ::operator delete (node, std::align_val_t{kNodeBytes}); }
};

// A node that was taken and not used after all: taken again, or given back in the end.
template <NodeSource S>
class SpareNode {
 public:
  explicit SpareNode(S& source) : source_(source) {}
  SpareNode(const SpareNode&) = delete;
  SpareNode& operator=(const SpareNode&) = delete;
  ~SpareNode() {
    if (memory_ != nullptr) source_.deallocate(memory_);
  }

  void* take() noexcept {
    return memory_ != nullptr ? std::exchange(memory_, nullptr) : source_.allocate();
  }
  // REQUIRES: the node was the last that was taken.
  void put_back(void* memory) noexcept { memory_ = memory; }

 private:
  S& source_;
  void* memory_ = nullptr;
};

}  // namespace quire

#endif  // QUIRE_RADIX_NODES_H_
