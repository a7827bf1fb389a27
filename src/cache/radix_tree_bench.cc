// Look-ups in the radix tree beside those in std::unordered_map and std::map: 2^18 values, densely
// from 0 or each in a leaf of its own (dense, sparse), in ascending or random order. The maps hold
// no lock here, the tree needs none.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <numeric>
#include <random>
#include <unordered_map>
#include <vector>

#include "quire/radix_tree.h"

namespace {

using Tree = quire::RadixTree<std::atomic<std::uint64_t>>;

constexpr std::uint64_t kDenseStride = 1;
constexpr std::uint64_t kSparseStride = 4096;
constexpr std::uint64_t kDenseValues = std::uint64_t{1} << 18;
constexpr std::uint64_t kSparseValues = std::uint64_t{1} << 14;  // a node of 4 KiB each

std::vector<std::uint64_t> indices(std::uint64_t stride, bool shuffled) {
  std::vector<std::uint64_t> all(stride == kDenseStride ? kDenseValues : kSparseValues);
  std::iota(all.begin(), all.end(), std::uint64_t{0});
  for (std::uint64_t& index : all) index *= stride;
  if (shuffled) std::shuffle(all.begin(), all.end(), std::mt19937_64(1));
  return all;
}

class TreeOf {
 public:
  ~TreeOf() { tree_.clear(nodes_); }
  void add(std::uint64_t index) { tree_.find_or_add(index, nodes_)->store(index); }
  std::uint64_t find(std::uint64_t index) const {
    const std::atomic<std::uint64_t>* const slot = tree_.find(index);
    return slot == nullptr ? 0 : slot->load();
  }

 protected:
  Tree tree_;
  quire::HeapNodes nodes_;
};

// With a reader's guard around each look-up.
class GuardedTreeOf : public TreeOf {
 public:
  std::uint64_t find(std::uint64_t index) {
    auto guard = readers_.enter();
    return TreeOf::find(index);
  }

 private:
  quire::RadixReaders readers_;
};

template <class Map>
class MapOf {
 public:
  void add(std::uint64_t index) { map_.emplace(index, index); }
  std::uint64_t find(std::uint64_t index) const {
    const auto found = map_.find(index);
    return found == map_.end() ? 0 : found->second;
  }

 private:
  Map map_;
};

template <class Container>
void find(benchmark::State& state) {
  const auto stride = static_cast<std::uint64_t>(state.range(0));
  Container container;
  for (const std::uint64_t index : indices(stride, false)) container.add(index);
  const std::vector<std::uint64_t> order = indices(stride, state.range(1) != 0);
  std::size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(container.find(order[i]));
    if (++i == order.size()) i = 0;
  }
}

template <class Container>
void fill(benchmark::State& state) {
  const std::vector<std::uint64_t> order =
      indices(static_cast<std::uint64_t>(state.range(0)), state.range(1) != 0);
  for (auto _ : state) {
    Container container;
    for (const std::uint64_t index : order) container.add(index);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(order.size()));
}

void loads(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"stride", "random"});
  for (const std::uint64_t stride : {kDenseStride, kSparseStride}) {
    for (const int random : {0, 1}) bench->Args({static_cast<std::int64_t>(stride), random});
  }
}

using HashMap = MapOf<std::unordered_map<std::uint64_t, std::uint64_t>>;
using TreeMap = MapOf<std::map<std::uint64_t, std::uint64_t>>;

BENCHMARK(find<TreeOf>)->Apply(loads);
BENCHMARK(find<GuardedTreeOf>)->Apply(loads);
BENCHMARK(find<HashMap>)->Apply(loads);
BENCHMARK(find<TreeMap>)->Apply(loads);
BENCHMARK(fill<TreeOf>)->Apply(loads);
BENCHMARK(fill<HashMap>)->Apply(loads);
BENCHMARK(fill<TreeMap>)->Apply(loads);

}  // namespace

BENCHMARK_MAIN();
