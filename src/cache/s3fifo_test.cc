#include "cache/s3fifo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "cache/test_policy.h"
#include "sync/thread.h"

namespace quire::cache {
namespace {

using policy_testing::hash_of;
using testing::ElementsAre;

// What evict() offers, all of it evicted.
std::vector<std::uint32_t> evict_all(S3Fifo& policy) {
  std::vector<std::uint32_t> order;
  policy.evict(1000, 1000, [&](std::uint32_t frame) {
    order.push_back(frame);
    return Eviction::kEvicted;
  });
  return order;
}

TEST(S3Fifo, UnusedPagesGoInOrderOfInsertion) {
  S3Fifo policy(10);
  for (const std::uint32_t frame : {4u, 2u, 9u, 0u}) policy.insert(frame, hash_of(frame));
  EXPECT_EQ(policy.small_size(), 4u);
  EXPECT_THAT(evict_all(policy), ElementsAre(4, 2, 9, 0));
  EXPECT_EQ(policy.size(), 0u);
  EXPECT_FALSE(policy.contains(9));
}

TEST(S3Fifo, UsedTwiceStaysOnceDoesNot) {
  S3Fifo policy(20);
  for (std::uint32_t frame = 0; frame < 10; ++frame) policy.insert(frame, hash_of(frame));
  policy.touch(0);
  policy.touch(1);
  policy.touch(1);
  std::vector<std::uint32_t> order;
  EXPECT_EQ(policy.evict(3, 100,
                         [&](std::uint32_t frame) {
                           order.push_back(frame);
                           return Eviction::kEvicted;
                         }),
            3u);
  EXPECT_THAT(order, ElementsAre(0, 2, 3));
  EXPECT_EQ(policy.main_size(), 1u);
  EXPECT_TRUE(policy.contains(1));
}

TEST(S3Fifo, APageThatComesBackGoesToMain) {
  S3Fifo policy(10);
  policy.insert(0, hash_of(77));
  EXPECT_THAT(evict_all(policy), ElementsAre(0));
  policy.insert(5, hash_of(77));
  EXPECT_EQ(policy.main_size(), 1u);
  EXPECT_EQ(policy.ghost_hits(), 1u);
  EXPECT_THAT(evict_all(policy), ElementsAre(5));
  policy.insert(5, hash_of(77));
  EXPECT_EQ(policy.small_size(), 1u) << "main's victims are not remembered";
}

TEST(S3Fifo, MainGivesAnotherRoundForEachUse) {
  S3Fifo policy(10);
  for (std::uint32_t frame = 0; frame < 3; ++frame) {
    policy.insert(frame, hash_of(frame));
    evict_all(policy);
  }
  for (std::uint32_t frame = 0; frame < 3; ++frame) policy.insert(frame, hash_of(frame));
  ASSERT_EQ(policy.main_size(), 3u);
  for (int i = 0; i < 100; ++i) policy.touch(0);  // counts as three
  policy.touch(1);
  EXPECT_THAT(evict_all(policy), ElementsAre(2, 1, 0));
}

TEST(S3Fifo, UsesAreForgottenWithThePage) {
  S3Fifo policy(10);
  policy.insert(0, hash_of(1));
  policy.touch(0);
  policy.touch(0);
  policy.remove(0);
  policy.touch(0);  // late, by somebody who still held the old page
  policy.touch(0);
  policy.insert(0, hash_of(2));
  policy.insert(1, hash_of(3));
  EXPECT_THAT(evict_all(policy), ElementsAre(0, 1));
}

TEST(S3Fifo, UsesAreForgottenOnTheWayToMain) {
  S3Fifo policy(10);
  for (std::uint32_t frame = 0; frame < 10; ++frame) policy.insert(frame, hash_of(frame));
  for (std::uint32_t frame = 0; frame < 10; ++frame) {
    for (int i = 0; i < 3; ++i) policy.touch(frame);
  }
  std::size_t looks = 0;
  while (policy.main_size() < 10) {
    ASSERT_LT(looks++, 10u);
    policy.evict(1, 1, [](std::uint32_t) { return Eviction::kEvicted; });
  }
  std::vector<std::uint32_t> order;
  policy.evict(1, 1, [&](std::uint32_t frame) {
    order.push_back(frame);
    return Eviction::kEvicted;
  });
  EXPECT_THAT(order, ElementsAre(0)) << "the first look at main already evicts";
}

TEST(S3Fifo, RemoveTakesAnyFrameOutAndLeavesNoGhost) {
  S3Fifo policy(10);
  for (std::uint32_t frame = 0; frame < 6; ++frame) policy.insert(frame, hash_of(frame));
  for (const std::uint32_t frame : {3u, 0u, 5u}) {
    policy.remove(frame);
    EXPECT_FALSE(policy.contains(frame));
  }
  EXPECT_EQ(policy.size(), 3u);
  EXPECT_THAT(evict_all(policy), ElementsAre(1, 2, 4));
  policy.insert(3, hash_of(3));
  EXPECT_EQ(policy.small_size(), 1u);
  EXPECT_EQ(policy.ghost_hits(), 0u);
}

TEST(S3Fifo, BusyFramesAreOfferedOnceAndStay) {
  S3Fifo policy(10);
  for (std::uint32_t frame = 0; frame < 5; ++frame) policy.insert(frame, hash_of(frame));
  std::vector<std::uint32_t> offered;
  EXPECT_EQ(policy.evict(5, 1000,
                         [&](std::uint32_t frame) {
                           offered.push_back(frame);
                           return frame < 2 ? Eviction::kBusy : Eviction::kEvicted;
                         }),
            3u);
  EXPECT_THAT(offered, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(policy.size(), 2u);
  EXPECT_THAT(evict_all(policy), ElementsAre(0, 1));
}

TEST(S3Fifo, ABusySmallQueueDoesNotHideMain) {
  S3Fifo policy(20);
  policy.insert(0, hash_of(0));
  evict_all(policy);
  policy.insert(0, hash_of(0));  // in main
  for (std::uint32_t frame = 1; frame < 10; ++frame) policy.insert(frame, hash_of(frame));
  EXPECT_EQ(policy.evict(1, 1000,
                         [](std::uint32_t frame) {
                           return frame == 0 ? Eviction::kEvicted : Eviction::kBusy;
                         }),
            1u);
  EXPECT_FALSE(policy.contains(0));
}

TEST(S3Fifo, ABusyMainDoesNotHideASmallQueueBelowItsShare) {
  S3Fifo policy(40);
  for (int pass = 0; pass < 2; ++pass) {
    for (std::uint32_t frame = 0; frame < 20; ++frame) policy.insert(frame, hash_of(frame));
    if (pass == 0) evict_all(policy);
  }
  policy.insert(30, hash_of(30));
  ASSERT_EQ(policy.main_size(), 20u);
  ASSERT_LT(policy.small_size() * S3Fifo::kSmallShare, policy.size());
  EXPECT_EQ(policy.evict(1, 1000,
                         [](std::uint32_t frame) {
                           return frame == 30 ? Eviction::kEvicted : Eviction::kBusy;
                         }),
            1u);
}

TEST(S3Fifo, ASmallQueueBelowItsShareIsSpared) {
  S3Fifo policy(40);
  for (int pass = 0; pass < 2; ++pass) {
    for (std::uint32_t frame = 0; frame < 20; ++frame) policy.insert(frame, hash_of(frame));
    if (pass == 0) evict_all(policy);
  }
  policy.insert(30, hash_of(30));
  std::vector<std::uint32_t> order;
  policy.evict(15, 1000, [&](std::uint32_t frame) {
    order.push_back(frame);
    return Eviction::kEvicted;
  });
  ASSERT_EQ(order.size(), 15u);
  // Small has one of 21 frames; it is a tenth when eleven have gone.
  EXPECT_EQ(order[10], 10u);
  EXPECT_EQ(order[11], 30u);
  EXPECT_EQ(order[12], 11u);
}

TEST(S3Fifo, StopKeepsTheFrameFirstInTurn) {
  S3Fifo policy(10);
  for (std::uint32_t frame = 0; frame < 4; ++frame) policy.insert(frame, hash_of(frame));
  int offers = 0;
  EXPECT_EQ(policy.evict(4, 100,
                         [&](std::uint32_t) {
                           return ++offers == 2 ? Eviction::kStop : Eviction::kEvicted;
                         }),
            1u);
  EXPECT_EQ(offers, 2);
  EXPECT_THAT(evict_all(policy), ElementsAre(1, 2, 3));
}

TEST(S3Fifo, StopsAtWantAndAtScanMax) {
  S3Fifo policy(100);
  for (std::uint32_t frame = 0; frame < 100; ++frame) policy.insert(frame, hash_of(frame));
  std::size_t offers = 0;
  const auto yes = [&](std::uint32_t) {
    ++offers;
    return Eviction::kEvicted;
  };
  EXPECT_EQ(policy.evict(7, 1000, yes), 7u);
  EXPECT_EQ(policy.evict(1000, 11, yes), 11u);
  EXPECT_EQ(policy.evict(0, 1000, yes), 0u);
  EXPECT_EQ(policy.evict(1000, 0, yes), 0u);
  EXPECT_EQ(offers, 18u);
  offers = 0;
  const auto busy = [&](std::uint32_t) {
    ++offers;
    return Eviction::kBusy;
  };
  EXPECT_EQ(policy.evict(1, 5, busy), 0u);
  EXPECT_EQ(offers, 5u);
  EXPECT_EQ(policy.evict(1, 100000, busy), 0u) << "each frame had its chance";
  EXPECT_EQ(offers, 5u + 82);
  // A look that only moves a page to main counts too.
  for (std::uint32_t frame = 0; frame < 100; ++frame) {
    policy.touch(frame);
    policy.touch(frame);
  }
  EXPECT_EQ(policy.evict(1, 5, yes), 0u);
  EXPECT_EQ(policy.main_size(), 5u);
}

TEST(S3Fifo, TouchesRunBesideEverything) {
  S3Fifo policy(64);
  std::vector<sync::Thread> threads;
  sync::Atomic<bool> done{false};
  for (int i = 0; i < 2; ++i) {
    threads.push_back(std::move(sync::Thread::start("touch", [&] {
                                  do {
                                    for (std::uint32_t f = 0; f < 64; ++f) policy.touch(f);
                                    sync::yield_thread();
                                  } while (!done.load());
                                }).value()));
  }
  for (std::uint64_t round = 0; round < 200; ++round) {
    for (std::uint32_t frame = 0; frame < 64; ++frame) policy.insert(frame, hash_of(round + frame));
    std::size_t evicted = 0;
    // Touched frames may use up their chances; what is left goes by remove().
    for (int i = 0; i < 3; ++i) {
      evicted += policy.evict(64, 1000, [](std::uint32_t) { return Eviction::kEvicted; });
    }
    for (std::uint32_t frame = 0; frame < 64; ++frame) {
      if (policy.contains(frame)) {
        policy.remove(frame);
        ++evicted;
      }
    }
    ASSERT_EQ(evicted, 64u);
    ASSERT_EQ(policy.size(), 0u);
  }
  done.store(true);
  for (sync::Thread& thread : threads) thread.join();
}

TEST(S3Fifo, CostsLessThanAHundredthOfAFrame) {
  EXPECT_LT(S3Fifo::bytes_per_frame() * 100, 4096u);
}

}  // namespace
}  // namespace quire::cache
