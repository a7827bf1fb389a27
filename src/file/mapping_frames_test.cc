// What comes into sight of a file that was cached before it was mapped: its pages lie in frames, and move into memory
// that can be mapped when they are accessed. Their neighbours come with them, as far as nobody is at them. By real
// faults, and the kernel tells what is in sight. Each test names the change to the code that makes it fail.
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cache/hazard.h"
#include "cache/test_pages.h"
#include "file/file_view.h"
#include "file/mapping_table.h"
#include "file/test_cuts.h"
#include "file/test_map_mid_fill.h"
#include "file/test_mapping.h"
#include "map/test_faults.h"

namespace quire::file {
namespace {

using map::Accessor;
using map::load;
using map::value;

class MappingFrames : public MappedFile {
 protected:
  // A file of so many pages, the first of which are cached, in frames; mapped, and none in sight. With the first access
  // to a page the engine can look at its memory, so one far from all others is accessed.
  void map_what_is_cached(std::size_t pages) {
    far_ = pages + 64;
    make_uncached(letters(far_ + 1));
    read_in(0, pages);
    map(far_ + 1);
    view_ = std::dynamic_pointer_cast<FileView>(
        MappingTable::of_process().head(std::span<const std::byte>(map_->data(), kPage)).memory);
    ASSERT_NE(view_, nullptr);
    EXPECT_EQ(load(at(far_)), value(letter(far_)));
  }
  void TearDown() override {
    view_.reset();
    MappedFile::TearDown();
  }

  static char letter(std::size_t page) { return static_cast<char>('a' + page % 26); }
  static std::vector<std::byte> letters(std::size_t pages) {
    std::vector<std::byte> bytes;
    for (std::size_t page = 0; page < pages; ++page) {
      bytes.resize((page + 1) * kPage, static_cast<std::byte>(letter(page)));
    }
    return bytes;
  }
  void read_in(std::size_t first, std::size_t end) {
    std::vector<std::byte> bytes((end - first) * kPage);
    ASSERT_EQ(file_.read(bytes, first * kPage).value(), bytes.size());
  }
  void write(std::size_t page, char with) {
    ASSERT_TRUE(file_.write(filled(kPage, with), page * kPage).ok());
  }
  bool in_sight(std::size_t page) { return pagemap_.in_sight(at(page)); }
  Inode& inode() { return view_->inode(); }
  cache::PageWord& word(std::size_t page) { return *inode().find(page); }
  cache::PageValue state(std::size_t page) {
    const cache::FilePages::Walker walker(inode());
    cache::PageWord* const word = inode().find(page);
    return word == nullptr ? cache::PageValue{} : word->load();
  }
  // Nothing of an earlier access is on its way any more.
  void settle() {
    until([&] { return service()->under_way() == 0; });
    // Whatever its thread had in hand when this was posted is done.
    if (!GetParam().in_thread) until_posted_ran();
  }
  // Loads from the page, which brings [first, end) into sight and no page besides.
  void expect_shown(std::size_t page, std::size_t first, std::size_t end) {
    EXPECT_FALSE(in_sight(page)) << page;
    EXPECT_EQ(load(at(page)), value(letter(page)));
    settle();
    for (std::size_t i = first; i < end; ++i) {
      EXPECT_TRUE(in_sight(i)) << i;
      EXPECT_TRUE(state(i).in_file()) << i;
    }
    if (first > 0) {
      EXPECT_FALSE(in_sight(first - 1)) << first - 1;
    }
    EXPECT_FALSE(in_sight(end)) << end;
  }
  void expect_letters(std::size_t end) {
    for (std::size_t page = 0; page < end; ++page) {
      EXPECT_EQ(load(at(page, kPage - 1)), value(letter(page))) << page;
    }
  }

  std::size_t far_ = 0;
  std::shared_ptr<FileView> view_;
  const cache::Pagemap pagemap_;

