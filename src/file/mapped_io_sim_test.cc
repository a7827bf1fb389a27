// The races of buffers that lie in mappings, under the simulation's schedules and all locking strategies. A fault
// of a stand-in reads its page through the cache, as one of a mapping would: if it had to wait for what the read
// or write holds that touches the memory, nothing would go on, which the scheduler reports.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "file/mapped_io.h"
#include "file/reshape.h"
#include "file/resize.h"
#include "file/shoot_down.h"
#include "file/test_engine.h"
#include "file/test_mappings.h"
#include "file/test_sim.h"
#include "sync/random.h"
#include "sync/sim/sim_test.h"
#include "sync/thread.h"

namespace quire::file {
namespace {

using cache::start_thread;

Locking some_strategy() {
  return static_cast<Locking>(below(4));
}
EngineOptions slow(Locking locking, std::size_t pages, std::uint32_t frames = 24) {
  return {.initial_bytes = pages * kPage,
          .frames = frames,
          .latency = std::chrono::microseconds(100),
          .locking = locking};
}

// Pages of the engine's file, from page `first` on.
std::unique_ptr<StandIn> map(Engine& engine, std::uint64_t first, std::size_t pages) {
  return std::make_unique<StandIn>(engine.inode->serial(), first * kPage, pages,
                                   [&engine](std::uint64_t offset, std::span<std::byte> page) {
                                     const auto bytes = engine.read(offset, page.size());
                                     if (bytes.empty()) return kEfault;
                                     std::copy(bytes.begin(), bytes.end(), page.begin());
                                     return std::error_code{};
                                   });
}

Transfer read_into(Engine& engine, IoPath path, std::span<std::byte> buffer, std::uint64_t offset) {
  SharedReadahead readahead(engine.pages->budget().readahead_max_pages);
  return mapped_read(engine.inode, readahead, path, {&buffer, 1}, buffer.size(), offset, patient());
}
Transfer write_from(Engine& engine, IoPath path, std::span<const std::byte> buffer,
                    std::uint64_t offset, std::uint64_t* went_to = nullptr) {
  const Transfer moved =
      mapped_write(engine.inode, path, {&buffer, 1}, buffer.size(), &offset, patient());
  if (went_to != nullptr) *went_to = offset;
  return moved;
}
void expect_moved(const Transfer& moved, std::size_t bytes) {
  EXPECT_FALSE(moved.error) << moved.error.message();
  EXPECT_EQ(moved.bytes, bytes);
}

// The letter that fills each page, '?' where a page is not of one.
std::string letters_of(std::span<const std::byte> bytes) {
  std::string letters;
  for (; !bytes.empty(); bytes = bytes.subspan(std::min(bytes.size(), kPage))) {
    const auto page = bytes.first(std::min(bytes.size(), kPage));
    const bool one =
        std::all_of(page.begin(), page.end(), [&](std::byte byte) { return byte == page[0]; });
    letters += one ? (page[0] == std::byte{0} ? '0' : static_cast<char>(page[0])) : '?';
  }
  return letters;
}

// dio-self-buffer: the buffer of a direct write and that of a direct read are other pages of the file that they
// write and read, while cuts block the file and its pages are shot down. Fails (nothing goes on) if a block of
// the file is held over copy_from_caller(), or the range of a read over copy_to_caller() while it is cut.
SIM_TEST(MappedSim, DioSelfBuffer) {
  const Locking locking = some_strategy();
  Engine engine(slow(locking, 8));
  engine.write(2 * kPage, kPage, 'c');
  const auto source = map(engine, 2, 1);
  const auto target = map(engine, 4, 1);
  sync::Thread writer = start_thread("writer", [&] {
    expect_moved(write_from(engine, IoPath::kDirect, source->bytes(), 0), kPage);
  });
  sync::Thread reader = start_thread("reader", [&] {
    expect_moved(read_into(engine, IoPath::kDirect, target->bytes(), 2 * kPage), kPage);
  });
  sync::Thread cutter = start_thread("cutter", [&] {
    EXPECT_FALSE(write_and_invalidate(engine.inode, 0, kLast, {}));
    EXPECT_FALSE(clear(engine.inode, Cut::kPunch, 2 * kPage, 3 * kPage, true, {}));
    EXPECT_FALSE(write_and_invalidate(engine.inode, 0, kLast, {}));
  });
  writer.join();
  reader.join();
  cutter.join();
  const std::string file = letters_of(engine.read(0, 8 * kPage));
  EXPECT_TRUE(file == "ci0iiiii" || file == "0i0iiiii") << file;
  const std::string got = letters_of(target->contents());
  EXPECT_TRUE(got == "c" || got == "0") << got;
}

// dio-onto-itself: a page is written directly from a mapping of itself, and read into one, beside others who
// write it. Fails (nothing goes on) if the page is blocked or sealed over the copying.
SIM_TEST(MappedSim, DioOntoItself) {
  Engine engine(slow(some_strategy(), 4));
  const auto source = map(engine, 1, 2);
  const auto target = map(engine, 1, 2);
  sync::Thread writer = start_thread("writer", [&] {
    for (int i = 0; i < 2; ++i) {
      expect_moved(write_from(engine, IoPath::kDirect, source->bytes(), kPage), 2 * kPage);
      source->evict();
    }
  });
  sync::Thread reader = start_thread("reader", [&] {
    expect_moved(read_into(engine, IoPath::kDirect, target->bytes(), kPage), 2 * kPage);
  });
  sync::Thread other = start_thread("other", [&] { engine.write(kPage, 2 * kPage, 'o'); });
  writer.join();
  reader.join();
  other.join();
  for (const std::string& seen :
       {letters_of(engine.read(kPage, 2 * kPage)), letters_of(target->contents())}) {
    for (const char letter : seen) EXPECT_TRUE(letter == 'i' || letter == 'o') << seen;
  }
}

// dio-ABBA, and a ring of three: each file is written directly from a mapping of the next one's page that is being
// written too. Fails (nothing goes on) if a block is held over the copying, were it only where the buffer does
// not overlap what is written.
SIM_TEST(MappedSim, DioAbba) {
  const std::size_t files = 2 + below(2);
  const Locking locking = some_strategy();
  std::vector<std::unique_ptr<Engine>> engines;
  std::vector<std::unique_ptr<StandIn>> mappings;
  std::string all;
  for (std::size_t i = 0; i < files; ++i) {
    engines.push_back(std::make_unique<Engine>(slow(locking, 3)));
    all += static_cast<char>('a' + i);
    engines[i]->write(0, 2 * kPage, all[i]);
  }
  for (std::size_t i = 0; i < files; ++i) mappings.push_back(map(*engines[(i + 1) % files], 0, 2));
  std::vector<sync::Thread> writers;
  for (std::size_t i = 0; i < files; ++i) {
    writers.push_back(start_thread("writer", [&, i] {
      expect_moved(write_from(*engines[i], IoPath::kDirect, mappings[i]->bytes(), 0), 2 * kPage);
    }));
  }
  for (sync::Thread& writer : writers) writer.join();
  for (const auto& engine : engines) {
    for (const char letter : letters_of(engine->read(0, 2 * kPage))) {
      EXPECT_NE(all.find(letter), std::string::npos) << letter;
    }
    EXPECT_EQ(letters_of(engine->read(2 * kPage, kPage)), "i");
  }
}

// buffered-self-buffer: a page is written through the cache from a mapping of itself, and read into one, while
// others write it and it is shot down. Fails (nothing goes on) if the page is made `writing`, or its range
// locked under `inode`, before copy_from_caller().
SIM_TEST(MappedSim, BufferedSelfBuffer) {
  Engine engine(slow(some_strategy(), 4));
  const auto source = map(engine, 0, 2);
  const auto target = map(engine, 0, 2);
  sync::Thread writer = start_thread("writer", [&] {
    for (int i = 0; i < 2; ++i) {
      expect_moved(write_from(engine, IoPath::kCached, source->bytes(), 0), 2 * kPage);
      source->evict();
    }
  });
  sync::Thread reader = start_thread("reader", [&] {
    expect_moved(read_into(engine, IoPath::kCached, target->bytes(), 0), 2 * kPage);
  });
  sync::Thread other = start_thread("other", [&] {
    engine.write(0, 2 * kPage, 'o');
    EXPECT_FALSE(write_and_invalidate(engine.inode, 0, kLast, {}));
  });
  writer.join();
  reader.join();
  other.join();
  for (const std::string& seen :
       {letters_of(engine.read(0, 2 * kPage)), letters_of(target->contents())}) {
    for (const char letter : seen) EXPECT_TRUE(letter == 'i' || letter == 'o') << seen;
  }
}

// dio-buffer-readahead-into-range: the fault of the buffer reads ahead, into the very pages that are to be written
// past the cache, and so does somebody else. None of it is in the cache afterwards with what the store had
// before. Fails if ShotDown::drop() is left out, or the block begins after it.
SIM_TEST(MappedSim, DioBufferReadaheadIntoRange) {
  Engine engine(slow(some_strategy(), 8));
  engine.write(0, 2 * kPage, 'n');
  engine.sync();
  const auto source = map(engine, 0, 2);
  sync::Thread writer = start_thread("writer", [&] {
    expect_moved(write_from(engine, IoPath::kDirect, source->bytes(), 2 * kPage), 2 * kPage);
    EXPECT_EQ(letters_of(engine.read(0, 8 * kPage)), "nnnniiii");
  });
  sync::Thread ahead = start_thread("ahead", [&] {
    for (int i = 0; i < 3; ++i) will_need(*engine.inode, 0, 7);
  });
  writer.join();
  ahead.join();
  EXPECT_EQ(letters_of(engine.read(0, 8 * kPage)), "nnnniiii");
  EXPECT_EQ(letters_of(engine.store->contents("f")), "nnnniiii");
}

// partial-dio-fault: the file that the buffer maps is cut while it is copied from. What is said to have been moved
// is what was, and no more. Fails if the rest of the bounce is written too.
SIM_TEST(MappedSim, PartialDioFault) {
  const Locking locking = some_strategy();
  Engine target(slow(locking, 4));
  Engine mapped(slow(locking, 4));
  mapped.write(0, 4 * kPage, 'm');
  const auto source = map(mapped, 0, 4);
  const IoPath path = below(2) == 0 ? IoPath::kDirect : IoPath::kCached;
  Transfer moved;
  sync::Thread writer =
      start_thread("writer", [&] { moved = write_from(target, path, source->bytes(), 0); });
  sync::Thread cutter = start_thread("cutter", [&] { mapped.truncate(below(4) * kPage); });
  writer.join();
  cutter.join();
  EXPECT_EQ(moved.bytes % kPage, 0u);
  EXPECT_EQ(moved.error ? moved.error : kEfault, kEfault);
  EXPECT_EQ(moved.error == kEfault, moved.bytes < 4 * kPage);
  const std::size_t pages = moved.bytes / kPage;
  EXPECT_EQ(letters_of(target.read(0, 4 * kPage)),
            std::string(pages, 'm') + std::string(4 - pages, 'i'));
}

// memory-wait-with-a-bounce: more of them at once than there are frames, each of which needs further memory, for
// the page that its buffer shows and for that which it reads. Fails (nothing goes on) without turns.
SIM_TEST(MappedSim, MoreThanThereIsMemoryFor) {
  const Locking locking = some_strategy();
  Engine engine(slow(locking, 8, 12));
  Engine other(slow(locking, 8, 12));
  constexpr std::size_t kThreads = 14;
  std::vector<std::unique_ptr<StandIn>> mappings;
  std::vector<sync::Thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) mappings.push_back(map(other, i % 8, 1));
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.push_back(start_thread("self", [&, i] {
      const IoPath path = i % 4 < 2 ? IoPath::kCached : IoPath::kDirect;
      const Transfer moved = i % 2 == 0
                                 ? read_into(engine, path, mappings[i]->bytes(), i % 8 * kPage)
                                 : write_from(engine, path, mappings[i]->bytes(), i % 8 * kPage);
      expect_moved(moved, kPage);
    }));
  }
  for (sync::Thread& thread : threads) thread.join();
  EXPECT_EQ(letters_of(engine.read(0, 8 * kPage)), "iiiiiiii");
  EXPECT_EQ(engine.pages->turns().held_count(), 0u);
}

