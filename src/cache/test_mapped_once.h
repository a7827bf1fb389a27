// MappedOnce: a file that a program maps and unmaps while others read, write and cut it, for tests of the simulation.
#ifndef QUIRE_CACHE_TEST_MAPPED_ONCE_H_
#define QUIRE_CACHE_TEST_MAPPED_ONCE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "cache/fill.h"
#include "cache/hazard.h"
#include "cache/page_read.h"
#include "cache/seal.h"
#include "cache/test_pages.h"
#include "cache/test_views.h"
#include "sync/random.h"

namespace quire::cache {

inline constexpr std::size_t kBackPage = limits::kPageBytes;
inline constexpr std::uint64_t kBackPages = 6;  // of the file
inline constexpr std::array kBackStrategies = {Locking::kGate, Locking::kRange,
                                               Locking::kInvalidate, Locking::kInode};

inline std::uint64_t below_back(std::uint64_t bound) {
  return sync::random_u64() % bound;
}

// A file of pages of 'i' that a program maps and unmaps; nothing is written back but by the test.
class MappedOnce : public OneFile {
 public:
  explicit MappedOnce(Locking locking)
      : OneFile(filled(kBackPages * kBackPage, 'i'), small_budget(32, 16), {}, locking),
        views(std::make_shared<TestViews>(kBackPages)) {
    cache->flusher().stop();
  }
  ~MappedOnce() {
    unmap();
    store->set_hook({});
    for (std::uint64_t page = 0; page < kBackPages; ++page) {
      EXPECT_EQ(value(page).pins(), 0u) << "page " << page;
      EXPECT_FALSE(value(page).writing() || value(page).sealed()) << "page " << page;
    }
  }
  void map() {
    auto begun = pages->begin_mapped(views);
    ASSERT_TRUE(begun.ok());
    mapped = std::move(*begun);
    views->map(*pages);
  }
  void unmap() {
    if (!mapped) return;
    views->unmap();
    mapped = {};
  }
  // A program stored into the page, and unmapped the file.
  void leave_stored(std::uint64_t page, char with) {
    map();
    EXPECT_FALSE(views->answer_store(page));
    views->store_all(page, with);
    unmap();
    EXPECT_TRUE(value(page).in_file());
  }
  // All of a page, waiting for what is not there or not to be read now. '?' for a torn one.
  char read(std::uint64_t page) {
    CacheLock::Operation operation;
    EXPECT_EQ(operation.begin(pages->lock(), sync::RwMode::kRead, {}), sync::WaitStatus::kReady);
    std::array<std::byte, kBackPage> bytes;
    const std::uint32_t slot = Hazards::slot_of_thread();
    for (;;) {
      const PageCopy copy = slot != Hazards::kNoSlot && below_back(2) == 0
                                ? copy_page(*pages, slot, page_offset(page), bytes)
                                : copy_page_pinned(*pages, page_offset(page), bytes);
      if (copy.look == PageLook::kCopied) break;
      if (copy.look == PageLook::kEnd) return '$';
      if (copy.look == PageLook::kMarked) take_marker(*pages, page);
      if (copy.look == PageLook::kUnreadable) (void)pages->wait_unreadable(page, {});
      if (copy.look != PageLook::kAbsent) continue;
      PinnedRun run;
      EXPECT_FALSE(fill_run(*pages, page, 1, {}, run));
    }
    const bool whole =
        std::all_of(bytes.begin(), bytes.end(), [&](std::byte byte) { return byte == bytes[0]; });
    return whole ? static_cast<char>(bytes[0]) : '?';
  }
  std::error_code write_page(std::uint64_t page, char with) {
    CacheLock::Operation operation;
    EXPECT_EQ(operation.begin(pages->lock(), sync::RwMode::kRead, {}), sync::WaitStatus::kReady);
    return write(page, with);
  }
  void seal(std::uint64_t first, std::uint64_t last,
            const std::function<void(SealedRange&)>& then) {
    CacheLock::Operation operation;
    ASSERT_EQ(operation.begin(pages->lock(), sync::RwMode::kWrite, {}), sync::WaitStatus::kReady);
    CacheLock::Block block;
    ASSERT_EQ(block.begin(pages->lock(), first, last, {}), sync::WaitStatus::kReady);
    SealedRange sealed(*pages);
    EXPECT_FALSE(sealed.seal(first, last, {}));
    then(sealed);
  }

  std::shared_ptr<TestViews> views;
  FilePages::Mapped mapped;
};

inline void give_way_often() {
  for (int i = 0; i < 50; ++i) sync::yield_thread();
}

}  // namespace quire::cache

#endif  // QUIRE_CACHE_TEST_MAPPED_ONCE_H_