 private:
  void until_posted_ran() {
    class Ran final : public map::Posted {
     public:
      void run() noexcept override { ran = true; }
      sync::Atomic<bool> ran{false};
    } posted;
    service()->post(posted);
    until([&] { return posted.ran.load(); });
  }
};
INSTANTIATE_TEST_SUITE_P(Strategies, MappingFrames, kMappedAs, mapped_as_name);

// Fails if pages that lie in frames stop what comes with a page (Pinned), or more comes than its block.
TEST_P(MappingFrames, NeighboursComeAlong) {
  map_what_is_cached(64);
  expect_shown(24, 16, 32);
  for (const std::size_t page : {15, 32}) EXPECT_FALSE(state(page).in_file()) << page;
  expect_letters(64);
}

// A program that goes through the file accesses 64 pages in a row. Fails if each costs it a fault, or if what is shown
// ahead does not bring frames along.
TEST_P(MappingFrames, PageAfterPageTakesFewFaults) {
  map_what_is_cached(320);
  std::size_t faults = 0;
  for (std::size_t page = 0; page < 320; ++page) {
    if (in_sight(page)) continue;
    ++faults;
    EXPECT_EQ(load(at(page)), value(letter(page)));
    settle();
  }
  // 16, 32, and then 16 and limits::kMoveAheadPagesMax each time.
  EXPECT_LE(faults, 320 / (16 + limits::kMoveAheadPagesMax) + 3);
  EXPECT_GE(faults, 320 / (16 + limits::kFaultAheadPagesMax));
  expect_letters(320);
}

// Fails if one access moves more of what comes next than it may: others wait for the same thread.
TEST_P(MappingFrames, NotTooManyAreMovedForOneAccess) {
  map_what_is_cached(640);
  std::size_t next = 0;
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(load(at(next)), value(letter(next)));
    settle();
    const std::size_t before = next;
    while (in_sight(next)) ++next;
    EXPECT_LE(next - before, 16 + limits::kMoveAheadPagesMax);
    EXPECT_FALSE(state(next).in_file());
  }
  EXPECT_GT(next, 5 * 16u);
}

// After advise(kRandom) the page comes alone; and then the others do, on both sides of it. Fails if what lies in frames
// in front of a page that does not is left there.
TEST_P(MappingFrames, AtRandomAPageComesAlone) {
  map_what_is_cached(64);
  ASSERT_TRUE(map_->advise(0, 0, Advice::kRandom).ok());
  expect_shown(24, 24, 25);
  for (const std::size_t page : {23, 25}) EXPECT_FALSE(state(page).in_file()) << page;
  ASSERT_TRUE(map_->advise(0, 0, Advice::kNormal).ok());
  expect_shown(25, 16, 32);
}

// Fails if populate() asks for each page that is in a frame by itself: a system call for each then finds that the next
// is in sight already.
TEST_P(MappingFrames, PopulateBringsThemTogether) {
  map_what_is_cached(192);
  const std::uint64_t before = inode().memory()->makes();
  ASSERT_TRUE(map_->populate(8 * kPage, 160 * kPage, MapAccess::kRead).ok());
  for (std::size_t page = 8; page < 168; ++page) EXPECT_TRUE(in_sight(page)) << page;
  EXPECT_EQ(inode().memory()->makes() - before, 160 / limits::kMovePagesMax);
  for (const std::size_t page : {7, 168}) {
    EXPECT_FALSE(state(page).in_file()) << page << " came with a fault";
  }
  expect_letters(192);
}

// Somebody reads a neighbour, with a pin or by his hazard slot. Fails if it is moved under him, or waited for.
TEST_P(MappingFrames, ANeighbourThatSomebodyReadsStaysBehind) {
  map_what_is_cached(64);
  cache::PageValue seen = word(20).load();
  ASSERT_TRUE(word(20).try_pin(seen));
  {
    const cache::Hazards::Guard reader(cache::Hazards::slot_of_thread(), inode().key(28));
    const std::byte* const bytes = inode().bytes(28, word(28).load());
    expect_shown(24, 21, 28);
    EXPECT_EQ(static_cast<char>(*bytes), letter(28));
    EXPECT_FALSE(state(28).in_file());
  }
  EXPECT_FALSE(state(20).in_file());
  inode().wake(20, word(20).unpin());
  for (const std::size_t page : {20, 28}) {
    EXPECT_FALSE(in_sight(page)) << page;
    EXPECT_EQ(load(at(page)), value(letter(page)));
  }
  settle();
  for (std::size_t page = 16; page < 32; ++page) EXPECT_TRUE(in_sight(page)) << page;
  expect_letters(64);
}

// Fails if a neighbour that is dirty stays behind, becomes clean by that, can be stored into unnoticed from then on, or
// loses what was stored.
TEST_P(MappingFrames, ANeighbourThatIsDirtyComesAndStaysSo) {
  map_what_is_cached(64);
  inode().cache().flusher().stop();
  for (const std::size_t page : {20, 28}) write(page, letter(page));
  expect_shown(24, 16, 32);
  for (const std::size_t page : {20, 28}) EXPECT_TRUE(state(page).dirty()) << page;
  EXPECT_FALSE(state(21).dirty());
  EXPECT_EQ(inode().dirty().size(), 2u);
  for (const char with : {'S', 'T'}) {
    EXPECT_EQ(map::store(at(28, 5), with), value(with));
    ASSERT_TRUE(file_.sync().ok());
    const std::vector<std::byte> stored = store_->contents("f");
    EXPECT_EQ(static_cast<char>(stored[28 * kPage]), letter(28));
    EXPECT_EQ(static_cast<char>(stored[28 * kPage + 5]), with);
    EXPECT_FALSE(state(28).dirty());
  }
  EXPECT_EQ(inode().cache().dirty().taken(), 0u);
}

// Fails if a page is moved that a request to the store carries.
TEST_P(MappingFrames, ANeighbourThatIsUnderWritebackStaysBehind) {
  map_what_is_cached(64);
  inode().cache().flusher().stop();
  write(28, letter(28));
  store_->set_hook(when(StoreOp::kWrite, held()));
  sync::Thread syncs = start_thread("syncs", [&] { EXPECT_TRUE(file_.sync().ok()); });
  until([&] { return store_->held() == 1; });
  ASSERT_EQ(state(28).state(), cache::PageState::kWriteback);
  expect_shown(24, 16, 28);
  EXPECT_FALSE(state(28).in_file());
  store_->set_hook({});
  store_->release_held();
  syncs.join();
  EXPECT_FALSE(in_sight(28));
  EXPECT_EQ(load(at(28)), value(letter(28)));
  EXPECT_TRUE(state(28).in_file());
  expect_letters(64);
}

// Fails if a page comes into sight that a cut has, or waits for it.
TEST_P(MappingFrames, NeighboursThatAreBeingCutStayBehind) {
  map_what_is_cached(64);
  store_->set_hook(when(StoreOp::kCut, held()));
  sync::Thread cuts =
      start_thread("cuts", [&] { EXPECT_TRUE(file_.punch(28 * kPage, 8 * kPage).ok()); });
  until([&] { return store_->held() == 1; });
  // Under `inode` the cut has the whole file.
  const bool waits = GetParam().locking == Locking::kInode;
  const auto loads = Accessor::loads(at(24));
  if (!waits) {
    until([&] { return loads->done(); });
    settle();
    for (std::size_t page = 16; page < 28; ++page) EXPECT_TRUE(in_sight(page)) << page;
  }
  for (std::size_t page = 28; page < 36; ++page) EXPECT_FALSE(in_sight(page)) << page;
  store_->set_hook({});
  store_->release_held();
  cuts.join();
  EXPECT_EQ(loads->outcome(), value(letter(24)));
  for (std::size_t page = 16; page < 48; ++page) {
    EXPECT_EQ(load(at(page)), value(page >= 28 && page < 36 ? 0 : letter(page))) << page;
  }
}

// Fails if what comes along needs frames or credits: none are left, and nobody will give one.
TEST_P(MappingFrames, NeighboursNeedNothingOfTheBudget) {
  map_what_is_cached(64);
  cache::PageCache& cache = inode().cache();
  cache.flusher().stop();
  write(28, letter(28));
  cache::FramePool& pool = cache.memory().pool();
  std::vector<cache::FrameNumber> frames;
  while (pool.free_frames() > 0) frames.push_back(pool.allocate());
  while (cache.dirty().try_take(1)) {
  }
  const std::uint64_t taken = cache.dirty().taken();
  expect_shown(24, 16, 32);
  EXPECT_TRUE(state(28).dirty());
  EXPECT_EQ(cache.dirty().taken(), taken);
  cache.dirty().give(taken - 1);
  EXPECT_EQ(pool.free_frames(), 0u);
  for (const cache::FrameNumber frame : frames) pool.free(frame);
}

// Fails if a page is moved under who unmaps the file, or what was moved does not come back with its bytes.
TEST_P(MappingFrames, WhatCameAlongComesBack) {
  map_what_is_cached(64);
  expect_shown(24, 16, 32);
  const std::shared_ptr<Inode> inode = view_->shared_inode();
  view_.reset();
  map_.reset();
  std::vector<std::byte> bytes(64 * kPage);
  ASSERT_EQ(file_.read(bytes, 0).value(), bytes.size());
  EXPECT_EQ(bytes, letters(64));
  for (std::size_t page = 16; page < 32; ++page) {
    EXPECT_FALSE(inode->find(page)->load().in_file()) << page;
  }
}

}  // namespace
}  // namespace quire::file