// Appends of several pieces, beside others: each is in one place. Fails without extend().
SIM_TEST(MappedSim, AppendsStayTogether) {
  const Locking locking = some_strategy();
  Engine engine(slow(locking, 0));
  Engine mapped(slow(locking, 6));
  mapped.write(0, 3 * kPage, 'a');
  mapped.write(3 * kPage, 3 * kPage, 'b');
  const auto first = map(mapped, 0, 3);
  const auto second = map(mapped, 3, 3);
  std::array<std::uint64_t, 2> at{};
  const auto append = [&](std::size_t i) {
    const IoPath path = i == 0 ? IoPath::kCached : IoPath::kDirect;
    const auto& mapping = i == 0 ? first : second;
    expect_moved(write_from(engine, path, mapping->bytes(), kAtEnd, &at[i]), 3 * kPage);
  };
  sync::Thread one = start_thread("one", [&] { append(0); });
  sync::Thread two = start_thread("two", [&] { append(1); });
  sync::Thread plain = start_thread("plain", [&] { (void)engine.write(kAtEnd, kPage, 'p'); });
  one.join();
  two.join();
  plain.join();
  const std::string file = letters_of(engine.read(0, 8 * kPage));
  EXPECT_EQ(file.size(), 7u);
  EXPECT_EQ(file.substr(at[0] / kPage, 3), "aaa") << file;
  EXPECT_EQ(file.substr(at[1] / kPage, 3), "bbb") << file;
  EXPECT_NE(file.find('p'), std::string::npos) << file;
}

