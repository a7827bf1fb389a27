// The dirty list by itself: its order, what take() finds, and how pages come back.
#include "cache/dirty_list.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "cache/frame_pool.h"

namespace quire::cache {
namespace {

using Order = std::vector<std::uint64_t>;

class DirtyListTest : public testing::Test {
 protected:
  ~DirtyListTest() override {
    (void)take({}, kPages);
    for (const FrameNumber frame : frames_) pool_->free(frame);
  }
  // Page `index` is in frame `index`.
  bool dirty(std::uint64_t index) { return list_.add(frames_[index]); }
  // The indices taken, in the order taken; the pages are in taken_.
  Order take(const DirtyList::Wanted& wanted, std::size_t pages_max, std::uint64_t busy = kPages) {
    taken_.clear();
    taken_.reserve(kPages);
    visited_ = 0;
    got_ = list_.take(wanted, pages_max, taken_, [&](const DirtyPage& page) {
      ++visited_;
      return page.index != busy;
    });
    Order indices;
    for (const DirtyPage& page : taken_) indices.push_back(page.index);
    return indices;
  }

  static constexpr std::uint64_t kPages = 64;
  std::unique_ptr<FramePool> pool_ = std::move(FramePool::create(kPages).value());
  std::vector<FrameNumber> frames_ = [this] {
    std::vector<FrameNumber> frames;
    for (std::uint64_t i = 0; i < kPages; ++i) {
      frames.push_back(pool_->allocate());
      pool_->descriptor(frames.back()).index.store(i);
    }
    return frames;
  }();
  DirtyList list_{*pool_};
  std::vector<DirtyPage> taken_;
  DirtyList::Taken got_;
  std::size_t visited_ = 0;
};

// Fails if put_back leaves a page that is listed again where it is: its older bytes are then newer than
// a sync wants them.
TEST_F(DirtyListTest, APageComesBackAsOldAsItWasAlsoIfItWasRewritten) {
  EXPECT_TRUE(dirty(0));
  EXPECT_FALSE(dirty(1));
  ASSERT_EQ(take({.last_index = 0}, 1), Order({0}));
  const DirtyPage old = taken_[0];
  const std::uint64_t newest = list_.newest_sequence();
  dirty(2);
  dirty(0);
  EXPECT_EQ(take({.newest_sequence = newest}, 0), Order());
  pool_->descriptor(frames_[0]).dirtied_at_ns = old.dirtied_at_ns + 1000000;
  EXPECT_FALSE(list_.put_back(old));
  EXPECT_EQ(list_.oldest().time_since_epoch().count(), old.dirtied_at_ns);
  EXPECT_EQ(list_.size(), 3u);
  EXPECT_EQ(take({.newest_sequence = newest}, kPages), Order({0, 1}));
  EXPECT_EQ(got_.newest_sequence, newest);
  EXPECT_EQ(take({}, kPages), Order({2}));
  EXPECT_TRUE(list_.put_back(old)) << "the list was empty";
}

// Fails if pages are put back at the front, or the place is looked for in one direction only.
TEST_F(DirtyListTest, PagesComeBackToTheirPlacesInAnyOrder) {
  Order all;
  for (std::uint64_t i = 0; i < kPages; ++i) {
    dirty(i);
    all.push_back(i);
  }
  std::vector<DirtyPage> away;
  for (std::uint64_t i = 0; i < kPages; i += 3) {
    ASSERT_EQ(take({.first_index = i, .last_index = i}, 1), Order({i}));
    away.push_back(taken_[0]);
  }
  // In strides, forth and back.
  for (std::size_t i = 0, at = 0; i < away.size(); ++i, at = (at + 9) % away.size()) {
    EXPECT_FALSE(list_.put_back(away[at]));
  }
  EXPECT_EQ(take({}, kPages), all);
}

// Fails if after_sequence is not looked at, or the neighbour of a removed page is forgotten.
TEST_F(DirtyListTest, APassGoesOnBehindWhatItPutBack) {
  for (std::uint64_t i = 0; i < 10; ++i) dirty(i);
  DirtyList::Wanted wanted;
  Order all;
  for (int turn = 0; turn < 3; ++turn) {
    for (const std::uint64_t index : take(wanted, 4)) all.push_back(index);
    wanted.after_sequence = got_.newest_sequence;
    for (const DirtyPage& page : taken_) list_.put_back(page);
    if (turn == 1) list_.remove(frames_[7]);  // the one put back last
  }
  EXPECT_EQ(all, Order({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

// Fails if take() goes on to pages newer than wanted, or past the last page of a narrow range.
TEST_F(DirtyListTest, TakeLooksNoFurtherThanAPageCanBe) {
  for (std::uint64_t i = 0; i < kPages; ++i) dirty(i);
  // Poisoned: if these are looked at they are wanted.
  for (std::uint64_t i = 10; i < 60; ++i) pool_->descriptor(frames_[i]).index.store(61);
  EXPECT_EQ(take({.first_index = 61, .last_index = 63}, 3, 61), Order({63, 62}));
  EXPECT_TRUE(got_.busy);
  EXPECT_EQ(got_.busy_page.index, 61u);
  EXPECT_EQ(visited_, 3u);
  pool_->descriptor(frames_[20]).dirty_sequence = 1;
  EXPECT_EQ(take({.newest_sequence = 10}, kPages - 1).size(), 10u);
  pool_->descriptor(frames_[20]).dirty_sequence = 21;
  for (std::uint64_t i = 10; i < 60; ++i) pool_->descriptor(frames_[i]).index.store(i);
}

}  // namespace
}  // namespace quire::cache
