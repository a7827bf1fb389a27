// S3-FIFO, LRU and CLOCK under the same loads.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "cache/clock_policy.h"
#include "cache/lru.h"
#include "cache/s3fifo.h"
#include "cache/test_policy.h"

namespace quire::cache {
namespace {

using policy_testing::hash_of;

// A cache of pages without the pages.
template <class Policy>
class Cache {
 public:
  explicit Cache(std::uint32_t frames) : policy_(frames), page_in_(frames) {
    for (std::uint32_t frame = frames; frame > 0;) free_.push_back(--frame);
  }

  // True if it was there.
  bool use(std::uint64_t page) {
    if (const auto found = frame_of_.find(page); found != frame_of_.end()) {
      policy_.touch(found->second);
      return true;
    }
    if (free_.empty()) {
      const auto drop = [this](std::uint32_t frame) {
        frame_of_.erase(page_in_[frame]);
        free_.push_back(frame);
        return Eviction::kEvicted;
      };
      EXPECT_EQ(policy_.evict(1, page_in_.size() * 8, drop), 1u);
    }
    const std::uint32_t frame = free_.back();
    free_.pop_back();
    policy_.insert(frame, hash_of(page));
    page_in_[frame] = page;
    frame_of_[page] = frame;
    return false;
  }

  // Uses [first, last) in turn. Returns the number of hits.
  std::size_t use(std::uint64_t first, std::uint64_t last) {
    std::size_t hits = 0;
    for (; first < last; ++first) hits += use(first) ? 1 : 0;
    return hits;
  }

  bool has(std::uint64_t page) const { return frame_of_.contains(page); }
  Policy& policy() { return policy_; }

 private:
  Policy policy_;
  std::vector<std::uint64_t> page_in_;
  std::vector<std::uint32_t> free_;
  std::unordered_map<std::uint64_t, std::uint32_t> frame_of_;
};

constexpr std::uint32_t kFrames = 1000;
constexpr std::uint64_t kHot = 500;
constexpr std::uint64_t kScan = 100000;  // the first page of the scan

template <class Policy>
std::size_t hot_pages_after_scan() {
  Cache<Policy> cache(kFrames);
  for (int i = 0; i < 10; ++i) cache.use(0, kHot);
  cache.use(kScan, kScan + 10 * kFrames);
  std::size_t survivors = 0;
  for (std::uint64_t page = 0; page < kHot; ++page) survivors += cache.has(page) ? 1 : 0;
  return survivors;
}

TEST(Policies, OneLongScanSparesTheHotSetOfS3FifoOnly) {
  EXPECT_EQ(hot_pages_after_scan<S3Fifo>(), kHot);
  EXPECT_EQ(hot_pages_after_scan<Lru>(), 0u);
  EXPECT_EQ(hot_pages_after_scan<ClockPolicy>(), 0u);
}

template <class Policy>
double loop_hit_rate() {
  Cache<Policy> cache(kFrames);
  constexpr std::uint64_t kLoop = kFrames * 12 / 10;
  std::size_t hits = 0;
  for (int i = 0; i < 50; ++i) hits += cache.use(0, kLoop);
  return static_cast<double>(hits) / (50 * kLoop);
}

TEST(Policies, ALoopLargerThanTheCacheBeatsLruAndClock) {
  EXPECT_EQ(loop_hit_rate<Lru>(), 0);
  EXPECT_EQ(loop_hit_rate<ClockPolicy>(), 0);
  EXPECT_GT(loop_hit_rate<S3Fifo>(), 0.3);
}

TEST(Policies, LruKeepsTheRecentlyUsed) {
  Cache<Lru> cache(3);
  cache.use(0, 3);
  cache.use(0);
  cache.use(3);
  EXPECT_TRUE(cache.has(0));
  EXPECT_FALSE(cache.has(1));
}

TEST(Policies, ClockGivesASecondChance) {
  Cache<ClockPolicy> cache(3);
  cache.use(0, 3);
  cache.use(0);
  cache.use(3);
  EXPECT_TRUE(cache.has(0));
  EXPECT_FALSE(cache.has(1));
  cache.use(4, 6);
  EXPECT_FALSE(cache.has(0));
}

}  // namespace
}  // namespace quire::cache
