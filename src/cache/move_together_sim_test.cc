// Pages on their way from frames into the memory of a file that has been mapped, several together, under the
// simulation's schedules and every locking strategy: whatever else is done to one of them at any moment of it, each is
// in one place afterwards, with what was stored last. Each test names the change to the code that makes it fail.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <functional>

#include "cache/hazard.h"
#include "cache/move_together.h"
#include "cache/seal.h"
#include "cache/test_mapped_many.h"
#include "cache/test_mapped_once.h"
#include "cache/test_pages.h"
#include "cache/writeback.h"
#include "fault/planted.h"
#include "sync/sim/sim_test.h"
#include "sync/thread.h"

namespace quire::cache {
namespace {

// Where they can be moved.
void map_with_window(MappedOnce& file) {
  file.map();
  ASSERT_FALSE(file.pages->memory()->open_windows(0, kBackPages));
}

// Pages 1 to 4 are moved together while somebody else does something with page 2, once he has seen it sealed, or too
// late; page 2 is dirty.
void meets_moved(Locking locking, const std::function<void(MappedOnce&)>& begins, char expected) {
  MappedOnce file(locking);
  for (std::uint64_t page = 0; page < kBackPages; ++page) EXPECT_EQ(file.read(page), 'i');
  ASSERT_FALSE(file.write_page(2, 's'));
  map_with_window(file);
  bool ended = false;
  sync::Thread other = start_thread("other", [&] {
    until([&] { return ended || file.value(2).sealed(); });
    begins(file);
  });
  (void)MoveTogether(*file.pages).move(2, 1, 2);
  ended = true;
  other.join();
  for (std::uint64_t page = 1; page < 5; ++page) {
    EXPECT_EQ(file.read(page), page == 2 ? expected : 'i') << page;
  }
  EXPECT_FALSE(flush_all(*file.pages, 0, ~std::uint64_t{0}, {}).error);
  EXPECT_EQ(file.stored()[2 * kBackPage], expected);
  EXPECT_EQ(file.cache->dirty().taken(), 0u);
  file.unmap();
  for (std::uint64_t page = 0; page < kBackPages; ++page) (void)file.read(page);
  EXPECT_FALSE(file.pages->has_memory());
}

// Fails if let_go() wakes nobody who came meanwhile.
SIM_TEST(MoveTogetherSim, WhileOthersRead) {
  for (const Locking locking : kBackStrategies) {
    meets_moved(
        locking, [](MappedOnce& file) { EXPECT_EQ(file.read(2), 's'); }, 's');
  }
}

// Fails if take() moves pages without a seal: what is written in the middle is lost.
SIM_TEST(MoveTogetherSim, WhileOthersWrite) {
  for (const Locking locking : kBackStrategies) {
    meets_moved(
        locking, [](MappedOnce& file) { EXPECT_FALSE(file.write_page(2, 'w')); }, 'w');
  }
}

// Fails if a page is in the memory after a cut that it was not in before.
SIM_TEST(MoveTogetherSim, WhileOthersCut) {
  for (const Locking locking : kBackStrategies) {
    meets_moved(
        locking,
        [](MappedOnce& file) { file.seal(1, 3, [](SealedRange& sealed) { sealed.drop_from(1); }); },
        'i');
  }
}

// Fails if what is under writeback is moved, or writeback copies a page that is being moved.
SIM_TEST(MoveTogetherSim, WhileOthersWriteBack) {
  for (const Locking locking : kBackStrategies) {
    meets_moved(
        locking,
        [](MappedOnce& file) {
          EXPECT_FALSE(flush_all(*file.pages, 0, ~std::uint64_t{0}, {}).error);
          EXPECT_EQ(file.stored()[2 * kBackPage], 's');
        },
        's');
  }
}

// A program looks at the page, or stores into it, through another view. Fails if a page is shown while it is moved.
SIM_TEST(MoveTogetherSim, WhileOthersFault) {
  for (const Locking locking : kBackStrategies) {
    meets_moved(
        locking,
        [](MappedOnce& file) {
          if (file.views->answer_load(2)) {
            EXPECT_EQ(static_cast<char>(*file.views->at(2, kBackPage - 1)), 's');
          }
          EXPECT_FALSE(file.views->answer_store(2));
          EXPECT_EQ(static_cast<char>(*file.views->at(2, kBackPage - 1)), 's');
          file.views->store_all(2, 'm');
        },
        'm');
  }
}

// Two faults at once, on neighbours: each page is moved once. Fails if take() takes pages without a seal.
SIM_TEST(MoveTogetherSim, WhileOthersMove) {
  for (const Locking locking : kBackStrategies) {
    MappedOnce file(locking);
    for (std::uint64_t page = 0; page < kBackPages; ++page) EXPECT_EQ(file.read(page), 'i');
    map_with_window(file);
    const auto faults = [&] {
      for (std::uint64_t page = 0; page < kBackPages; ++page) {
        (void)MoveTogether(*file.pages).move(page, 0, 1);
      }
    };
    sync::Thread other = start_thread("other", faults);
    faults();
    other.join();
    for (std::uint64_t page = 0; page < kBackPages; ++page) {
      EXPECT_TRUE(file.value(page).in_file() && !file.value(page).sealed());
      EXPECT_EQ(file.read(page), 'i') << page;
    }
  }
}

// Another fault moves the page just when this one has seen it in its frame. Fails if take() does not look again, once
// it has the page: it would be copied from a frame that was lent.
MappedOnce* moved_between = nullptr;
SIM_TEST(MoveTogetherSim, WhatAnotherHasMovedIsLeftThere) {
  MappedOnce file(Locking::kGate);
  EXPECT_EQ(file.read(2), 'i');
  map_with_window(file);
  moved_between = &file;
  fault::between = []() noexcept {
    fault::between = nullptr;
    EXPECT_EQ(MoveTogether(*moved_between->pages).move(2, 0, 0), 1u);
  };
  EXPECT_EQ(MoveTogether(*file.pages).move(2, 0, 0), 0u);
  EXPECT_TRUE(file.value(2).in_file() && !file.value(2).sealed());
  EXPECT_EQ(file.read(2), 'i');
}

// Who evicts the pages as soon as they are let go has their frames, and uses them. Fails if let_go() comes before the
// frames are lent: the memory of what is somebody else's by then is given back, and he finds zeros.
FrameSet* used_between = nullptr;
std::array<FrameNumber, FrameSet::kFramesMax> frames_used;
SIM_TEST(MoveTogetherSim, WhatItLendsIsThePagesStill) {
  MappedOnce file(Locking::kGate);
  for (std::uint64_t page = 0; page < kBackPages; ++page) EXPECT_EQ(file.read(page), 'i');
  map_with_window(file);
  Memory& memory = file.cache->memory();
  FrameSet frames(memory);
  moved_between = &file;
  used_between = &frames;
  fault::between = []() noexcept {
    const PageValue value = moved_between->value(2);
    if (value.absent() || !value.in_file() || value.sealed()) return;
    fault::between = nullptr;
    Memory& all = moved_between->cache->memory();
    all.try_acquire(*used_between, all.pool().frames());
    EXPECT_EQ(moved_between->pages->resident_pages(), 0u);
    const std::size_t count = used_between->size();
    for (std::size_t i = 0; i < count; ++i) {
      const FrameNumber frame = frames_used[i] = used_between->take();
      std::memset(all.bytes(frame), 'x', kBackPage);
    }
    for (std::size_t i = 0; i < count; ++i) used_between->put(frames_used[i]);
  };
  EXPECT_EQ(MoveTogether(*file.pages).move(2, 2, 3), kBackPages);
  EXPECT_EQ(fault::between, nullptr);
  EXPECT_GE(frames.size(), kBackPages);
  while (frames.size() > 0) {
    const FrameNumber frame = frames.take();
    EXPECT_EQ(*memory.bytes(frame), std::byte{'x'}) << frame;
    memory.release(frame);
  }
}

// A page that is being copied is looked at, and left alone, when a third comes who waits for it meanwhile. Fails if
// take() does not wake who came while it had the page.
SIM_TEST(MoveTogetherSim, WhoComesWhileItLooksIsWoken) {
  for (const Locking locking : kBackStrategies) {
    MappedOnce file(locking);
    EXPECT_EQ(file.read(2), 'i');
    map_with_window(file);
    bool ended = false;
    sync::Thread third = start_thread("third", [&] {
      until([&] { return ended || file.value(2).sealed(); });
      EXPECT_EQ(file.read(2), 'i');
    });
    sync::Thread copies = start_thread("copies", [&] {
      const Hazards::Guard guard(Hazards::slot_of_thread(), file.pages->key(2));
      sync::Thread fault = start_thread("fault", [&] {
        for (int i = 0; i < 4; ++i) EXPECT_EQ(MoveTogether(*file.pages).move(2, 0, 0), 0u);
      });
      fault.join();
      ended = true;
    });
    copies.join();
    third.join();
    EXPECT_FALSE(file.value(2).in_file());
  }
}

// Eviction looks for all the memory: it passes the pages by, and is not left without an answer. Fails if let_go() tells
// nobody that pages can be evicted again (note_evictable): whoever waits for memory sleeps for ever.
SIM_TEST(MoveTogetherSim, WhileOthersEvict) {
  for (const Locking locking : kBackStrategies) {
    MappedOnce file(locking);
    for (std::uint64_t page = 0; page < kBackPages; ++page) EXPECT_EQ(file.read(page), 'i');
    map_with_window(file);
    bool ended = false;
    sync::Thread other = start_thread("other", [&] {
      until([&] { return ended || file.value(2).sealed(); });
      Memory& memory = file.cache->memory();
      FrameSet frames(memory);
      EXPECT_EQ(memory.acquire(frames, memory.pool().frames(), {}), sync::WaitStatus::kReady);
    });
    (void)MoveTogether(*file.pages).move(2, 2, 3);
    ended = true;
    other.join();
    EXPECT_EQ(file.pages->resident_pages(), 0u);
    for (std::uint64_t page = 0; page < kBackPages; ++page) EXPECT_EQ(file.read(page), 'i');
  }
}

SIM_TEST(MoveTogetherSim, WhileEverythingElseHappens) {
  for (const Locking locking : kBackStrategies) {
    MappedOnce file(locking);
    everything_at_once(
        file, [&] { map_with_window(file); },
        [&] {
          const std::uint64_t at = below_back(kBackPages);
          (void)MoveTogether(*file.pages).move(at, below_back(at + 1), below_back(kBackPages - at));
          (void)file.views->answer_load(at);
          if (file.views->loads(at)) {
            EXPECT_NE(static_cast<char>(*file.views->at(at, kBackPage - 1)), '\0');
          }
        });
  }
}

}  // namespace
}  // namespace quire::cache
