// The engine under the simulation's schedules: fibers that read, write, append, cut and sync one small
// file through a cache of few frames, over a store whose requests take time and end in any order.
//
// Reads and writes go through the cache or past it, as it falls (torn-dio, direct-read-straddles-truncate,
// read-inserts-after-dio-invalidate). Every write fills whole pages, or one record, with a stamp of its own. So a page
// that a reader sees must be of one stamp, or zero where the file was cut or never written (torn-read-vs-write); and at
// the end the store must hold what the last of the operations, by any order of those that overlapped,
// left there.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <set>
#include <vector>

#include "cache/fill.h"
#include "cache/seal.h"
#include "cache/test_pages.h"
#include "file/buffered.h"
#include "file/reshape.h"
#include "file/resize.h"
#include "file/shoot_down.h"
#include "file/sync_file.h"
#include "file/test_engine.h"
#include "file/test_sim.h"
#include "sync/random.h"
#include "sync/sim/sim_test.h"
#include "sync/thread.h"

namespace quire::file {
namespace {

using cache::start_thread;

// A store that takes its time; each strategy in its turn, mapped or not, as the seed has it.
EngineOptions slow(std::size_t initial_bytes = 0) {
  return {.initial_bytes = initial_bytes,
          .latency = std::chrono::microseconds(100),
          .locking = static_cast<Locking>(below(4)),
          .mapped = below(2) == 0};
}

// A write or a read of the engine's, by either way, as it falls.
std::uint64_t write_somehow(Engine& engine, std::uint64_t offset, std::size_t bytes, char with) {
  return below(2) == 0 ? engine.write(offset, bytes, with)
                       : engine.write_direct(offset, bytes, with, patient());
}
std::vector<std::byte> read_somehow(Engine& engine, std::uint64_t offset, std::size_t bytes) {
  return below(2) == 0 ? engine.read(offset, bytes) : engine.read_direct(offset, bytes, patient());
}

bool all_of_one(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [&](std::byte b) { return b == bytes[0]; });
}

// Random whole-page reads, writes, punches and zeroings of a file of fixed size, and syncs. What a page may hold: any
// stamp whose write had begun before the read ended and was not, before the read began, followed by
// another complete write.
struct History {
  struct Write {
    char stamp;
    std::uint64_t began, ended;  // by a counter of events; ended 0: under way
  };
  std::vector<Write> writes;

