// Pages held for what stores into them and is no thread, under the simulation's schedules and every locking strategy:
// whatever stands in the way, the page is had in the end, or an error, and nothing of it is left over. Each test names
// the change to the code that makes it fail.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cache/fill.h"
#include "cache/hazard.h"
#include "cache/parked_write.h"
#include "cache/seal.h"
#include "cache/test_pages.h"
#include "cache/test_views.h"
#include "cache/writeback.h"
#include "sync/random.h"
#include "sync/sim/sim_test.h"
#include "sync/test_handler.h"
#include "sync/thread.h"

namespace quire::cache {
namespace {

constexpr std::size_t kPage = limits::kPageBytes;
constexpr std::uint64_t kPages = 8;  // of the file
constexpr std::array kStrategies = {Locking::kGate, Locking::kRange, Locking::kInvalidate,
                                    Locking::kInode};

class WriteTask final : public sync::TestHandler::Task {
 public:
  WriteTask(sync::TestHandler& handler, FilePages& pages) : Task(handler), write_(pages, *this) {}

  void begin(std::uint64_t index) {
    index_ = index;
    begun_ = false;
    ended_ = false;
    wake();
  }
  bool ended() const { return ended_; }
  // Times that it has begun to wait.
  int waits() const { return waits_; }
  void await_end() const {
    until([&] { return ended_; });
  }
  ParkedWrite& write() { return write_; }

 private:
  void run() override {
    EXPECT_FALSE(ended_) << "woken for nothing";
    if (std::exchange(begun_, true) ? write_.resume() : write_.begin(index_)) {
      ended_ = true;
    } else {
      ++waits_;
    }
  }

  ParkedWrite write_;
  std::uint64_t index_ = 0;
  bool begun_ = true;
  bool ended_ = true;
  int waits_ = 0;
};

// A file of pages of 'i' that a program maps, or will; nothing is written back but by the test.
class Mapped : public OneFile {
 public:
  enum class Begin : std::uint8_t { kNow, kLater };

  explicit Mapped(Locking locking, Begin when = Begin::kNow)
      : OneFile(filled(kPages * kPage, 'i'), small_budget(64, 16), {}, locking) {
    cache->flusher().stop();
    if (when == Begin::kNow) begin();
  }
  ~Mapped() {
    store->set_hook({});
    for (std::uint64_t page = 0; page < kPages; ++page) {
      EXPECT_EQ(value(page).pins(), 0u) << "page " << page;
      EXPECT_FALSE(value(page).writing()) << "page " << page;
    }
  }
  void begin() {
    views = std::make_shared<TestViews>(kPages);
    auto begun = pages->begin_mapped(views);
    ASSERT_TRUE(begun.ok());
    mapped = std::move(*begun);
    views->map(*pages);
  }
  void read_in(std::uint64_t page) {
    PinnedRun run;
    EXPECT_FALSE(fill_run(*pages, page, 1, {}, run));
  }
  char first_byte(std::uint64_t page) const {
    return static_cast<char>(*pages->bytes(page, value(page)));
  }
  // As it must be for the program that is about to store.
  void expect_held(const WriteTask& task, std::uint64_t page) const {
    EXPECT_TRUE(task.ended());
    EXPECT_TRUE(value(page).writing());
    EXPECT_TRUE(value(page).in_file());
    EXPECT_EQ(value(page).pins(), 0u);
  }

