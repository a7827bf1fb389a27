// Pages that were cached before their file was mapped, moved into its memory several at once: which of them, and by how
// many calls of the kernel. Each test names the change to the code that makes it fail.
#include "cache/move_together.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "cache/fill.h"
#include "cache/hazard.h"
#include "cache/page_read.h"
#include "cache/page_wait.h"
#include "cache/page_write.h"
#include "cache/parked_write.h"
#include "cache/seal.h"
#include "cache/test_pages.h"
#include "cache/test_views.h"
#include "cache/writeback.h"
#include "sync/waker.h"

namespace quire::cache {
namespace {

constexpr std::size_t kMovedPage = limits::kPageBytes;
constexpr std::uint64_t kMovedPages = 16;  // of the file
constexpr std::uint64_t kMovedFirst = 8;   // who is moved first

// A file of 16 pages, each of a letter of its own, that is read in and then mapped.
class MoveTogetherTest : public testing::Test {
 protected:
  MoveTogetherTest() : file_(letters(), small_budget(64, 16)) { file_.cache->flusher().stop(); }

  static std::vector<std::byte> letters() {
    std::vector<std::byte> bytes;
    for (std::uint64_t page = 0; page < kMovedPages; ++page) {
      bytes.resize((page + 1) * kMovedPage, static_cast<std::byte>('a' + page));
    }
    return bytes;
  }
  void read_in(std::uint64_t first = 0, std::uint64_t end = kMovedPages) {
    for (std::uint64_t page = first; page < end; ++page) {
      PinnedRun run;
      ASSERT_FALSE(fill_run(*file_.pages, page, 1, {}, run));
    }
  }
  void map(bool with_window = true) {
    auto begun = file_.pages->begin_mapped(views_);
    ASSERT_TRUE(begun.ok());
    mapped_ = std::move(*begun);
    views_->map(*file_.pages);
    if (with_window) {
      ASSERT_FALSE(memory().open_windows(0, kMovedPages));
    }
  }
  FileMemory& memory() { return *file_.pages->memory(); }
  std::uint64_t pages_in_memory() {
    struct stat status = {};
    EXPECT_EQ(::fstat(memory().fd(), &status), 0);
    return static_cast<std::uint64_t>(status.st_blocks) * 512 / kMovedPage;
  }
  std::size_t move() {
    return MoveTogether(*file_.pages).move(kMovedFirst, kMovedFirst, kMovedPages - kMovedFirst - 1);
  }
  PageWord& word(std::uint64_t page) { return *file_.pages->find(page); }
  // Where the pages are: 'm' in the memory, 'f' in a frame, '.' nowhere.
  std::string places() {
    std::string places;
    for (std::uint64_t page = 0; page < kMovedPages; ++page) {
      const PageValue value = file_.value(page);
      places += value.absent() ? '.' : value.in_file() ? 'm' : 'f';
      EXPECT_FALSE(value.sealed() && !sealed_by_test_) << "page " << page;
    }
    return places;
  }
  // Each page that is there has the bytes that it had.
  void expect_letters() {
    for (std::uint64_t page = 0; page < kMovedPages; ++page) {
      const PageValue value = file_.value(page);
      if (value.absent()) continue;
      const std::byte* const bytes = file_.pages->bytes(page, value);
      EXPECT_EQ(static_cast<char>(bytes[0]), 'a' + static_cast<char>(page)) << page;
      EXPECT_EQ(static_cast<char>(bytes[kMovedPage - 1]), 'a' + static_cast<char>(page)) << page;
    }
  }
  // `busy` is at page 11: the pages in front of it move, it and what lies behind it do not.
  void expect_stops_at_11() {
    EXPECT_EQ(move(), 11u);
    EXPECT_EQ(places(), "mmmmmmmmmmmfffff");
    EXPECT_EQ(pages_in_memory(), 11u) << "what was not moved must not be touched";
  }

