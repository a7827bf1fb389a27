// Files whose pages are in memory that can be mapped: where their bytes are, what takes pages out of sight, and what
// a snapshot may hold.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>

#include "cache/fill.h"
#include "cache/page_read.h"
#include "cache/parked_write.h"
#include "cache/seal.h"
#include "cache/test_pages.h"
#include "cache/test_smaps.h"
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
    if (views_ == nullptr) views_ = std::make_shared<TestViews>(kPagesMax);
    auto begun = file_.pages->begin_mapped(views_);
    ASSERT_TRUE(begun.ok());
    mapped_ = std::move(*begun);
    views_->map(*file_.pages);
  }
  // As a program that unmaps the file.
  void end() {
    views_->unmap();
    mapped_ = {};
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
  FilePages::Mapped mapped_;
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
  pool.take_back(frame);
  pool.free(frame);
}

// Fails if a frame counts as one that holds nothing though somebody has used it since it was lent.
TEST_F(MappedMode, AFrameThatWasUsedSinceItWasLentIsLentAgain) {
  FramePool& pool = file_.cache->memory().pool();
  const auto resident = [&](FrameNumber frame) {
    unsigned char there = 1;
    EXPECT_EQ(::mincore(pool.bytes(frame), kPage, &there), 0);
    return (there & 1) != 0;
  };
  // What was freed last is the next.
  FrameNumber frame = pool.allocate();
  pool.lend(frame);
  pool.free(frame);
  ASSERT_EQ(pool.allocate(), frame);
  pool.lend_unused(frame);
  EXPECT_FALSE(resident(frame));
  pool.free(frame);
  // By a page in the frame.
  ASSERT_EQ(pool.allocate(), frame);
  std::memset(pool.bytes(frame), 'x', kPage);
  pool.free(frame);
  ASSERT_EQ(pool.allocate(), frame);
  EXPECT_TRUE(resident(frame));
  pool.lend_unused(frame);
  EXPECT_FALSE(resident(frame));
  pool.free(frame);
  // By a node of a tree.
  {
    FrameSet set(file_.cache->memory());
    ASSERT_EQ(file_.cache->memory().acquire(set, 1, {}), sync::WaitStatus::kReady);
    void* const node = set.allocate();
    ASSERT_EQ(node, pool.bytes(frame));
    std::memset(node, 'x', kPage);
    set.deallocate(node);
    ASSERT_EQ(set.take(), frame);
    pool.lend_unused(frame);
    EXPECT_FALSE(resident(frame));
  }
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

// Fails if eviction punches page by page: each punch of a page in sight interrupts every processor of the program.
TEST_F(MappedMode, PagesSideBySideAreEvictedTogether) {
  begin();
  for (std::uint64_t page = 0; page < 8; ++page) EXPECT_EQ(read(page), 'i');
  for (std::uint64_t page = 0; page < 8; ++page) EXPECT_EQ(load(page), 'i');
  // One alone in the middle stays: it is in use.
  PageWord* const word = file_.pages->find(3);
  PageValue value = word->load();
  ASSERT_TRUE(word->try_pin(value));
  const std::uint64_t before = file_.pages->memory()->punches();
  FrameSet frames(file_.cache->memory());
  while (pages_in_memory() > 1) {
    ASSERT_EQ(file_.cache->memory().acquire(frames, frames.size() + 1, {}),
              sync::WaitStatus::kReady);
  }
  EXPECT_EQ(file_.pages->memory()->punches() - before, 2u);
  EXPECT_TRUE(views_->loads(3));
  file_.pages->wake(3, word->unpin());
}

// However many pages go, side by side: each call interrupts the processors that have them in sight. Fails if
// drop_from() or DropRun take out a page at a time.
TEST_F(MappedMode, NeighboursAreTakenOutInOneCall) {
  begin();
  for (std::uint64_t page = 0; page < 8; ++page) EXPECT_EQ(read(page), 'i');
  const FileMemory& memory = *file_.pages->memory();
  std::uint64_t punches = memory.punches();
  {
    SealedRange sealed(*file_.pages);
    ASSERT_FALSE(sealed.seal(0, 3, {}));
    sealed.drop_from(0);
  }
  EXPECT_EQ(memory.punches(), ++punches);
  EXPECT_EQ(pages_in_memory(), 4u);
  drop_clean(*file_.pages, 4, 6);
  EXPECT_EQ(memory.punches(), ++punches);
  EXPECT_EQ(pages_in_memory(), 1u);
  Stayed stayed;
  EXPECT_FALSE(invalidate_pages(*file_.pages, 0, 7, {}, SealedRange::kAsLongAsItTakes, &stayed));
  EXPECT_EQ(memory.punches(), ++punches);
  EXPECT_EQ(pages_in_memory(), 0u);
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
  views_->on_hide = [&](std::uint64_t, std::uint64_t) { views_->store_unheard(1, 'a'); };
  EXPECT_FALSE(flush_all(*file_.pages, 0, ~std::uint64_t{0}, {}, Sight::kEnds).error);
  EXPECT_EQ(file_.stored()[kPage], 'a');
  EXPECT_FALSE(views_->loads(1));
  EXPECT_EQ(file_.value(1).state(), PageState::kClean);
  EXPECT_FALSE(file_.value(1).watched());
  EXPECT_EQ(file_.cache->dirty().taken(), 0u);
  // The same of a page that is cut around.
  views_->answer_watched_load(1);
  views_->on_hide = [&](std::uint64_t, std::uint64_t) { views_->store_unheard(1, 'b'); };
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

// Fails if move_to_frame() does not ask, or asks before it hides.
TEST_F(MappedMode, AWatchedPageIsAskedAboutWhenItComesBack) {
  begin();
  for (const std::uint64_t page : {1, 2}) {
    (void)read(page);
    views_->answer_watched_load(page);
  }
  mapped_ = {};
  (void)read(2);
  EXPECT_EQ(file_.value(2).state(), PageState::kClean);
  views_->on_hide = [&](std::uint64_t, std::uint64_t) { views_->store_unheard(1, 'a'); };
  (void)read(1);
  EXPECT_TRUE(file_.value(1).dirty() && !file_.value(1).watched() && !file_.value(1).in_file());
  EXPECT_EQ(read(1), 'a');
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

// Nobody maps the file any more. Fails if pages are added to the memory still, or those that are there do not come back
// when they are read or written; or if the memory stays when it is empty.
TEST_F(MappedMode, PagesComeBackWhenTheyAreUsed) {
  begin();
  for (std::uint64_t page = 0; page < 5; ++page) store(page, static_cast<char>('a' + page));
  const int memory = ::dup(file_.pages->memory()->fd());
  const auto left = [&] {
    struct stat status = {};
    EXPECT_EQ(::fstat(memory, &status), 0);
    return static_cast<std::uint64_t>(status.st_blocks) * 512 / kPage;
  };
  end();
  EXPECT_EQ(left(), 5u);
  EXPECT_EQ(read(7), 'i');
  EXPECT_FALSE(file_.value(7).in_file());

  const std::uint32_t in_use = frames_in_use();
  EXPECT_EQ(read(0), 'a');
  EXPECT_FALSE(file_.value(0).in_file());
  EXPECT_EQ(file_.value(0).state(), PageState::kDirty);
  ASSERT_FALSE(file_.write(1, 'w', 10, 20));
  EXPECT_FALSE(file_.value(1).in_file());
  EXPECT_EQ(read(1), 'b');
  EXPECT_EQ(read(1, 29), 'w');
  EXPECT_EQ(frames_in_use(), in_use) << "each page has its frame already";
  EXPECT_EQ(left(), 3u);

  // Written back where it is; evicted; cut.
  EXPECT_FALSE(flush().error);
  EXPECT_TRUE(file_.value(2).in_file());
  EXPECT_EQ(file_.stored()[2 * kPage], 'c');
  drop_clean(*file_.pages, 2, 2);
  EXPECT_TRUE(file_.value(2).absent());
  {
    SealedRange sealed(*file_.pages);
    ASSERT_FALSE(sealed.seal(3, 3, {}));
    sealed.drop_from(3);
  }
  EXPECT_EQ(left(), 1u);
  EXPECT_TRUE(file_.pages->has_memory());
  EXPECT_EQ(read(4), 'e');
  EXPECT_EQ(left(), 0u);
  EXPECT_FALSE(file_.pages->has_memory());
  EXPECT_EQ(file_.pages->memory(), nullptr);
  EXPECT_EQ(read(2), 'c');
  EXPECT_EQ(read(3), 'd');
  ::close(memory);
}

// A second mapping of the file finds its pages wherever they are: some in the memory that is there still, others in
// frames. Fails if begin_mapped() makes new memory beside the old.
TEST_F(MappedMode, TheFileIsMappedAgainBeforeAllHaveComeBack) {
  begin();
  store(1, 'a');
  store(2, 'b');
  FileMemory* const memory = file_.pages->memory();
  end();
  EXPECT_EQ(read(1), 'a');
  file_.pages->set_size_bytes(20 * kPage);
  ASSERT_FALSE(file_.write(15, 'w'));
  begin();
  EXPECT_EQ(file_.pages->memory(), memory);
  EXPECT_EQ(memory_pages(), 20u);
  EXPECT_EQ(load(2), 'b');
  EXPECT_FALSE(views_->answer_load(1)) << "in its frame";
  store(1, 'c');
  store(15, 'x', 5);
  EXPECT_EQ(read(1), 'c');
  EXPECT_EQ(read(15), 'w');
  EXPECT_EQ(read(15, 5), 'x');
  EXPECT_TRUE(file_.value(15).in_file()) << "read, but mapped";
  end();
  for (const std::uint64_t page : {1, 2, 15}) (void)read(page);
  EXPECT_FALSE(file_.pages->has_memory());

  // And once more, in memory of its own.
  begin();
  store(2, 'd');
  EXPECT_EQ(pages_in_memory(), 1u);
  end();
  EXPECT_EQ(read(2), 'd');
  EXPECT_FALSE(file_.pages->has_memory());
}

// The file is cut while its pages are on their way. Fails if the memory does not shrink with the file that nobody maps.
TEST_F(MappedMode, AFileThatNobodyMapsAnyMoreIsCut) {
  begin();
  for (std::uint64_t page = 0; page < 8; ++page) store(page, 's', 99);
  end();
  {
    SealedRange sealed(*file_.pages);
    ASSERT_FALSE(sealed.seal(2, 7, {}));
    sealed.zero_tail_of(2, 100);
    file_.pages->set_size_bytes(2 * kPage + 100);
    EXPECT_EQ(memory_pages(), 3u);
    sealed.drop_from(3);
  }
  EXPECT_EQ(pages_in_memory(), 3u);
  EXPECT_EQ(read(2, 99), 's');
  EXPECT_EQ(read(2, 100), '$');
  EXPECT_EQ(pages_in_memory(), 2u);
}

// A read that was under way when the file was unmapped ends where it began. Fails if the memory goes while a page of it
// is being filled.
TEST_F(MappedMode, AReadThatEndsAfterTheLastMapping) {
  begin();
  file_.store->set_hook(when(StoreOp::kRead, held()));
  sync::Thread reader = start_thread("reader", [&] { EXPECT_EQ(read(3), 'i'); });
  until([&] { return file_.store->held() == 1; });
  EXPECT_TRUE(file_.value(3).in_file());
  end();
  EXPECT_TRUE(file_.pages->has_memory());
  file_.store->set_hook({});
  file_.store->release_held();
  reader.join();
  EXPECT_EQ(read(3), 'i');
  EXPECT_FALSE(file_.pages->has_memory());
}

// As long as a frame is lent the kernel must not fill its place by making a huge page of what is around it. Fails if
// take_back() leaves it so for ever, or lend() does not say so again.
TEST_F(MappedMode, TheSlabHasHugePagesAgainWhenNoFrameIsLent) {
  const std::byte* const slab = file_.cache->memory().pool().bytes(0);
  if (!kernel_has_huge_pages()) GTEST_SKIP() << kNoHugePages;
  for (int i = 0; i < 2; ++i) {
    begin();
    EXPECT_NE(flags_of(slab).find(" hg "), std::string::npos);
    store(1, 'a');
    store(2, 'b');
    EXPECT_NE(flags_of(slab).find(" nh "), std::string::npos);
    end();
    EXPECT_EQ(read(1), 'a');
    EXPECT_NE(flags_of(slab).find(" nh "), std::string::npos);
    EXPECT_EQ(read(2), 'b');
    EXPECT_NE(flags_of(slab).find(" hg "), std::string::npos);
  }
}

// What a store of a program takes hold of at once. Fails if try_begin() takes a page with a reader, or one whose bytes
// are elsewhere; if it leaves one `writing` that it did not get.
TEST_F(MappedMode, TryBeginTakesWhatNobodyIsAt) {
  EXPECT_EQ(read(1), 'i');
  begin();
  sync::SleepingWaker nobody;
  ParkedWrite held(*file_.pages, nobody);
  const auto word = [&](std::uint64_t index) { return file_.pages->find(index); };
  EXPECT_FALSE(held.try_begin(1)) << "in a frame";
  EXPECT_FALSE(held.try_begin(3)) << "absent";
  EXPECT_EQ(read(3), 'i');
  PageValue seen = word(3)->load();
  ASSERT_TRUE(seen.in_file() && word(3)->try_pin(seen));
  EXPECT_FALSE(held.try_begin(3)) << "pinned";
  EXPECT_FALSE(word(3)->load().writing());
  word(3)->unpin();
  {
    const Hazards::Guard reader(Hazards::slot_of_thread(), file_.pages->key(3));
    EXPECT_FALSE(held.try_begin(3)) << "being copied";
    EXPECT_FALSE(word(3)->load().writing());
  }
  EXPECT_FALSE(held.held());
  ASSERT_TRUE(held.try_begin(3));
  EXPECT_TRUE(held.held() && word(3)->load().writing());
  ParkedWrite other(*file_.pages, nobody);
  EXPECT_FALSE(other.try_begin(3)) << "held by another";
  held.release();
  EXPECT_FALSE(word(3)->load().writing() || word(3)->load().dirty());
}

}  // namespace
}  // namespace quire::cache