  std::shared_ptr<TestViews> views;
  FilePages::Mapped mapped;
};

void give_way() {
  for (int i = 0; i < 10; ++i) sync::yield_thread();
}

// Reads what is not there. Fails, by a deadlock, if filled() keeps the pins of what was read; or if begin() does not
// wait for the store. Released, the page is as it was: fails if release() makes it dirty, or wakes nobody.
SIM_TEST(ParkedWriteSim, ReadsThePageAndLeavesItAsItWas) {
  for (const Locking locking : kStrategies) {
    Mapped file(locking);
    file.store->set_hook(when(StoreOp::kRead, held()));
    {
      sync::TestHandler handler;
      WriteTask task(handler, *file.pages);
      task.begin(2);
      until([&] { return file.store->held() == 1; });
      give_way();
      EXPECT_FALSE(task.ended());
      EXPECT_EQ(file.value(2).state(), PageState::kFilling);
      file.store->release_held();
      task.await_end();
      ASSERT_TRUE(task.write().held());
      file.expect_held(task, 2);
      EXPECT_EQ(file.first_byte(2), 'i');
      sync::Thread reader = start_thread("reader", [&] {
        until([&] { return file.pages->wait_unreadable(2, {}) == sync::WaitStatus::kReady; });
        EXPECT_TRUE(file.value(2).readable());
      });
      until([&] { return file.value(2).waiters(); });
      task.write().release();
      reader.join();
    }
    EXPECT_EQ(file.value(2).state(), PageState::kClean);
    EXPECT_FALSE(file.value(2).stored());
    EXPECT_EQ(file.pages->dirty().size(), 0u);
  }
}

// Somebody else reads it, and keeps it pinned. Fails with kFirstStoreIgnoresPins (wait_pins() waits for nobody); by a
// deadlock, if look() does not wait for a page that is not readable.
SIM_TEST(ParkedWriteSim, WaitsForAnothersFillAndForPins) {
  for (const Locking locking : kStrategies) {
    Mapped file(locking);
    file.store->set_hook(when(StoreOp::kRead, held()));
    std::optional<PinnedRun> pinned(std::in_place);
    sync::Thread reader =
        start_thread("reader", [&] { EXPECT_FALSE(fill_run(*file.pages, 2, 1, {}, *pinned)); });
    until([&] { return file.store->held() == 1; });
    sync::TestHandler handler;
    WriteTask task(handler, *file.pages);
    task.begin(2);
    until([&] { return file.value(2).waiters(); });
    file.store->release_held();
    reader.join();
    until([&] { return task.ended() || (file.value(2).writing() && file.value(2).waiters()); });
    give_way();
    EXPECT_FALSE(task.ended()) << "while somebody reads the page";
    EXPECT_EQ(pinned->pages(), 1u);
    pinned.reset();
    task.await_end();
    ASSERT_TRUE(task.write().held());
    file.expect_held(task, 2);
    task.write().release();
  }
}

// Somebody copies the page, named by his hazard slot. Fails if look() asks no slots; by a deadlock, if resume() does
// not go on from them.
SIM_TEST(ParkedWriteSim, WaitsForAHazardReader) {
  for (const Locking locking : kStrategies) {
    Mapped file(locking);
    file.read_in(2);
    bool reads = false;
    bool done = false;
    sync::Thread reader = start_thread("reader", [&] {
      const Hazards::Guard guard(Hazards::slot_of_thread(), file.pages->key(2));
      EXPECT_TRUE(file.value(2).readable());
      reads = true;
      until([&] { return done; });
    });
    until([&] { return reads; });
    sync::TestHandler handler;
    WriteTask task(handler, *file.pages);
    task.begin(2);
    until([&] { return task.ended() || task.waits() > 0; });
    EXPECT_TRUE(file.value(2).writing());
    EXPECT_FALSE(task.ended()) << "while somebody reads the page";
    done = true;
    task.await_end();
    reader.join();
    ASSERT_TRUE(task.write().held());
    file.expect_held(task, 2);
    task.write().release();
  }
}

// A cut has the page sealed: it stays, or goes and is read again. Fails, by a deadlock, if the task is not woken by an
// unseal or a drop; or if it takes a page that is sealed.
SIM_TEST(ParkedWriteSim, WaitsForACut) {
  for (const Locking locking : kStrategies) {
    for (const bool drops : {false, true}) {
      Mapped file(locking);
      file.read_in(2);
      file.store->poke("f", filled(kPages * kPage, 'n'));
      SealedRange sealed(*file.pages);
      ASSERT_FALSE(sealed.seal(2, 2, {}));
      sync::TestHandler handler;
      WriteTask task(handler, *file.pages);
      task.begin(2);
      until([&] { return file.value(2).waiters(); });
      give_way();
      EXPECT_FALSE(task.ended());
      EXPECT_FALSE(file.value(2).writing());
      if (drops) sealed.drop_from(2);
      sealed.unseal();
      task.await_end();
      ASSERT_TRUE(task.write().held());
      file.expect_held(task, 2);
      EXPECT_EQ(file.first_byte(2), drops ? 'n' : 'i');
      task.write().release();
    }
  }
}

// It is truncated away meanwhile; or never was in the file. Fails if look() reads pages beyond the end, for ever, or
// says another error.
SIM_TEST(ParkedWriteSim, BeyondTheEndIsABadAddress) {
  for (const Locking locking : kStrategies) {
    Mapped file(locking);
    file.read_in(5);
    sync::TestHandler handler;
    WriteTask task(handler, *file.pages);
    {
      SealedRange sealed(*file.pages);
      ASSERT_FALSE(sealed.seal(4, kPages - 1, {}));
      task.begin(5);
      until([&] { return file.value(5).waiters(); });
      file.pages->set_size_bytes(4 * kPage);
      sealed.drop_from(4);
    }
    task.await_end();
    EXPECT_FALSE(task.write().held());
    EXPECT_EQ(task.write().error(), std::errc::bad_address);
    EXPECT_TRUE(file.value(5).absent());
    task.begin(4);
    task.await_end();
    EXPECT_EQ(task.write().error(), std::errc::bad_address);
    // It may be used again, and what was is forgotten.
    task.begin(3);
    task.await_end();
    EXPECT_TRUE(task.write().held());
    EXPECT_FALSE(task.write().error());
    task.write().release();
  }
}

// A page that lies in a frame and that the file's memory does not reach: fails if move() keeps what it held.
SIM_TEST(ParkedWriteSim, WhatCannotBeMovedIsLetGo) {
  for (const Locking locking : kStrategies) {
    Mapped file(locking, Mapped::Begin::kLater);
    file.read_in(5);
    file.begin();
    // As if somebody had made the file shorter and not come to the page yet.
    file.pages->set_size_bytes(5 * kPage);
    sync::TestHandler handler;
    WriteTask task(handler, *file.pages);
    task.begin(5);
    task.await_end();
    EXPECT_FALSE(task.write().held());
    EXPECT_EQ(task.write().error(), std::errc::bad_address);
    EXPECT_FALSE(file.value(5).in_file());
    EXPECT_TRUE(file.value(5).readable());
  }
}

// The store's error is the task's. Fails if filled() or look() loses it: then it reads for ever.
SIM_TEST(ParkedWriteSim, AReadErrorIsTheEnd) {
  for (const Locking locking : kStrategies) {
    Mapped file(locking);
    StoreVerdict verdict = failing(std::errc::io_error);
    verdict.hold = sync::random_u64() % 2 == 0;
    file.store->set_hook(when(StoreOp::kRead, verdict));
    sync::TestHandler handler;
    WriteTask task(handler, *file.pages);
    task.begin(2);
    until([&] { return task.ended() || file.store->release_held() > 0; });
    task.await_end();
    EXPECT_FALSE(task.write().held());
    EXPECT_EQ(task.write().error(), std::errc::io_error);
    EXPECT_TRUE(file.value(2).absent());
  }
}

// From a frame, where it is from before the file was mapped, clean or dirty. Fails if move() does not move; or if
// finish() keeps the credit of a page that has one.
SIM_TEST(ParkedWriteSim, MovesThePageOutOfItsFrame) {
  for (const Locking locking : kStrategies) {
    for (const bool dirty : {false, true}) {
      Mapped file(locking, Mapped::Begin::kLater);
      file.read_in(2);
      if (dirty) {
        EXPECT_FALSE(file.write(2, 'w'));
      }
      EXPECT_FALSE(file.value(2).in_file());
      file.begin();
      sync::TestHandler handler;
      WriteTask task(handler, *file.pages);
      task.begin(2);
      task.await_end();
      ASSERT_TRUE(task.write().held());
      file.expect_held(task, 2);
      EXPECT_EQ(file.first_byte(2), dirty ? 'w' : 'i');
      task.write().release();
      EXPECT_EQ(file.value(2).state(), dirty ? PageState::kDirty : PageState::kClean);
      EXPECT_EQ(file.cache->dirty().taken(), dirty ? 1u : 0u);

      ASSERT_FALSE(file.cache->dirty().take(1, {}));
      task.begin(2);
      task.await_end();
      ASSERT_TRUE(task.write().held());
      task.write().admit_stores();
      EXPECT_EQ(file.pages->dirty().size(), 1u);
      task.write().finish();
      EXPECT_FALSE(task.write().held());
      EXPECT_EQ(file.value(2).state(), PageState::kDirty);
      EXPECT_EQ(file.cache->dirty().taken(), 1u);
      EXPECT_EQ(file.pages->dirty().size(), 1u);
      EXPECT_FALSE(flush_all(*file.pages, 0, kPages - 1, {}).error);
      EXPECT_EQ(file.cache->dirty().taken(), 0u);
      EXPECT_EQ(file.stored()[2 * kPage], dirty ? 'w' : 'i');
    }
  }
}

// Two that want one page, beside readers, writers, cuts, writeback and eviction: each has it in its turn, alone.
// Fails if nothing but one's own pins is waited for, or (a deadlock) if whoever lets go of the page wakes nobody.
SIM_TEST(ParkedWriteSim, EverybodyWantsThePage) {
  for (const Locking locking : kStrategies) {
    Mapped file(locking);
    std::vector<sync::Thread> threads;
    const auto thread = [&](const char* name, auto once) {
      threads.push_back(start_thread(name, [once] {
        for (int i = 0; i < 6; ++i) {
          once();
          sync::yield_thread();
        }
      }));
    };
    // Stored by one at a time: the whole page is always of one letter.
    const auto expect_untorn = [&](const std::byte* bytes) {
      const std::byte first = *bytes;
      sync::yield_thread();
      EXPECT_EQ(std::count(bytes, bytes + kPage, first), static_cast<std::ptrdiff_t>(kPage));
    };
    thread("reader", [&] {
      PinnedRun run;
      EXPECT_FALSE(fill_run(*file.pages, 2, 1, {}, run));
      if (run.pages() > 0) expect_untorn(run.bytes(0));
    });
    thread("writer", [&] { EXPECT_FALSE(file.write(2, 'w')); });
    thread("cutter", [&] {
      if (file.pages->lock().guards_operations())
        return;  // who cuts keeps a whole operation out, and here are none
      SealedRange sealed(*file.pages);
      CacheLock::Block block;
      EXPECT_EQ(block.begin(file.pages->lock(), 0, kPages - 1, {}), sync::WaitStatus::kReady);
      EXPECT_FALSE(sealed.seal(2, 2, {}));
      if (!file.value(2).absent()) expect_untorn(file.pages->bytes(2, file.value(2)));
      sealed.unseal();
    });
    thread("flusher", [&] {
      EXPECT_FALSE(flush_all(*file.pages, 0, kPages - 1, {}).error);
      drop_clean(*file.pages, 0, kPages - 1);
    });
    {
      sync::TestHandler handler;
      WriteTask one(handler, *file.pages);
      WriteTask other(handler, *file.pages);
      for (int i = 0; i < 6; ++i) {
        one.begin(2);
        other.begin(2);
        WriteTask* at_work = nullptr;
        for (int turns = 0; turns < 2; ++turns) {
          until([&] {
            EXPECT_FALSE(one.write().held() && other.write().held());
            at_work = one.write().held() ? &one : &other;
            return at_work->ended() && at_work->write().held();
          });
          file.expect_held(*at_work, 2);
          if (sync::random_u64() % 2 == 0) {
            at_work->write().release();
            continue;
          }
          // Credits are no part of this: there are more than pages.
          EXPECT_FALSE(file.cache->dirty().take(1, {}));
          at_work->write().admit_stores();
          std::byte* const bytes = file.pages->bytes(2, file.value(2));
          std::fill_n(bytes, kPage / 2, static_cast<std::byte>('a' + i));
          sync::yield_thread();
          std::fill_n(bytes + kPage / 2, kPage / 2, static_cast<std::byte>('a' + i));
          at_work->write().finish();
        }
      }
      for (sync::Thread& each : threads) each.join();
    }
    EXPECT_FALSE(flush_all(*file.pages, 0, kPages - 1, {}).error);
  }
}

}  // namespace
}  // namespace quire::cache
