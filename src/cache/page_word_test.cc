// The page word: every transition of the diagram, and the death of those that are not in it.
#include "cache/page_word.h"

#include <gtest/gtest.h>

namespace quire::cache {
namespace {

PageWord& in_state(PageWord& word, PageState state) {
  if (state == PageState::kAbsent) return word;
  EXPECT_TRUE(word.begin_fill(7));
  if (state == PageState::kFilling) return word;
  if (state == PageState::kClean) {
    (void)word.end_fill(0);
    return word;
  }
  (void)word.end_fill_dirty();
  if (state == PageState::kDirty) return word;
  EXPECT_TRUE(word.begin_writeback());
  if (state == PageState::kWriteback) return word;
  PageValue seen = word.load();
  EXPECT_TRUE(word.begin_write(seen));
  (void)word.end_write();
  return word;
}

constexpr PageState kAll[] = {PageState::kAbsent, PageState::kFilling,   PageState::kClean,
                              PageState::kDirty,  PageState::kWriteback, PageState::kRewritten};

TEST(PageWord, AStoreMakesCleanDirtyAndWritebackRewritten) {
  const std::pair<PageState, PageState> cases[] = {{PageState::kClean, PageState::kDirty},
                                                   {PageState::kDirty, PageState::kDirty},
                                                   {PageState::kWriteback, PageState::kRewritten},
                                                   {PageState::kRewritten, PageState::kRewritten}};
  for (const auto& [before, after] : cases) {
    PageWord word;
    in_state(word, before);
    PageValue seen = word.load();
    ASSERT_TRUE(word.begin_write(seen));
    EXPECT_FALSE(word.load().readable());
    (void)word.end_write();
    EXPECT_EQ(word.load().state(), after);
    EXPECT_EQ(word.load().frame(), 7u);
    EXPECT_TRUE(word.load().readable());
  }
}

TEST(PageWord, ACancelledStoreChangesNothing) {
  for (const PageState state : {PageState::kClean, PageState::kDirty, PageState::kRewritten}) {
    PageWord word;
    in_state(word, state);
    PageValue seen = word.load();
    const PageValue before = seen;
    ASSERT_TRUE(word.begin_write(seen));
    (void)word.cancel_write();
    EXPECT_EQ(word.load().bits, before.bits);
  }
}

// A page is `stored` from a store into it until it is dropped, whatever becomes of it at the store; one
// that was read, or only looked at for writing, is not.
TEST(PageWord, StoredTellsAPageThatWasStoredIntoFromOneThatWasRead) {
  PageWord word;
  ASSERT_TRUE(word.begin_fill(7));
  (void)word.end_fill(0);
  PageValue seen = word.load();
  ASSERT_TRUE(word.begin_write(seen));
  (void)word.cancel_write();
  EXPECT_FALSE(word.load().stored());
  seen = word.load();
  ASSERT_TRUE(word.begin_write(seen));
  (void)word.end_write();
  EXPECT_TRUE(word.load().stored());
  ASSERT_TRUE(word.begin_writeback());
  (void)word.end_writeback(true);
  EXPECT_EQ(word.load().state(), PageState::kClean);
  EXPECT_TRUE(word.load().stored());
  seen = word.load();
  ASSERT_TRUE(word.begin_evict(seen));
  (void)word.drop();
  ASSERT_TRUE(word.begin_fill(8));
  EXPECT_FALSE(word.load().stored());
  (void)word.end_fill_dirty();
  EXPECT_TRUE(word.load().stored());
}

TEST(PageWord, WritebackEndsCleanOnlyIfItSucceededAndNobodyStored) {
  for (const bool ok : {false, true}) {
    for (const bool rewritten : {false, true}) {
      PageWord word;
      in_state(word, rewritten ? PageState::kRewritten : PageState::kWriteback);
      (void)word.end_writeback(ok);
      EXPECT_EQ(word.load().state(), ok && !rewritten ? PageState::kClean : PageState::kDirty);
    }
  }
}

TEST(PageWord, OnlyADirtyPageThatNobodyHoldsGoesToWriteback) {
  for (const PageState state : kAll) {
    PageWord word;
    in_state(word, state);
    EXPECT_EQ(word.begin_writeback(), state == PageState::kDirty);
  }
  PageWord word;
  in_state(word, PageState::kDirty);
  PageValue seen = word.load();
  ASSERT_TRUE(word.begin_seal(seen));
  EXPECT_FALSE(word.begin_writeback());
  (void)word.unseal();
  seen = word.load();
  ASSERT_TRUE(word.begin_write(seen));
  EXPECT_FALSE(word.begin_writeback());
}

TEST(PageWord, OnlyCleanAndDirtyPagesAreSealedAndOnlyIdleCleanOnesEvicted) {
  for (const PageState state : kAll) {
    PageWord word;
    in_state(word, state);
    PageValue seen = word.load();
    EXPECT_EQ(word.begin_evict(seen), state == PageState::kClean);
    if (state == PageState::kClean) (void)word.unseal();
    seen = word.load();
    EXPECT_EQ(word.begin_seal(seen), state == PageState::kClean || state == PageState::kDirty);
  }
  PageWord word;
  in_state(word, PageState::kClean);
  PageValue seen = word.load();
  ASSERT_TRUE(word.try_pin(seen));
  seen = word.load();
  EXPECT_FALSE(word.begin_evict(seen)) << "pinned";
  EXPECT_TRUE(word.begin_seal(seen)) << "a sealer waits for pins afterwards";
  seen = word.load();
  EXPECT_FALSE(word.try_pin(seen));
  EXPECT_FALSE(word.begin_write(seen));
  EXPECT_FALSE(word.begin_seal(seen));
  (void)word.unpin();
  (void)word.drop();
  EXPECT_TRUE(word.load().absent());
}

TEST(PageWord, AFillThatFailsLeavesThePageAbsentAndOneThatEndsGivesPins) {
  PageWord word;
  in_state(word, PageState::kFilling);
  EXPECT_FALSE(word.begin_fill(8)) << "somebody was faster";
  (void)word.fail_fill();
  EXPECT_TRUE(word.load().absent());
  ASSERT_TRUE(word.begin_fill(9));
  (void)word.end_fill(3, PageValue::kMarker);
  EXPECT_EQ(word.load().pins(), 3u);
  EXPECT_TRUE(word.take_marker());
  EXPECT_FALSE(word.take_marker());
}

TEST(PageWord, WaitersAreToldOnceAndByTheLastPin) {
  PageWord word;
  in_state(word, PageState::kClean);
  PageValue seen = word.load();
  ASSERT_TRUE(word.try_pin(seen));
  seen = word.load();
  ASSERT_TRUE(word.try_pin(seen));
  seen = word.load();
  ASSERT_TRUE(word.announce_waiter(seen));
  EXPECT_FALSE(word.announce_waiter(seen)) << "the value has changed";
  EXPECT_FALSE(word.unpin().waiters());
  EXPECT_TRUE(word.load().waiters());
  EXPECT_TRUE(word.unpin().waiters());
  EXPECT_FALSE(word.load().waiters());
}

// A page in this state, held by one thread that is about to let go of it.
void hold(PageWord& word, PageState state) {
  in_state(word, PageState::kClean);
  PageValue seen = word.load();
  ASSERT_TRUE(word.begin_write(seen));
  if (state == PageState::kClean) return;
  (void)word.end_write(PageValue::kWatched);
  if (state == PageState::kWriteback) {
    ASSERT_TRUE(word.begin_writeback());
  }
  seen = word.load();
  ASSERT_TRUE(word.begin_write(seen));
}

// A page that a program loads through a view that watches is quiet only if it was clean, or is so already and the view
// tells of no store.
TEST(PageWord, OnlyACleanPageIsQuietWhenItComesIntoSight) {
  for (const bool stored : {false, true}) {
    PageWord word;
    hold(word, PageState::kClean);
    word.begin_watch();
    (void)word.end_watch(false);
    EXPECT_EQ(word.load().state(), PageState::kDirty);
    EXPECT_TRUE(word.load().watched() && word.load().quiet() && !word.load().stored());
    PageValue seen = word.load();
    ASSERT_TRUE(word.begin_write(seen));
    word.begin_watch();
    (void)word.end_watch(stored);
    EXPECT_EQ(word.load().quiet(), !stored);
    EXPECT_EQ(word.load().stored(), stored);
  }
  for (const PageState state : {PageState::kDirty, PageState::kWriteback}) {
    PageWord word;
    hold(word, state);
    word.begin_watch();
    (void)word.end_watch(false);
    EXPECT_TRUE(word.load().watched() && !word.load().quiet());
    EXPECT_EQ(word.load().state(),
              state == PageState::kDirty ? PageState::kDirty : PageState::kRewritten);
  }
}

// The program that was answered may store, and unmap, before the answer has come to its end. And the writeback that was
// under way may end in between.
TEST(PageWord, AViewMayGoBeforeThePageIsLetGo) {
  PageWord word;
  hold(word, PageState::kClean);
  word.begin_watch();
  word.note_stored();
  (void)word.end_watch(false);
  EXPECT_TRUE(word.load().watched() && !word.load().quiet());
  PageWord other;
  in_state(other, PageState::kWriteback);
  PageValue seen = other.load();
  ASSERT_TRUE(other.begin_write(seen));
  other.begin_watch();
  (void)other.end_writeback(true);
  (void)other.end_watch(false);
  EXPECT_EQ(other.load().state(), PageState::kDirty);
  EXPECT_TRUE(other.load().watched() && !other.load().quiet());
}

TEST(PageWord, AStoreMakesAPageNotQuiet) {
  PageWord word;
  hold(word, PageState::kClean);
  word.begin_watch();
  (void)word.end_watch(false);
  PageValue seen = word.load();
  ASSERT_TRUE(word.begin_write(seen));
  (void)word.end_write();
  EXPECT_TRUE(word.load().watched() && !word.load().quiet() && word.load().stored());
}

// What must go to the store, and what the page is when it has, or could not.
TEST(PageWord, AWatchedPageIsWrittenUnlessItIsQuietAndNothingWasStored) {
  for (const bool quiet : {false, true}) {
    for (const bool stored : {false, true}) {
      for (const bool keeps : {false, true}) {
        for (const bool ok : {false, true}) {
          PageWord word;
          hold(word, PageState::kClean);
          if (quiet) word.begin_watch();
          (void)(quiet ? word.end_watch(false) : word.end_write(PageValue::kWatched));
          ASSERT_TRUE(word.begin_writeback());
          PageValue seen = word.load();
          ASSERT_TRUE(word.try_pin(seen));
          EXPECT_EQ(keeps ? word.keep_watching(stored) : word.stop_watching(stored),
                    stored || !quiet);
          EXPECT_EQ(word.load().stored(), stored || !quiet);
          (void)word.unpin();
          (void)word.end_writeback(ok);
          EXPECT_EQ(word.load().state(), ok && !keeps ? PageState::kClean : PageState::kDirty);
          EXPECT_EQ(word.load().watched(), keeps);
          EXPECT_EQ(word.load().quiet(), keeps && ok);
        }
      }
    }
  }
}

// A page that was taken and left out again, before anybody asked, is as it was.
TEST(PageWord, APageThatWasNotAskedAboutStaysQuiet) {
  PageWord word;
  hold(word, PageState::kClean);
  word.begin_watch();
  (void)word.end_watch(false);
  ASSERT_TRUE(word.begin_writeback());
  (void)word.end_writeback(false);
  EXPECT_EQ(word.load().state(), PageState::kDirty);
  EXPECT_TRUE(word.load().watched() && word.load().quiet());
}

// Between the question and the end of the writeback anything may happen: then the page is not quiet.
TEST(PageWord, WhatHappensDuringWritebackIsNotForgotten) {
  for (const bool unmapped : {false, true}) {
    PageWord word;
    hold(word, PageState::kClean);
    word.begin_watch();
    (void)word.end_watch(false);
    ASSERT_TRUE(word.begin_writeback());
    PageValue seen = word.load();
    ASSERT_TRUE(word.try_pin(seen));
    (void)word.keep_watching(true);
    (void)word.unpin();
    if (unmapped) {
      word.note_stored();
    } else {
      seen = word.load();
      ASSERT_TRUE(word.begin_write(seen));
      (void)word.end_write();
    }
    (void)word.end_writeback(true);
    EXPECT_EQ(word.load().state(), PageState::kDirty);
    EXPECT_FALSE(word.load().quiet());
  }
}

TEST(PageWordDeathTest, IllegalTransitionsDie) {
  const auto dies = [](PageState state, auto transition) {
    PageWord word;
    in_state(word, state);
    EXPECT_DEATH(transition(word), "check failed");
  };
  dies(PageState::kClean, [](PageWord& w) { (void)w.end_fill(0); });
  dies(PageState::kAbsent, [](PageWord& w) { (void)w.end_fill_dirty(); });
  dies(PageState::kDirty, [](PageWord& w) { (void)w.fail_fill(); });
  dies(PageState::kClean, [](PageWord& w) { (void)w.unpin(); });
  dies(PageState::kDirty, [](PageWord& w) { (void)w.end_write(); });
  dies(PageState::kClean, [](PageWord& w) { (void)w.cancel_write(); });
  dies(PageState::kDirty, [](PageWord& w) { (void)w.end_writeback(true); });
  dies(PageState::kClean, [](PageWord& w) { (void)w.unseal(); });
  dies(PageState::kDirty, [](PageWord& w) { (void)w.drop(); });
  dies(PageState::kDirty, [](PageWord& w) { w.begin_watch(); });
  dies(PageState::kDirty, [](PageWord& w) { (void)w.end_watch(false); });
  dies(PageState::kWriteback, [](PageWord& w) { (void)w.keep_watching(true); });
}

}  // namespace
}  // namespace quire::cache