  OneFile file_;
  std::shared_ptr<TestViews> views_ = std::make_shared<TestViews>(kMovedPages);
  FilePages::Mapped mapped_;
  bool sealed_by_test_ = false;
};

// Fails if move() takes one page alone, or makes their memory or gives back their frames' page by page; or if a frame
// that was lent keeps its memory.
TEST_F(MoveTogetherTest, NeighboursMoveInOneCall) {
  read_in();
  std::vector<std::byte*> frames;
  for (std::uint64_t page = 0; page < kMovedPages; ++page) {
    frames.push_back(file_.cache->memory().pool().bytes(file_.value(page).frame()));
  }
  map();
  EXPECT_EQ(move(), kMovedPages);
  EXPECT_EQ(places(), std::string(kMovedPages, 'm'));
  EXPECT_EQ(memory().makes(), 1u);
  EXPECT_EQ(pages_in_memory(), kMovedPages);
  expect_letters();
  for (std::byte* const frame : frames) {
    unsigned char resident = 1;
    ASSERT_EQ(::mincore(frame, kMovedPage, &resident), 0);
    EXPECT_EQ(resident & 1, 0);
  }
  EXPECT_EQ(move(), 0u) << "they are there already";
}

// Fails if it goes further than it was asked to, in either direction.
TEST_F(MoveTogetherTest, NoMoreThanWasAsked) {
  read_in();
  map();
  EXPECT_EQ(MoveTogether(*file_.pages).move(8, 2, 3), 6u);
  EXPECT_EQ(places(), "ffffffmmmmmmffff");
  EXPECT_EQ(MoveTogether(*file_.pages).move(3, 0, 0), 1u);
  EXPECT_EQ(places(), "fffmffmmmmmmffff");
  EXPECT_EQ(MoveTogether(*file_.pages).move(0, 0, 15), 3u);
  EXPECT_EQ(places(), "mmmmffmmmmmmffff");
  EXPECT_EQ(MoveTogether(*file_.pages).move(5, 5, 0), 2u);
  EXPECT_EQ(places(), "mmmmmmmmmmmmffff");
  expect_letters();
}

// Fails if take() does not ask begin_move(), or that takes what is pinned.
TEST_F(MoveTogetherTest, NotWhatAReaderHasPinned) {
  read_in();
  map();
  PageValue value = word(11).load();
  ASSERT_TRUE(word(11).try_pin(value));
  expect_stops_at_11();
  EXPECT_EQ(file_.value(11).pins(), 1u);
  file_.pages->wake(11, word(11).unpin());
  expect_letters();
}

// Fails if take() does not look at hazard slots, or leaves the page sealed, or tells nobody who came meanwhile.
TEST_F(MoveTogetherTest, NotWhatIsBeingCopied) {
  read_in();
  map();
  {
    const Hazards::Guard reader(Hazards::slot_of_thread(), file_.pages->key(11));
    expect_stops_at_11();
  }
  EXPECT_EQ(MoveTogether(*file_.pages).move(11, 0, 4), 5u);
  expect_letters();
}

// Fails if take() takes a page that somebody waits for: he would find it taken again and again.
TEST_F(MoveTogetherTest, NotWhatSomebodyWaitsFor) {
  read_in();
  map();
  PageValue value = word(11).load();
  ASSERT_TRUE(word(11).try_pin(value));
  sync::SleepingWaker waker;
  PageWaitLot::Waiter waiter(waker);
  ASSERT_TRUE(file_.pages->enqueue_changed(11, word(11), file_.value(11), waiter));
  ASSERT_TRUE(file_.value(11).waiters());
  expect_stops_at_11();
  file_.pages->wake(11, word(11).unpin());
  EXPECT_EQ(waker.park({sync::Clock::now(), {}}), sync::WaitStatus::kReady);
}

// Fails if what is moved becomes clean, or leaves the list, or loses its credit; or if it needs one.
TEST_F(MoveTogetherTest, WhatIsDirtyStaysSo) {
  read_in();
  for (const std::uint64_t page : {7, 11, 12}) {
    ASSERT_FALSE(file_.write(page, static_cast<char>('a' + page)));
  }
  map();
  EXPECT_EQ(move(), kMovedPages);
  expect_letters();
  EXPECT_EQ(file_.cache->dirty().taken(), 3u);
  EXPECT_EQ(file_.pages->dirty().size(), 3u);
  for (std::uint64_t page = 0; page < kMovedPages; ++page) {
    const bool dirty = page == 7 || page == 11 || page == 12;
    EXPECT_EQ(file_.value(page).state(), dirty ? PageState::kDirty : PageState::kClean) << page;
  }
  const FlushResult flushed = flush_all(*file_.pages, 0, ~std::uint64_t{0}, {});
  EXPECT_FALSE(flushed.error);
  EXPECT_EQ(flushed.pages, 3u);
  EXPECT_EQ(file_.cache->dirty().taken(), 0u);
}

// Fails if what a request to the store carries is moved: it may carry the frame's own bytes, and who counts it clean
// afterwards looks for it where it was.
TEST_F(MoveTogetherTest, NotWhatIsUnderWriteback) {
  read_in();
  ASSERT_FALSE(file_.write(11, 'l'));
  map();
  file_.store->set_hook(when(StoreOp::kWrite, held()));
  sync::Thread flusher = start_thread(
      "flusher", [&] { EXPECT_FALSE(flush_all(*file_.pages, 0, ~std::uint64_t{0}, {}).error); });
  until([&] { return file_.store->held() == 1; });
  ASSERT_EQ(file_.value(11).state(), PageState::kWriteback);
  expect_stops_at_11();
  // Stored into since.
  ASSERT_FALSE(file_.write(11, 'l'));
  ASSERT_EQ(file_.value(11).state(), PageState::kRewritten);
  EXPECT_EQ(MoveTogether(*file_.pages).move(11, 0, 4), 0u);
  file_.store->set_hook({});
  file_.store->release_held();
  flusher.join();
  ASSERT_EQ(file_.value(11).state(), PageState::kDirty);
  EXPECT_EQ(MoveTogether(*file_.pages).move(11, 0, 4), 5u);
  expect_letters();
}

// Fails if what a cut has sealed is moved, or unsealed.
TEST_F(MoveTogetherTest, NotWhatACutHas) {
  read_in();
  map();
  SealedRange sealed(*file_.pages);
  ASSERT_FALSE(sealed.seal(11, 13, {}));
  sealed_by_test_ = true;
  expect_stops_at_11();
  for (const std::uint64_t page : {11, 12, 13}) EXPECT_TRUE(file_.value(page).sealed());
  EXPECT_EQ(MoveTogether(*file_.pages).move(14, 14, 1), 2u) << "nor beyond it";
  sealed.drop_from(11);
  EXPECT_EQ(places(), "mmmmmmmmmmm...mm");
  expect_letters();
}

// Fails if what is held for a store is moved, which somebody stores into where it was.
TEST_F(MoveTogetherTest, NotWhatIsStoredInto) {
  read_in();
  map();
  PageWrite writes(*file_.pages);
  ASSERT_FALSE(writes.begin(11, 0, kMovedPage, {}));
  expect_stops_at_11();
  writes.abandon();
  expect_letters();
}

// Fails if what is absent, or being read, stops nothing: what is copied then is not the page.
TEST_F(MoveTogetherTest, NotWhatIsNotThere) {
  read_in(0, 11);
  read_in(12);
  map();
  EXPECT_EQ(move(), 11u);
  EXPECT_EQ(places(), "mmmmmmmmmmm.ffff");
  file_.store->set_hook(when(StoreOp::kRead, held()));
  EXPECT_EQ(start_fill(*file_.pages, 11, 1, Marker::kNone).pages, 1u);
  ASSERT_EQ(file_.value(11).state(), PageState::kFilling);
  EXPECT_EQ(MoveTogether(*file_.pages).move(11, 11, 4), 0u);
  EXPECT_EQ(MoveTogether(*file_.pages).move(12, 12, 3), 4u);
}

// Fails if it looks for frames or credits: there are none left, and nobody will give one.
TEST_F(MoveTogetherTest, WithNothingLeftOfTheBudget) {
  read_in();
  ASSERT_FALSE(file_.write(9, 'j'));
  map();
  FrameSet frames(file_.cache->memory());
  const std::uint32_t left = file_.cache->memory().pool().free_frames();
  ASSERT_EQ(file_.cache->memory().acquire(frames, left, {}), sync::WaitStatus::kReady);
  ASSERT_EQ(file_.cache->memory().pool().free_frames(), 0u);
  while (file_.cache->dirty().try_take(1)) {
  }
  const std::uint64_t taken = file_.cache->dirty().taken();
  EXPECT_EQ(move(), kMovedPages);
  EXPECT_EQ(file_.cache->dirty().taken(), taken);
  EXPECT_EQ(file_.cache->memory().pool().free_frames(), 0u);
  frames.give_back();
  file_.cache->dirty().give(taken - 1);
  expect_letters();
}

// Fails if what lies beyond the memory's end is moved: it would have no place there, or make the memory longer.
TEST_F(MoveTogetherTest, NotWhatLiesBeyondTheEnd) {
  read_in();
  map();
  ASSERT_FALSE(memory().resize(11));
  expect_stops_at_11();
  ASSERT_FALSE(memory().resize(kMovedPages));
}

// Fails if it opens windows, which takes memory of the allocator's; a fault by itself does.
TEST_F(MoveTogetherTest, NotWhereThereIsNoWindow) {
  read_in();
  map(false);
  EXPECT_EQ(move(), 0u);
  EXPECT_FALSE(memory().has_window(8));
  ASSERT_FALSE(views_->answer_store(8));
  EXPECT_EQ(MoveTogether(*file_.pages).move(7, 7, 0), 8u);
}

// There is no memory for some of them. Fails if copy() goes on (a signal), or leaves the memory that there was for
// others: whoever drops a page that is in its frame punches nothing, and the next who adds it finds old bytes.
TEST_F(MoveTogetherTest, WithoutMemoryAllStayWhereTheyAre) {
  read_in();
  ASSERT_FALSE(file_.write(9, 'j'));
  map();
  // What the kernel can refuse, played: it makes the pages up to here.
  ASSERT_EQ(::mprotect(memory().at(11), kMovedPage, PROT_READ), 0);
  EXPECT_EQ(move(), 0u);
  EXPECT_EQ(places(), std::string(kMovedPages, 'f'));
  EXPECT_EQ(pages_in_memory(), 0u);
  expect_letters();
  ASSERT_EQ(::mprotect(memory().at(11), kMovedPage, PROT_READ | PROT_WRITE), 0);
  EXPECT_EQ(move(), kMovedPages);
  expect_letters();
}

}  // namespace
}  // namespace quire::cache
