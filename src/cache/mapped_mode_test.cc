// Files whose pages are in memory that can be mapped: where their bytes are, what takes pages out of sight, and what
// a snapshot may hold.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "cache/fill.h"
#include "cache/page_read.h"
#include "cache/seal.h"
#include "cache/test_pages.h"
#include "cache/test_views.h"
#include "cache/writeback.h"

namespace quire::cache {
namespace {

constexpr std::size_t kPage = limits::kPageBytes;
constexpr std::uint64_t kPagesMax = 64;

class MappedMode : public testing::Test {
 protected:
  explicit MappedMode(std::size_t pages = 8) : file_(filled(pages * kPage, 'i')) {
    file_.cache->flusher().stop();
  }
  void begin() {
    views_ = std::make_shared<TestViews>(kPagesMax);
    ASSERT_FALSE(file_.pages->begin_mapped(views_));
    views_->map(*file_.pages);
  }
  // Through the cache, waiting for what is not there.
  char read(std::uint64_t index, std::size_t in_page = 0) {
    std::byte byte{};
    for (;;) {
      const PageCopy copy =
          copy_page_pinned(*file_.pages, page_offset(index) + in_page, {&byte, 1});
      if (copy.look == PageLook::kCopied) return static_cast<char>(byte);
      if (copy.look == PageLook::kEnd) return '$';
      if (copy.look == PageLook::kMarked) take_marker(*file_.pages, index);
      if (copy.look != PageLook::kAbsent) continue;
      PinnedRun run;
      EXPECT_FALSE(fill_run(*file_.pages, index, 1, {}, run));
    }
  }
  // As a program does by its mapping.
  char load(std::uint64_t index, std::size_t in_page = 0) {
    if (!views_->loads(index)) {
      EXPECT_TRUE(views_->answer_load(index)) << "page " << index;
    }
    return static_cast<char>(*views_->at(index, in_page));
  }
  void store(std::uint64_t index, char with, std::size_t in_page = 0) {
    if (!views_->stores(index)) {
      ASSERT_FALSE(views_->answer_store(index));
    }
    *views_->at(index, in_page) = static_cast<std::byte>(with);
  }
  FlushResult flush() { return flush_all(*file_.pages, 0, ~std::uint64_t{0}, {}); }
  // Pages that the memory holds, in use or not.
  std::uint64_t pages_in_memory() {
    struct stat status = {};
    EXPECT_EQ(::fstat(file_.pages->memory()->fd(), &status), 0);
    return static_cast<std::uint64_t>(status.st_blocks) * 512 / kPage;
  }
  std::uint64_t memory_pages() {
    struct stat status = {};
    EXPECT_EQ(::fstat(file_.pages->memory()->fd(), &status), 0);
    return static_cast<std::uint64_t>(status.st_size) / kPage;
  }
  std::uint32_t frames_in_use() {
    return file_.cache->memory().pool().frames() - file_.cache->memory().pool().free_frames();
  }

