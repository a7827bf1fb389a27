// Everything at once on a file that a program maps and unmaps, for tests of the simulation.
#ifndef QUIRE_CACHE_TEST_MAPPED_MANY_H_
#define QUIRE_CACHE_TEST_MAPPED_MANY_H_

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <functional>

#include "cache/seal.h"
#include "cache/test_mapped_once.h"
#include "cache/test_pages.h"
#include "cache/writeback.h"
#include "sync/thread.h"

namespace quire::cache {

// A program maps the file by `maps`, looks at it by `looks` and stores into it before it unmaps it; others read, write,
// write back, cut, and want all the memory. Each page is of one writer in every look, and the last one is what stays:
// in a frame, and at the store. Even pages are the program's to change, odd ones the writer's: so that it is known what
// comes last.
inline void everything_at_once(MappedOnce& file, const std::function<void()>& maps,
                               const std::function<void()>& looks) {
  std::array<char, kBackPages> last;
  last.fill('i');
  const auto program = [&] {
    char with = 'A';
    for (int i = 0; i < 6; ++i) {
      maps();
      for (int k = 0; k < 3; ++k) {
        looks();
        const std::uint64_t at = below_back(kBackPages) / 2 * 2;
        if (!file.views->stores(at) && file.views->answer_store(at)) continue;
        if (!file.views->stores(at)) continue;
        file.views->store_all(at, with);
        last[at] = with++;
      }
      file.unmap();
    }
  };
  const auto writer = [&] {
    for (char with = 'a'; with < 'h'; ++with) {
      const std::uint64_t at = below_back(kBackPages) / 2 * 2 + 1;
      ASSERT_FALSE(file.write_page(at, with));
      last[at] = with;
    }
  };
  const auto reader = [&] {
    for (int i = 0; i < 12; ++i) {
      const std::uint64_t at = below_back(kBackPages);
      const char read = file.read(at);
      EXPECT_TRUE(read != '?' && read != '\0') << "page " << at;
    }
  };
  const auto others = [&] {
    for (int i = 0; i < 8; ++i) {
      switch (below_back(4)) {
        case 0:
          EXPECT_FALSE(flush_all(*file.pages, 0, ~std::uint64_t{0}, {}).error);
          break;
        case 1:
          file.seal(1, kBackPages - 1, [](SealedRange& sealed) { sealed.drop_clean(); });
          break;
        case 2:
          drop_clean(*file.pages, 0, kBackPages);
          break;
        default: {
          FrameSet frames(file.cache->memory());
          file.cache->memory().try_acquire(frames, 28);
        }
      }
    }
  };
  sync::Thread a = start_thread("program", program);
  sync::Thread b = start_thread("writer", writer);
  sync::Thread c = start_thread("reader", reader);
  others();
  a.join();
  b.join();
  c.join();
  for (std::uint64_t at = 0; at < kBackPages; ++at) {
    EXPECT_EQ(file.read(at), last[at]) << "page " << at;
    EXPECT_FALSE(file.value(at).in_file());
  }
  EXPECT_FALSE(file.pages->has_memory());
  EXPECT_FALSE(flush_all(*file.pages, 0, ~std::uint64_t{0}, {}).error);
  for (std::uint64_t at = 0; at < kBackPages; ++at) {
    EXPECT_EQ(file.stored()[at * kBackPage], last[at]) << "page " << at;
  }
}

}  // namespace quire::cache

#endif  // QUIRE_CACHE_TEST_MAPPED_MANY_H_