// Pages are read whole, and written so, also where a buffer begins within one. Fails if the pieces of a bounce are
// not cut where the pages of the file are.
SIM_TEST(MappedSim, PagesStayWhole) {
  const Locking locking = some_strategy();
  constexpr std::size_t kBegin = kPage / 2;
  Engine engine(slow(locking, 4));
  Engine mapped(slow(locking, 3));
  mapped.write(0, 3 * kPage, 'm');
  const auto source = map(mapped, 0, 3);
  const auto target = map(mapped, 0, 3);
  const IoPath path = below(2) == 0 ? IoPath::kDirect : IoPath::kCached;
  sync::Thread writer = start_thread("writer", [&] {
    expect_moved(write_from(engine, path, source->bytes(), kBegin), 3 * kPage);
  });
  sync::Thread other = start_thread("other", [&] {
    for (const char letter : {'o', 'p'}) engine.write(0, 4 * kPage, letter);
  });
  sync::Thread reader = start_thread("reader", [&] {
    expect_moved(read_into(engine, path, target->bytes(), kBegin), 3 * kPage);
    const auto seen = target->contents();
    for (const std::size_t page : {1u, 2u}) {
      EXPECT_NE(letters_of(std::span(seen).subspan(page * kPage - kBegin, kPage)), "?");
    }
  });
  writer.join();
  other.join();
  reader.join();
  const std::string file = letters_of(engine.read(0, 4 * kPage));
  EXPECT_EQ(file.substr(1, 2).find('?'), std::string::npos) << file;
}

}  // namespace
}  // namespace quire::file