  OneFile file_;
  std::shared_ptr<TestViews> views_;
};

// Fails if pages that are added come into frames.
TEST_F(MappedMode, PagesComeIntoMemoryThatIsMapped) {
  begin();
  EXPECT_EQ(read(3), 'i');
  EXPECT_TRUE(file_.value(3).in_file());
  EXPECT_EQ(load(3, 100), 'i');
  ASSERT_FALSE(file_.write(3, 'w', 10, 20));
  EXPECT_EQ(load(3, 10), 'w');
  EXPECT_EQ(load(3, 30), 'i');
  EXPECT_EQ(pages_in_memory(), 1u);
}

// Fails if the bytes are not copied, or the page word goes on naming the frame.
TEST_F(MappedMode, PagesThatWereThereBeforeMove) {
  EXPECT_EQ(read(2), 'i');
  ASSERT_FALSE(file_.write(4, 'w'));
  begin();
  EXPECT_FALSE(views_->answer_load(2));
  const std::uint32_t in_use = frames_in_use();
  {
    SealedRange sealed(*file_.pages);
    ASSERT_FALSE(sealed.seal(0, 7, {}));
    sealed.move_to_file();
  }
  EXPECT_EQ(frames_in_use(), in_use) << "each page keeps its right to memory";
  EXPECT_EQ(load(2), 'i');
  EXPECT_EQ(load(4), 'w');
  EXPECT_EQ(file_.value(4).state(), PageState::kDirty);
  EXPECT_EQ(pages_in_memory(), 2u);
  EXPECT_FALSE(flush().error);
  EXPECT_EQ(file_.stored()[4 * kPage], 'w');
}

// Fails if a frame's memory stays with it, so that a page takes twice what it is paid for.
TEST_F(MappedMode, AFrameWhosePageIsElsewhereHoldsNothing) {
  FramePool& pool = file_.cache->memory().pool();
  const FrameNumber frame = pool.allocate();
  std::memset(pool.bytes(frame), 'x', kPage);
  unsigned char resident = 1;
  pool.lend(frame);
  ASSERT_EQ(::mincore(pool.bytes(frame), kPage, &resident), 0);
  EXPECT_EQ(resident & 1, 0);
  EXPECT_EQ(*pool.bytes(frame), std::byte{0});
  pool.free(frame);
}

// Fails if eviction, a cut, a failed read or an abandoned write leaves its page in the memory, where the next who
// adds the page would find it, and nobody pays for it.
TEST_F(MappedMode, WhatIsDroppedIsInNobodysSight) {
  begin();
  for (std::uint64_t page = 0; page < 8; ++page) EXPECT_EQ(read(page), 'i');
  for (std::uint64_t page = 0; page < 8; ++page) EXPECT_EQ(load(page), 'i');
  EXPECT_EQ(pages_in_memory(), 8u);

  drop_clean(*file_.pages, 0, 0);
  EXPECT_FALSE(views_->loads(0));
  EXPECT_EQ(pages_in_memory(), 7u);
  {
    SealedRange sealed(*file_.pages);
    ASSERT_FALSE(sealed.seal(2, 4, {}));
    for (std::uint64_t page = 2; page < 5; ++page) EXPECT_FALSE(views_->loads(page));
    EXPECT_TRUE(views_->loads(1));
    EXPECT_FALSE(views_->answer_load(2)) << "sealed";
    sealed.drop_from(3);
  }
  EXPECT_EQ(pages_in_memory(), 5u);
  EXPECT_EQ(load(2), 'i');

  // Eviction: all frames for pages of another kind.
  FrameSet frames(file_.cache->memory());
  ASSERT_EQ(file_.cache->memory().acquire(frames, 62, {}), sync::WaitStatus::kReady);
  frames.give_back();
  EXPECT_LE(pages_in_memory(), 1u);

  file_.store->set_hook(when(StoreOp::kRead, failing(std::errc::io_error)));
  PinnedRun run;
  EXPECT_EQ(fill_run(*file_.pages, 6, 1, {}, run), std::errc::io_error);
  file_.store->set_hook({});
  EXPECT_TRUE(file_.value(6).absent());
  EXPECT_EQ(pages_in_memory(), file_.pages->resident_pages());
}

// Fails if the memory's size is anything but the file's: an access past the end would not end in SIGBUS, or one in
// the file would.
TEST_F(MappedMode, TheMemoryIsAsLongAsTheFile) {
  begin();
  EXPECT_EQ(memory_pages(), 8u);
  file_.pages->set_size_bytes(3 * kPage + 1);
  EXPECT_EQ(memory_pages(), 4u);
  {
    PageWrite beyond(*file_.pages);
    ASSERT_FALSE(beyond.begin(9, 0, 100, {}));
    std::memset(beyond.bytes(), 'w', 100);
    EXPECT_EQ(memory_pages(), 4u);
    // Left without having stored.
  }
  EXPECT_EQ(memory_pages(), 4u);
  EXPECT_EQ(pages_in_memory(), 0u);
  ASSERT_FALSE(file_.write(9, 'w', 0, 100));
  EXPECT_EQ(memory_pages(), 10u);
  EXPECT_FALSE(file_.value(9).in_file()) << "it was added when the memory did not reach so far";
  ASSERT_FALSE(views_->answer_store(9));
  EXPECT_TRUE(file_.value(9).in_file());
  EXPECT_EQ(load(9, 99), 'w');
  EXPECT_EQ(load(9, 100), '\0');
  EXPECT_EQ(views_->answer_store(10), std::errc::bad_address);
}

// Fails if writeback copies a page before no view stores into it any more (WriteRequest::complete), or leaves a view
// that stores into a page which then counts as clean: the second store is lost.
TEST_F(MappedMode, AStoreIntoAPageThatWasWrittenBackIsNotLost) {
  begin();
  store(1, 'a');
  EXPECT_EQ(file_.value(1).state(), PageState::kDirty);
  store(1, 'b');
  EXPECT_FALSE(flush().error);
  EXPECT_EQ(file_.stored()[kPage], 'b');
  EXPECT_EQ(file_.value(1).state(), PageState::kClean);
  EXPECT_FALSE(views_->stores(1));
  EXPECT_TRUE(views_->loads(1));
  store(1, 'c');
  EXPECT_EQ(file_.value(1).state(), PageState::kDirty);
  EXPECT_FALSE(flush().error);
  EXPECT_EQ(file_.stored()[kPage], 'c');
}

// snapshot-vs-second-view: what is stored until the views are protected is in the snapshot; who stores afterwards
// waits until it is taken. Fails if the pages are not pinned from before protect() until they are copied.
TEST_F(MappedMode, ASnapshotIsOfOneMoment) {
  begin();
  store(1, 'a');
  store(2, 'a');
  sync::Thread second;
  bool stored = false;
  views_->on_protect = [&](std::uint64_t first, std::uint64_t count) {
    EXPECT_EQ(first, 1u);
    EXPECT_EQ(count, 2u);
    EXPECT_EQ(file_.value(1).pins(), 1u);
    EXPECT_EQ(file_.value(2).pins(), 1u);
    *views_->at(2, 0) = std::byte{'b'};  // still allowed
    second = start_thread("second", [&] {
      EXPECT_FALSE(views_->answer_store(1));
      stored = true;
    });
    until([&] { return file_.value(1).writing(); });
    EXPECT_FALSE(stored);
  };
  EXPECT_FALSE(flush().error);
  second.join();
  EXPECT_EQ(file_.stored()[kPage], 'a');
  EXPECT_EQ(file_.stored()[2 * kPage], 'b');
  EXPECT_EQ(file_.value(1).state(), PageState::kDirty) << "dirty again, or rewritten and then so";
  *views_->at(1, 0) = std::byte{'c'};
  EXPECT_FALSE(flush().error);
  EXPECT_EQ(file_.stored()[kPage], 'c');
}

// A page of which no store is heard is hidden before the views are asked. Fails if Run::ask() asks before it hides: the
// store between is lost.
TEST_F(MappedMode, AStoreJustBeforeThePageIsHiddenIsWritten) {
  begin();
  (void)read(1);
  views_->answer_watched_load(1);
  ASSERT_TRUE(file_.value(1).quiet());
  views_->on_hide = [&] { views_->store_unheard(1, 'a'); };
  EXPECT_FALSE(flush_all(*file_.pages, 0, ~std::uint64_t{0}, {}, Sight::kEnds).error);
  EXPECT_EQ(file_.stored()[kPage], 'a');
  EXPECT_FALSE(views_->loads(1));
  EXPECT_EQ(file_.value(1).state(), PageState::kClean);
  EXPECT_FALSE(file_.value(1).watched());
  EXPECT_EQ(file_.cache->dirty().taken(), 0u);
  // The same of a page that is cut around.
  views_->answer_watched_load(1);
  views_->on_hide = [&] { views_->store_unheard(1, 'b'); };
  SealedRange sealed(*file_.pages);
  EXPECT_FALSE(sealed.seal(0, 7, {}));
  sealed.unseal();
  EXPECT_FALSE(flush().error);
  EXPECT_EQ(file_.stored()[kPage], 'b');
}

// What is stored after the question is for the next to ask, whether the page is being written for it or not. Fails if
// told() takes the page off the list, or calls it clean.
TEST_F(MappedMode, AStoreJustAfterTheQuestionIsWrittenNext) {
  begin();
  (void)read(1);
  views_->answer_watched_load(1);
  for (const char with : {'a', 'b', 'c'}) {
    const std::string before = file_.stored();
    views_->after_ask = [&] { views_->store_unheard(1, with); };
    EXPECT_FALSE(flush().error);
    if (with == 'a') {
      EXPECT_EQ(file_.stored(), before) << "it was quiet";
    }
    EXPECT_TRUE(file_.value(1).dirty());
  }
  EXPECT_FALSE(flush().error);
  EXPECT_EQ(file_.stored()[kPage], 'c');
  EXPECT_EQ(views_->hides, 0);
}

// Fails if a page that a program stores into is written under a seal while it stores.
TEST_F(MappedMode, ASealedPageIsStoredIntoByNobody) {
  begin();
  store(5, 's');
  SealedRange sealed(*file_.pages);
  ASSERT_FALSE(sealed.seal(4, 6, {}));
  EXPECT_FALSE(views_->loads(5));
  sync::SleepingWaker waker;
  ParkedWrite first_store(*file_.pages, waker);
  EXPECT_FALSE(first_store.begin(5));
  sealed.unseal();
  ASSERT_EQ(waker.park({sync::Clock::now(), {}}), sync::WaitStatus::kReady);
  EXPECT_TRUE(first_store.resume());
  EXPECT_TRUE(first_store.held());
}

}  // namespace
}  // namespace quire::cache
