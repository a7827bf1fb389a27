#include "cache/ghost.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>

#include "cache/test_policy.h"

namespace quire::cache {
namespace {

using policy_testing::hash_of;

TEST(Ghost, RemembersTheLastAndNoMore) {
  constexpr std::uint32_t kCapacity = 1000;
  Ghost ghost(kCapacity);
  const auto print = [](std::uint64_t page) {
    return static_cast<std::uint32_t>(hash_of(page) >> 32);
  };
  for (std::uint64_t page = 0; page < 5 * kCapacity; ++page) ghost.remember(print(page));
  std::size_t known = 0;
  for (std::uint64_t page = 0; page < 4 * kCapacity; ++page) {
    EXPECT_FALSE(ghost.recall(print(page))) << page;
  }
  for (std::uint64_t page = 4 * kCapacity; page < 5 * kCapacity; ++page) {
    known += ghost.recall(print(page)) ? 1 : 0;
  }
  EXPECT_GT(known, kCapacity * 9 / 10) << "few are lost to full buckets";
  EXPECT_FALSE(ghost.recall(print(5 * kCapacity - 1))) << "recalling forgets";
}

TEST(Ghost, RememberingAgainMakesYoung) {
  Ghost ghost(4);
  ghost.remember(1);
  for (std::uint32_t other = 2; other < 5; ++other) ghost.remember(other << 20);
  ghost.remember(1);
  for (std::uint32_t other = 5; other < 8; ++other) ghost.remember(other << 20);
  EXPECT_TRUE(ghost.recall(1));
  EXPECT_FALSE(ghost.recall(1));
}

TEST(Ghost, RememberingTwiceIsRememberingOnce) {
  Ghost ghost(4);
  ghost.remember(1);
  ghost.remember(1);
  EXPECT_TRUE(ghost.recall(1));
  EXPECT_FALSE(ghost.recall(1));
}

TEST(Ghost, KnowsNothingAtFirst) {
  Ghost ghost(1);
  EXPECT_FALSE(ghost.recall(0));
  ghost.remember(0);
  EXPECT_TRUE(ghost.recall(0));
}

}  // namespace
}  // namespace quire::cache
