// Pages held side by side for stores: which of them can be, and what becomes of them.
#include "cache/write_run.h"

#include <gtest/gtest.h>

#include <memory>

#include "cache/fill.h"
#include "cache/page_write.h"
#include "cache/test_pages.h"
#include "cache/test_views.h"

namespace quire::cache {
namespace {

constexpr std::uint64_t kPagesOfRun = 8;

class WriteRunTest : public testing::Test {
 protected:
  WriteRunTest() : file_(filled(kPagesOfRun * limits::kPageBytes, 'i')) {
    file_.cache->flusher().stop();
    views_ = std::make_shared<TestViews>(kPagesOfRun);
  }
  // Pages [first, end) are cached; where they can be mapped, if that was begun.
  void cache_pages(std::uint64_t first, std::uint64_t end) {
    for (; first < end; ++first) {
      PinnedRun run;
      ASSERT_FALSE(fill_run(*file_.pages, first, 1, {}, run));
    }
  }
  void begin() {
    auto begun = file_.pages->begin_mapped(views_);
    ASSERT_TRUE(begun.ok());
    mapped_ = std::move(*begun);
  }
  // How many pages can be held from the first on.
  std::size_t held() {
    WriteRun run(*file_.pages);
    run.try_begin(0, kPagesOfRun);
    return run.pages();
  }

  OneFile file_;
  std::shared_ptr<TestViews> views_;
  FilePages::Mapped mapped_;
};

// Fails if any of the looks is left out.
TEST_F(WriteRunTest, ItEndsAtAPageThatSomebodyIsAt) {
  cache_pages(6, 7);  // in a frame
  begin();
  cache_pages(0, 6);
  EXPECT_EQ(held(), 6u) << "one that lies in a frame would have to be moved";
  {
    PageWord& pinned = *file_.pages->find(5);
    PageValue value = pinned.load();
    ASSERT_TRUE(pinned.try_pin(value));
    EXPECT_EQ(held(), 5u);
    const Hazards::Guard reads(Hazards::slot_of_thread(), file_.pages->key(4));
    EXPECT_EQ(held(), 4u);
    PageWrite writes(*file_.pages);
    ASSERT_FALSE(writes.begin(3, 0, 8, {}));
    EXPECT_EQ(held(), 3u);
    writes.abandon();
    file_.pages->wake(5, pinned.unpin());
  }
  EXPECT_EQ(held(), 6u) << "what was held is as it was";
  EXPECT_EQ(file_.cache->dirty().taken(), 0u);
}

// Fails if a page that was dirty keeps both credits, or one that was let go is dirty.
TEST_F(WriteRunTest, WhatIsFinishedIsDirtyAndHasACredit) {
  begin();
  cache_pages(0, kPagesOfRun);
  ASSERT_FALSE(file_.write(1, 'w'));
  ASSERT_TRUE(file_.cache->dirty().try_take(3));
  {
    WriteRun run(*file_.pages);
    run.try_begin(0, 5);
    ASSERT_EQ(run.pages(), 5u);
    run.shrink(3);
    run.admit_stores();
    run.finish();
  }
  EXPECT_EQ(file_.cache->dirty().taken(), 3u);
  for (std::uint64_t page = 0; page < kPagesOfRun; ++page) {
    EXPECT_EQ(file_.value(page).dirty(), page < 3) << page;
  }
  EXPECT_EQ(held(), kPagesOfRun);
  mapped_ = {};
}

}  // namespace
}  // namespace quire::cache
