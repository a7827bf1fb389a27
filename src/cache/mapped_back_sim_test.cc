// Pages of a file that nobody maps any more, on their way back into frames, under the simulation's schedules and every
// locking strategy: whatever else is done to a page at any moment of it, it is in one place afterwards, with what was
// stored last, and the file's memory goes with the last page. Each test names the change to the code that makes it
// fail.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>

#include "cache/fill.h"
#include "cache/hazard.h"
#include "cache/page_read.h"
#include "cache/seal.h"
#include "cache/test_mapped_many.h"
#include "cache/test_mapped_once.h"
#include "cache/test_pages.h"
#include "cache/test_views.h"
#include "cache/writeback.h"
#include "sync/sim/sim_test.h"
#include "sync/thread.h"

namespace quire::cache {
namespace {

// While a page comes back, somebody else does something with it: `begins` in a thread of its own, in the middle of the
// move; the page cannot be had then, and is as it should be when both have ended.
void meets(Locking locking, const std::function<void(MappedOnce&)>& begins, char expected) {
  MappedOnce file(locking);
  file.leave_stored(2, 's');
  sync::Thread other;
  bool ended = false;
  file.views->on_hide = [&](std::uint64_t first, std::uint64_t count) {
    EXPECT_EQ(first, 2u);
    EXPECT_EQ(count, 1u);
    EXPECT_TRUE(file.value(2).sealed() || file.value(2).writing());
    other = start_thread("other", [&] {
      begins(file);
      ended = true;
    });
    give_way_often();
    EXPECT_EQ(file.value(2).pins(), 0u);
  };
  EXPECT_EQ(file.read(2), 's');
  if (other.joinable()) other.join();
  EXPECT_TRUE(ended);
  file.unmap();
  EXPECT_EQ(file.read(2), expected);
  EXPECT_EQ(file.read(2), expected);
  EXPECT_FALSE(file.value(2).in_file());
  EXPECT_FALSE(file.pages->has_memory());
  EXPECT_FALSE(flush_all(*file.pages, 0, ~std::uint64_t{0}, {}).error);
  EXPECT_EQ(file.stored()[2 * kBackPage], expected);
}

// Fails if come_back() moves the page without a seal.
SIM_TEST(MappedBackSim, WhileOthersRead) {
  for (const Locking locking : kBackStrategies) {
    meets(
        locking, [](MappedOnce& file) { EXPECT_EQ(file.read(2), 's'); }, 's');
  }
}

// Fails if come_back() moves the page without a seal: what is written in the middle is lost.
SIM_TEST(MappedBackSim, WhileOthersWrite) {
  for (const Locking locking : kBackStrategies) {
    meets(
        locking, [](MappedOnce& file) { EXPECT_FALSE(file.write_page(2, 'w')); }, 'w');
  }
}

// Fails if begin_move() takes a page that is sealed, or a cut does not wait for one that is moved.
SIM_TEST(MappedBackSim, WhileOthersCut) {
  for (const Locking locking : kBackStrategies) {
    meets(
        locking,
        [](MappedOnce& file) {
          file.seal(1, 3, [&](SealedRange& sealed) {
            EXPECT_FALSE(file.value(2).in_file());
            sealed.drop_from(1);
          });
        },
        'i');
  }
}

// Fails if what is under writeback is moved, or writeback copies a page that is being moved.
SIM_TEST(MappedBackSim, WhileOthersWriteBack) {
  for (const Locking locking : kBackStrategies) {
    meets(
        locking,
        [](MappedOnce& file) {
          EXPECT_FALSE(flush_all(*file.pages, 0, ~std::uint64_t{0}, {}).error);
          EXPECT_EQ(file.stored()[2 * kBackPage], 's');
        },
        's');
  }
}

// The page is clean, and eviction looks for memory: it passes the page by, and is not left without an answer. Fails if
// come_back() tells nobody that the page can be evicted again (note_evictable): whoever waits for memory sleeps for
// ever.
SIM_TEST(MappedBackSim, WhileOthersEvict) {
  for (const Locking locking : kBackStrategies) {
    MappedOnce file(locking);
    file.leave_stored(2, 's');
    EXPECT_FALSE(flush_all(*file.pages, 0, ~std::uint64_t{0}, {}).error);
    sync::Thread other;
    bool had = false;
    Memory& memory = file.cache->memory();
    file.views->on_hide = [&](std::uint64_t /*first*/, std::uint64_t /*count*/) {
      other = start_thread("other", [&] {
        FrameSet frames(memory);
        // All that there are: the page and its nodes must go.
        EXPECT_EQ(memory.acquire(frames, memory.pool().frames(), {}), sync::WaitStatus::kReady);
        had = true;
      });
      give_way_often();
      EXPECT_FALSE(had);
      EXPECT_FALSE(file.value(2).absent());
    };
    EXPECT_EQ(file.read(2), 's');
    other.join();
    EXPECT_TRUE(had);
    EXPECT_TRUE(file.value(2).absent());
    EXPECT_FALSE(file.pages->has_memory());
    EXPECT_EQ(file.read(2), 's');
  }
}

// Somebody maps the file again, and looks at the page or stores into it, which waits until the page is in its frame and
// moves it again. Fails if a page is shown while it is moved.
SIM_TEST(MappedBackSim, WhileOthersMapAgain) {
  for (const Locking locking : kBackStrategies) {
    for (const bool stores : {false, true}) {
      meets(
          locking,
          [&](MappedOnce& file) {
            file.map();
            EXPECT_FALSE(file.views->answer_load(2)) << "a page came into sight that is moved";
            if (!stores) return;
            EXPECT_FALSE(file.views->answer_store(2));
            EXPECT_EQ(static_cast<char>(*file.views->at(2, 0)), 's');
            file.views->store_all(2, 'm');
            file.unmap();
          },
          stores ? 'm' : 's');
    }
  }
}

// A reader is copying the page when another has read it, and would move it. Fails with kComeBackWhileRead (come_back()
// asks no hazard slots), and if begin_move() takes pages that are pinned.
SIM_TEST(MappedBackSim, NotWhileSomebodyReadsIt) {
  for (const Locking locking : kBackStrategies) {
    MappedOnce file(locking);
    file.leave_stored(2, 's');
    {
      const Hazards::Guard guard(Hazards::slot_of_thread(), file.pages->key(2));
      const std::byte* const bytes = file.pages->bytes(2, file.value(2));
      sync::Thread other = start_thread("other", [&] { EXPECT_EQ(file.read(2), 's'); });
      other.join();
      EXPECT_TRUE(file.value(2).in_file());
      EXPECT_EQ(static_cast<char>(*bytes), 's');
    }
    PageWord& word = *file.pages->find(2);
    PageValue value = word.load();
    ASSERT_TRUE(word.try_pin(value));
    EXPECT_EQ(file.read(2), 's');
    EXPECT_TRUE(file.value(2).in_file());
    file.pages->wake(2, word.unpin());
    EXPECT_EQ(file.read(2), 's');
    EXPECT_FALSE(file.value(2).in_file());
    EXPECT_FALSE(file.pages->has_memory());
  }
}

// What a program stored behind the end of the file does not come along. Fails with kComeBackWithTail: move_to_frame()
// copies all of the page.
SIM_TEST(MappedBackSim, WhatLiesBehindTheEndStaysBehind) {
  for (const bool writes : {false, true}) {
    MappedOnce file(Locking::kGate);
    file.pages->set_size_bytes(2 * kBackPage + 100);
    file.leave_stored(2, 's');
    if (writes) {
      EXPECT_FALSE(file.write(2, 'w', 10, 20));
    } else {
      std::byte byte{};
      EXPECT_EQ(copy_page_pinned(*file.pages, 2 * kBackPage, {&byte, 1}).look, PageLook::kCopied);
    }
    ASSERT_FALSE(file.value(2).in_file());
    const std::byte* const bytes = file.pages->bytes(2, file.value(2));
    EXPECT_EQ(static_cast<char>(bytes[99]), 's');
    EXPECT_EQ(static_cast<char>(bytes[10]), writes ? 'w' : 's');
    EXPECT_TRUE(std::all_of(bytes + 100, bytes + kBackPage,
                            [](std::byte byte) { return byte == std::byte{0}; }));
  }
}

SIM_TEST(MappedBackSim, WhileEverythingElseHappens) {
  for (const Locking locking : kBackStrategies) {
    MappedOnce file(locking);
    everything_at_once(
        file, [&] { file.map(); }, [] {});
  }
}

// Mappings come and go, and others use the memory for a moment: it is there as long as anybody has it, and there is
// one. Fails if leave() looks for the memory after it has given its use back: it frees what begin() has made since.
SIM_TEST(MappedBackSim, TheMemoryGoesWithItsLastUse) {
  MappedMode mode;
  const auto views = std::make_shared<TestViews>(1);
  sync::Mutex one_begins;
  const auto maps = [&] {
    for (int i = 0; i < 4; ++i) {
      if (!mode.join()) {
        sync::MutexLock lock(one_begins);
        if (!mode.join()) {
          EXPECT_FALSE(mode.begin(3, views));
        }
      }
      EXPECT_TRUE(mode.maps());
      EXPECT_EQ(mode.memory()->size_pages(), 3u);
      sync::yield_thread();
      struct stat status = {};
      EXPECT_EQ(::fstat(mode.memory()->fd(), &status), 0);
      mode.end();
    }
  };
  const auto uses = [&] {
    for (int i = 0; i < 8; ++i) {
      const MappedMode::Use memory = mode.use();
      if (!memory) continue;
      EXPECT_EQ(memory->size_pages(), 3u);
      sync::yield_thread();
      struct stat status = {};
      EXPECT_EQ(::fstat(memory->fd(), &status), 0);
    }
  };
  sync::Thread a = start_thread("a", maps);
  sync::Thread b = start_thread("b", maps);
  sync::Thread c = start_thread("c", uses);
  uses();
  a.join();
  b.join();
  c.join();
  EXPECT_FALSE(mode.has_memory());
  EXPECT_FALSE(mode.maps());
  EXPECT_EQ(mode.memory(), nullptr);
}

}  // namespace
}  // namespace quire::cache
