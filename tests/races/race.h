// The races that the engine must survive (docs/races.md), each by its name and with a chosen interleaving,
// under the simulation's schedules and every locking strategy.
//
//   // What happens. Fails with kSealSkipsFilling: a sealer passes over pages that are being filled.
//   RACE(PunchVsReadahead, kSealSkipsFilling, {Locking::kInvalidate, "why it cannot happen there"}) {
//     QuietEngine engine(locking, 4);
//     ...
//   }
//
// makes the tests PunchVsReadaheadRace.gate, .range, .invalidate and .inode of sim_suite, and a row of the
// table of `./test --races`: there each of the four must hold with the code as it is, and be seen to fail
// with the planted fault (fault/planted.h), which is one line of the engine. Not so under the strategies
// that are listed with a reason: these keep the race from happening although the line is wrong, and the
// test must hold with the fault too.
//
// The name in docs/races.md is the same in lower case, punch-vs-readahead; `./test --lint` compares the two.
#ifndef QUIRE_TESTS_RACES_RACE_H_
#define QUIRE_TESTS_RACES_RACE_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "cache/fill.h"
#include "cache/page_write.h"
#include "cache/seal.h"
#include "cache/test_pages.h"
#include "fault/planted.h"
#include "file/reshape.h"
#include "file/test_engine.h"
#include "file/write_locks.h"
#include "sync/sim/sim_test.h"
#include "sync/thread.h"

namespace quire::races {

// A strategy under which the race cannot happen although the fault is planted.
struct Cannot {
  Locking locking;
  const char* why;
};

struct Race {
  const char* name;
  fault::Planted fault;
  std::vector<Cannot> cannot;
  void (*run)(Locking locking);
};

// All of them, in the order of the program's sources.
std::vector<Race>& all_races();

class Registration {
 public:
  explicit Registration(Race race) { all_races().push_back(std::move(race)); }
};

// ---- What the tests share ----

using cache::failing;
using cache::filled;
using cache::held;
using cache::held_answer;
using cache::start_thread;
using cache::until;
using cache::when;
using file::Engine;
using sync::GateSide;

using Bytes = std::vector<std::byte>;

inline constexpr std::size_t kPage = limits::kPageBytes;
inline constexpr std::uint64_t kLastPage = ~std::uint64_t{0};
inline const std::error_code kEio = std::make_error_code(std::errc::io_error);

// An engine in which nothing is written back but by the test, over a file of so many pages of 'i'.
class QuietEngine : public Engine {
 public:
  QuietEngine(Locking locking, std::size_t initial_pages)
      : QuietEngine({.initial_bytes = initial_pages * kPage,
                     .frames = 64,
                     .dirty_max_pages = 16,
                     .locking = locking}) {}
  explicit QuietEngine(const file::EngineOptions& options) : Engine(options) {
    pages->flusher().stop();
  }

  // Without readahead: nothing but what is asked for comes into the cache.
  file::Transfer read_into(std::uint64_t offset, std::span<std::byte> out) {
    file::SharedReadahead none(0);
    return file::read_at(*inode, none, out, offset, {});
  }
  Bytes read(std::uint64_t offset, std::size_t bytes) {
    Bytes out(bytes);
    const file::Transfer moved = read_into(offset, out);
    EXPECT_FALSE(moved.error) << moved.error.message();
    out.resize(moved.bytes);
    return out;
  }
  // Pages of 'a', 'b', ... , on the store, and none of them cached.
  void write_letters(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) write(i * kPage, kPage, static_cast<char>('a' + i));
    sync();
    drop_clean();
  }
  // Stores into bytes [from, to) of page 0 as a buffered write does, and lets others run in the middle of it.
  void write_slowly(std::size_t from, std::size_t to, char with) {
    file::WriteLocks locks(*inode);
    std::uint64_t offset = from;
    EXPECT_FALSE(locks.lock(&offset, to - from, file::WriteLocks::Extent::kBytes, {}));
    EXPECT_FALSE(pages->dirty().take(1, {}));
    cache::PageWrite page(*inode);
    EXPECT_FALSE(page.begin(0, from, to, {}));
    const std::size_t half = (to - from) / 2;
    std::memset(page.bytes() + from, with, half);
    for (int i = 0; i < 20; ++i) sync::yield_thread();
    std::memset(page.bytes() + from + half, with, to - from - half);
    page.finish(to);
  }
  void drop_clean() { cache::drop_clean(*inode, 0, kLastPage); }
  std::error_code sync_result() { return file::sync_all(inode, SyncKind::kAll, {}); }
  // Every answer from now on is the store's own; those that were held are given.
  void release() {
    store->set_hook({});
    store->release_held();
  }
  // Somebody waits for the file's lock, to block or, where a strategy needs that, to write; or for bytes.
  bool somebody_waits_to_change() {
    return inode->ranges().waiting_count() != 0 || waiting(GateSide::kBlock) != 0;
  }
  std::size_t waiting(GateSide side) { return inode->lock().waiting_count(side); }
  // The cache and, after a sync, the store have these bytes.
  void expect_all(const Bytes& bytes) {
    EXPECT_EQ(inode->size_bytes(), bytes.size());
    EXPECT_TRUE(read(0, bytes.size() + kPage) == bytes);
    sync();
    EXPECT_TRUE(store->durable_contents("f") == bytes);
    drop_clean();
    EXPECT_TRUE(read(0, bytes.size() + kPage) == bytes);
  }
};

inline StoreVerdict held_and_failing(std::errc code) {
  StoreVerdict verdict = failing(code);
  verdict.hold = true;
  return verdict;
}
// A page for each letter; a blank is a page of zeros.
inline Bytes pages_of(std::string_view letters) {
  Bytes bytes;
  for (const char letter : letters) {
    bytes.insert(bytes.end(), kPage, letter == ' ' ? std::byte{0} : static_cast<std::byte>(letter));
  }
  return bytes;
}
// A limit that has passed: calls end as soon as they would wait.
inline sync::WaitLimit at_once() {
  return {sync::Clock::now(), {}};
}

}  // namespace quire::races

// RACE(Name, fault, {strategy, reason}...) { ... }: see above. `locking` is the strategy.
#define RACE(name, planted, ...)                                                   \
  static void quire_race_##name(quire::Locking locking);                           \
  static const quire::races::Registration quire_registered_##name(                 \
      {#name, quire::fault::Planted::planted, {__VA_ARGS__}, &quire_race_##name}); \
  SIM_TEST(name##Race, gate) {                                                     \
    quire_race_##name(quire::Locking::kGate);                                      \
  }                                                                                \
  SIM_TEST(name##Race, range) {                                                    \
    quire_race_##name(quire::Locking::kRange);                                     \
  }                                                                                \
  SIM_TEST(name##Race, invalidate) {                                               \
    quire_race_##name(quire::Locking::kInvalidate);                                \
  }                                                                                \
  SIM_TEST(name##Race, inode) {                                                    \
    quire_race_##name(quire::Locking::kInode);                                     \
  }                                                                                \
  static void quire_race_##name([[maybe_unused]] quire::Locking locking)

#endif  // QUIRE_TESTS_RACES_RACE_H_