  bool explains(char seen, std::uint64_t read_began, std::uint64_t read_ended) const {
    for (const Write& w : writes) {
      if (w.stamp != seen || w.began > read_ended) continue;
      const bool overwritten = std::any_of(writes.begin(), writes.end(), [&](const Write& later) {
        return w.ended != 0 && later.began > w.ended && later.ended != 0 &&
               later.ended < read_began;
      });
      if (!overwritten) return true;
    }
    return false;
  }
};

SIM_TEST(EngineSim, ReadersSeeWholePagesOfWritesThatSomeOrderExplains) {
  constexpr std::size_t kPages = 10;
  Engine engine(slow(kPages * kPage));
  std::array<History, kPages> history;
  for (History& h : history) h.writes.push_back({'i', 0, 0});
  for (History& h : history) h.writes[0].ended = 1;
  std::uint64_t events = 1;
  char next_stamp = 1;

  const auto write_some = [&] {
    for (int i = 0; i < 4; ++i) {
      const std::uint64_t first = below(kPages);
      const std::size_t count = 1 + below(std::min<std::size_t>(3, kPages - first));
      // A punch or zeroing is a write of zeros.
      const bool clears = below(4) == 0;
      const char stamp = clears ? '\0' : next_stamp++;
      if (stamp == 'i') continue;
      std::vector<std::size_t> at;
      const std::uint64_t began = ++events;
      for (std::size_t p = first; p < first + count; ++p) {
        at.push_back(history[p].writes.size());
        history[p].writes.push_back({stamp, began, 0});
      }
      if (clears) {
        const Cut kind = below(2) == 0 ? Cut::kPunch : Cut::kZero;
        EXPECT_FALSE(clear(engine.inode, kind, first * kPage, (first + count) * kPage, true, {}));
      } else {
        write_somehow(engine, first * kPage, count * kPage, stamp);
      }
      const std::uint64_t ended = ++events;
      for (std::size_t p = 0; p < count; ++p) history[first + p].writes[at[p]].ended = ended;
      if (below(4) == 0) engine.sync();
      if (below(4) == 0) {
        EXPECT_FALSE(write_and_invalidate(engine.inode, below(kPages), kPages, {}));
      }
      if (below(4) == 0) {
        cache::Stayed stayed;
        EXPECT_FALSE(invalidate(*engine.inode, 0, below(kPages), {}, &stayed));
      }
    }
  };
  const auto read_some = [&] {
    for (int i = 0; i < 5; ++i) {
      const std::uint64_t first = below(kPages);
      const std::size_t count = 1 + below(std::min<std::size_t>(4, kPages - first));
      const std::uint64_t began = ++events;
      const auto got = read_somehow(engine, first * kPage, count * kPage);
      const std::uint64_t ended = ++events;
      ASSERT_EQ(got.size(), count * kPage);
      for (std::size_t p = 0; p < count; ++p) {
        const auto page = std::span(got).subspan(p * kPage, kPage);
        EXPECT_TRUE(all_of_one(page)) << "torn page " << first + p;
        EXPECT_TRUE(history[first + p].explains(static_cast<char>(page[0]), began, ended))
            << "page " << first + p << " shows stamp " << static_cast<int>(page[0]);
      }
    }
  };
  // Maps the file, if it is not, has pages go over to the memory that is mapped, and loads and stores there; now and
  // then it unmaps the file, so that others have pages come back.
  const auto map_some = [&] {
    for (int i = 0; i < 10; ++i) {
      if (engine.mapped && below(4) == 0) engine.unmap();
      if (!engine.mapped) {
        if (below(2) == 0) continue;
        engine.map();
      }
      const std::uint64_t page = below(kPages);
      if (below(3) == 0) {
        ShotDown sealed(engine.inode);
        EXPECT_FALSE(sealed.lock(page, kPages - 1, {}));
        sealed.pages().move_to_file();
      } else if (below(2) == 0) {
        const std::uint64_t began = ++events;
        if (!engine.views->loads(page) && !engine.views->answer_load(page)) continue;
        if (!engine.views->loads(page)) continue;
        const char seen = static_cast<char>(*engine.views->at(page, below(kPage)));
        EXPECT_TRUE(history[page].explains(seen, began, ++events))
            << "mapped page " << page << " shows stamp " << static_cast<int>(seen);
      } else {
        if (!engine.views->stores(page) && engine.views->answer_store(page)) continue;
        if (!engine.views->stores(page)) continue;
        if (next_stamp == 'i') ++next_stamp;
        history[page].writes.push_back({next_stamp, ++events, ++events});
        engine.views->store_all(page, next_stamp++);
      }
    }
  };
  sync::Thread a = start_thread("writer-a", write_some);
  sync::Thread b = start_thread("writer-b", write_some);
  sync::Thread c = start_thread("reader", read_some);
  sync::Thread d = start_thread("program", map_some);
  read_some();
  a.join();
  b.join();
  c.join();
  d.join();
  engine.sync();
  const auto seen = engine.read(0, kPages * kPage);
  EXPECT_TRUE(seen == engine.store->durable_contents("f"));
}

// Appends and cuts: every record stays whole where no cut took it, and what is uncovered by growth is
// zero (post-EOF-exposure, extend-zeroing-vs-append, truncate-overtakes-write, size-vs-writeback).
SIM_TEST(EngineSim, AppendsCutsAndGrowthNeverShowWhatWasCut) {
  constexpr std::size_t kRecord = 1500;
  Engine engine(slow());
  char next_stamp = 1;
  const auto append_some = [&] {
    for (int i = 0; i < 3; ++i) write_somehow(engine, kAtEnd, kRecord, next_stamp++);
  };
  const auto cut_some = [&] {
    for (int i = 0; i < 3; ++i) {
      // A cut at a record's begin, so that what is left is whole records and zeros.
      const std::uint64_t size = engine.inode->size_bytes();
      engine.truncate(size < kRecord ? 0 : size / 2 / kRecord * kRecord);
      if (below(2) == 0)
        engine.truncate(engine.inode->size_bytes() / kRecord * kRecord + 2 * kRecord);
      if (below(2) == 0) engine.sync();
    }
  };
  const auto read_some = [&] {
    for (int i = 0; i < 4; ++i) {
      const std::uint64_t at = below(4) * kPage;
      const auto got = read_somehow(engine, at, kPage);
      // Within one page, each record's part is of one stamp or zero.
      for (std::size_t b = 0; b < got.size();) {
        const std::size_t in_record = kRecord - (at + b) % kRecord;
        const std::size_t n = std::min(in_record, got.size() - b);
        const auto part = std::span(got).subspan(b, n);
        EXPECT_TRUE(all_of_one(part)) << "at " << at + b;
        b += n;
      }
    }
  };
  sync::Thread a = start_thread("append-a", append_some);
  sync::Thread b = start_thread("cutter", cut_some);
  sync::Thread c = start_thread("reader", read_some);
  append_some();
  a.join();
  b.join();
  c.join();
  engine.sync();
  const auto durable = engine.store->durable_contents("f");
  EXPECT_EQ(durable.size(), engine.inode->size_bytes());
  EXPECT_TRUE(engine.read(0, durable.size() + 1) == durable);
  for (std::size_t r = 0; r < durable.size(); r += kRecord) {
    EXPECT_TRUE(all_of_one(std::span(durable).subspan(r, std::min(kRecord, durable.size() - r))));
  }
}

// Insert and collapse at one place, and appends at the end: the records appended stay whole and in order,
// whatever moved them meanwhile; a page is read as it was before a shift or as it is after, never a mixture
// (collapse-vs-truncate, append-aio-vs-fallocate, direct-read-straddles-collapse as a buffered read).
SIM_TEST(EngineSim, ShiftsMoveWholePagesAndAppendsFollow) {
  constexpr std::size_t kPages = 4;
  Engine engine(slow());
  for (std::size_t i = 0; i < kPages; ++i) {
    engine.write(i * kPage, kPage, static_cast<char>('a' + i));
  }
  std::vector<char> appended;
  const auto append_some = [&] {
    for (char stamp = 'p'; stamp < 't'; ++stamp) {
      engine.write(kAtEnd, kPage, stamp);
      appended.push_back(stamp);
    }
  };
  const auto shift_some = [&] {
    for (int i = 0; i < 3; ++i) {
      EXPECT_FALSE(shift(engine.inode, Cut::kInsert, kPage, 2 * kPage, {}));
      if (below(2) == 0) engine.sync();
      EXPECT_FALSE(shift(engine.inode, Cut::kCollapse, kPage, 2 * kPage, {}));
      if (below(3) == 0) cache::drop_clean(*engine.inode, 0, 100);
    }
  };
  const auto read_some = [&] {
    for (int i = 0; i < 6; ++i) {
      const std::uint64_t page = below(kPages + 2);
      const auto got = engine.read(page * kPage, kPage);
      ASSERT_EQ(got.size(), kPage);
      ASSERT_TRUE(all_of_one(got)) << "torn page " << page;
      const char seen = static_cast<char>(got[0]);
      const bool unmoved =
          page < kPages ? seen == static_cast<char>('a' + page) : (seen >= 'p' && seen < 't');
      const bool moved =
          page == 1 || page == 2 ? seen == 0 : seen == static_cast<char>('a' + page - 2);
      EXPECT_TRUE(unmoved || (page > 0 && moved)) << "page " << page << " shows " << seen;
    }
  };
  // There must be as many pages as are read.
  append_some();
  sync::Thread a = start_thread("append", append_some);
  sync::Thread b = start_thread("shift", shift_some);
  sync::Thread c = start_thread("reader", read_some);
  read_some();
  a.join();
  b.join();
  c.join();
  engine.sync();
  const auto durable = engine.store->durable_contents("f");
  ASSERT_EQ(durable.size(), (kPages + appended.size()) * kPage);
  EXPECT_TRUE(engine.read(0, durable.size() + 1) == durable);
  for (std::size_t page = 0; page < kPages + appended.size(); ++page) {
    const auto bytes = std::span(durable).subspan(page * kPage, kPage);
    const char expected = page < kPages ? static_cast<char>('a' + page) : appended[page - kPages];
    EXPECT_TRUE(all_of_one(bytes) && bytes[0] == static_cast<std::byte>(expected)) << page;
  }
}

// No cut: then every acknowledged append is there, once and whole, whatever was evicted and written
// back meanwhile; and in-place writers of the tail page disturb none of them.
SIM_TEST(EngineSim, DisjointAppendsKeepEachOthersBytes) {
  constexpr std::size_t kRecord = 700;
  Engine engine(slow());
  std::vector<std::pair<std::uint64_t, char>> records;
  char next_stamp = 1;
  const auto append_some = [&] {
    for (int i = 0; i < 6; ++i) {
      const char stamp = next_stamp++;
      records.emplace_back(write_somehow(engine, kAtEnd, kRecord, stamp), stamp);
      if (below(3) == 0) {
        const auto [at, mine] = records[below(records.size())];
        write_somehow(engine, at, kRecord, mine);  // in place, with what is there
      }
      if (below(4) == 0) cache::drop_clean(*engine.inode, 0, 100);
      if (below(4) == 0) engine.sync();
    }
  };
  sync::Thread a = start_thread("append-a", append_some);
  sync::Thread b = start_thread("append-b", append_some);
  append_some();
  a.join();
  b.join();
  engine.sync();
  const auto durable = engine.store->durable_contents("f");
  ASSERT_EQ(durable.size(), records.size() * kRecord);
  for (const auto& [at, stamp] : records) {
    const auto record = std::span(durable).subspan(at, kRecord);
    EXPECT_TRUE(all_of_one(record) && record[0] == static_cast<std::byte>(stamp)) << "at " << at;
  }
}

// memory pressure: two files' worth of sparse pages, each with tree nodes of its own, through a cache
// that holds two such pages. Everybody gets frames in the end: leaves without pages are freed.
SIM_TEST(EngineSim, SparsePagesThroughFewFramesNeverDeadlock) {
  EngineOptions options = slow();
  options.frames = 24;
  options.latency = {};
  Engine engine(options);
  const auto scatter = [&](std::uint64_t stride, char stamp) {
    for (std::uint64_t i = 1; i <= 4; ++i) {
      engine.write(i * stride * kPage, 10, stamp);
      const auto got = engine.read(i * stride * kPage, 5);
      EXPECT_EQ(got, cache::filled(5, stamp));
    }
  };
  sync::Thread a = start_thread("near", [&] { scatter(std::uint64_t{1} << 31, 'a'); });
  sync::Thread b = start_thread("far", [&] { scatter((std::uint64_t{1} << 48) + 1, 'b'); });
  a.join();
  b.join();
}

// Caller's way out: readers, writers and cutters that give up while the store works leave nothing behind.
SIM_TEST(EngineSim, GiveUpsLoseNothing) {
  Engine engine(slow(8 * kPage));
  const auto hurried = [&] {
    for (int i = 0; i < 6; ++i) {
      const sync::WaitLimit limit{sync::deadline_after(std::chrono::microseconds(below(200))), {}};
      std::vector<std::byte> buffer(2 * kPage, std::byte{'w'});
      const std::uint64_t at = below(7) * kPage;
      std::error_code error;
      switch (below(9)) {
        case 0: {
          SharedReadahead readahead(4);
          error = read_at(*engine.inode, readahead, buffer, at, limit).error;
          break;
        }
        case 1: {
          const std::span<const std::byte> piece = buffer;
          Gather from({&piece, 1});
          std::uint64_t offset = at;
          error = write_at(*engine.inode, from, buffer.size(), &offset, limit).error;
          break;
        }
        case 2:
          error = file::truncate(engine.inode, (4 + below(4)) * kPage, limit);
          break;
        case 3:
          error = clear(engine.inode, Cut::kPunch, at + below(3) * 100, at + kPage + below(3) * 200,
                        true, limit);
          break;
        case 4:
          error = shift(engine.inode, Cut::kInsert, 2 * kPage, kPage, limit);
          break;
        case 5:
          error = shift(engine.inode, Cut::kCollapse, 2 * kPage, kPage, limit);
          break;
        case 6: {
          const std::span<std::byte> piece = buffer;
          error = direct_read(engine.inode, {&piece, 1}, buffer.size(), at, limit).error;
          break;
        }
        case 7: {
          const std::span<const std::byte> piece = buffer;
          std::uint64_t offset = at;
          error = direct_write(engine.inode, {&piece, 1}, buffer.size(), &offset, limit).error;
          break;
        }
        default:
          error = sync_all(engine.inode, SyncKind::kAll, limit);
      }
      // Others' collapses may have left too little to collapse.
      EXPECT_TRUE(!error || error == Errc::kTimedOut || error == std::errc::invalid_argument)
          << error.message();
    }
  };
  sync::Thread a = start_thread("hurried-a", hurried);
  sync::Thread b = start_thread("hurried-b", hurried);
  hurried();
  a.join();
  b.join();
  EXPECT_EQ(engine.inode->wait_idle({}), sync::WaitStatus::kReady);
  engine.sync();
  const auto durable = engine.store->durable_contents("f");
  EXPECT_TRUE(engine.read(0, durable.size() + 1) == durable);
}

}  // namespace
}  // namespace quire::file
