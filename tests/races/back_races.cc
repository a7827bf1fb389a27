// Races of pages that come back into frames after their file was unmapped, and of those that leave them. As in
// mapping_races.cc, what a processor does with the memory stands in for programs.
#include <algorithm>
#include <array>

#include "cache/hazard.h"
#include "cache/move_together.h"
#include "cache/page_read.h"
#include "cache/test_views.h"
#include "races/race.h"

namespace quire::races {
namespace {

file::EngineOptions mapped_once(Locking locking) {
  return {.frames = 64, .dirty_max_pages = 16, .locking = locking, .mapped = true};
}

// A program's store of every byte of a page, and the end of its mapping.
void leave_stored(QuietEngine& engine, std::uint64_t page, char with) {
  ASSERT_FALSE(engine.views->answer_store(page));
  engine.views->store_all(page, with);
  engine.unmap();
  EXPECT_TRUE(engine.value(page).in_file());
}

// A reader has found that nobody maps the file, and takes the page to move it, when a program has mapped the file again
// and stores into the page, without a fault. It is out of the program's sight before it is copied: what is stored then
// waits until the page is where it goes, and moves it again. Fails with kComeBackInSight: FilePages::move_to_frame()
// hides nothing.
RACE(ComeBackVsMap, kComeBackInSight) {
  QuietEngine engine(mapped_once(locking));
  engine.write(0, kPage, 'a');
  leave_stored(engine, 0, 'b');
  engine.map();
  ASSERT_FALSE(engine.views->answer_store(0));
  char last = 'b';
  bool moved = false;
  sync::Thread program = start_thread("program", [&] {
    for (char with = 'c'; with <= 'z' && engine.views->stores(0); ++with) {
      engine.views->store_all(0, with);
      last = with;
      sync::yield_thread();
    }
    until([&] { return moved; });
    EXPECT_FALSE(engine.views->stores(0));
  });
  cache::PageWord& word = *engine.inode->find(0);
  cache::PageValue value = word.load();
  ASSERT_TRUE(word.begin_move(value));
  engine.inode->move_to_frame(0, word);
  moved = true;
  engine.inode->wake(0, word.unseal());
  program.join();
  EXPECT_FALSE(engine.value(0).in_file());
  engine.expect_all(pages_of(std::string(1, last)));
}

// A program stored behind the end of the file, as it may, and unmapped it; the page comes back, and the file grows.
// Fails with kComeBackWithTail: FilePages::move_to_frame() copies what lies behind the end, and who makes the file
// longer settles no tails of frames.
RACE(ComeBackPostEofExposure, kComeBackWithTail) {
  QuietEngine engine(mapped_once(locking));
  engine.write(0, 100, 'a');
  ASSERT_FALSE(engine.views->answer_store(0));
  for (std::size_t i = 100; i < kPage; ++i) *engine.views->at(0, i) = std::byte{'x'};
  engine.unmap();
  EXPECT_EQ(engine.read(0, kPage).size(), 100u);
  EXPECT_FALSE(engine.value(0).in_file());
  engine.truncate(2 * kPage);
  Bytes expected(2 * kPage);
  std::fill_n(expected.begin(), 100, std::byte{'a'});
  engine.expect_all(expected);
}

// Two read a page that nobody maps any more: one has not copied it yet when the other, who has, would move it. It stays
// where it is. Fails with kComeBackWhileRead: FilePages::come_back() asks no hazard slots, and the one reads where the
// page was.
RACE(ComeBackVsReader, kComeBackWhileRead) {
  QuietEngine engine(mapped_once(locking));
  engine.write(0, 2 * kPage, 'a');
  ASSERT_FALSE(engine.views->answer_store(1));
  leave_stored(engine, 0, 'b');
  {
    const cache::Hazards::Guard guard(cache::Hazards::slot_of_thread(), engine.inode->key(0));
    const std::byte* const bytes = engine.inode->bytes(0, engine.value(0));
    sync::Thread other =
        start_thread("other", [&] { EXPECT_TRUE(engine.read(0, kPage) == pages_of("b")); });
    other.join();
    // Page 1 keeps the memory itself, so that what is wrong can be looked at.
    EXPECT_EQ(std::count(bytes, bytes + kPage, std::byte{'b'}), static_cast<std::ptrdiff_t>(kPage))
        << "half of the page, or of what it never was";
  }
  engine.expect_all(pages_of("ba"));
}

// The other way. A program looks at a page of a file that was cached before it was mapped, and the neighbours are about
// to be moved with it, when somebody reads one of them who has not copied it yet. It stays where it is, and so do those
// behind it. Fails with kMoveWhileRead: MoveTogether::take() asks no hazard slots, and the one reads a frame that was
// lent.
RACE(MoveTogetherVsReader, kMoveWhileRead) {
  QuietEngine engine({.frames = 64, .dirty_max_pages = 16, .locking = locking});
  engine.write(0, 4 * kPage, 'a');
  engine.map();
  ASSERT_FALSE(engine.views->answer_store(0));
  {
    const cache::Hazards::Guard guard(cache::Hazards::slot_of_thread(), engine.inode->key(2));
    const std::byte* const bytes = engine.inode->bytes(2, engine.value(2));
    sync::Thread fault =
        start_thread("fault", [&] { (void)cache::MoveTogether(*engine.inode).move(1, 0, 2); });
    fault.join();
    EXPECT_TRUE(engine.value(1).in_file());
    EXPECT_EQ(std::count(bytes, bytes + kPage, std::byte{'a'}), static_cast<std::ptrdiff_t>(kPage))
        << "half of the page, or of what it never was";
  }
  engine.expect_all(pages_of("aaaa"));
}

}  // namespace
}  // namespace quire::races
