// Readahead and fadvise against every cut, by chosen interleavings and under all locking strategies. Each test
// names the change to the code that makes it fail.
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "cache/fill.h"
#include "cache/page_write.h"
#include "file/resize.h"
#include "file/test_cuts.h"

namespace quire::file {
namespace {

using sync::GateSide;

// One of the five, of page 1 and, where it moves or cuts it away, of what is behind.
struct AnyCut {
  const char* name;
  StoreOp op;
  std::function<std::error_code(const std::shared_ptr<Inode>&)> run;
  // What pages 0, 1, ... of "abcd" are afterwards; a blank: zeros.
  std::string letters;
};
const AnyCut kCuts[] = {
    {"punch", StoreOp::kCut, [](auto& inode) { return cut(inode, Cut::kPunch, kPage, kPage); },
     "a cd"},
    {"zero", StoreOp::kCut, [](auto& inode) { return cut(inode, Cut::kZero, kPage, kPage); },
     "a cd"},
    {"insert", StoreOp::kCut, [](auto& inode) { return cut(inode, Cut::kInsert, kPage, kPage); },
     "a bcd"},
    {"collapse", StoreOp::kCut,
     [](auto& inode) { return cut(inode, Cut::kCollapse, kPage, kPage); }, "acd"},
    {"truncate", StoreOp::kTruncate, [](auto& inode) { return truncate(inode, kPage, {}); }, "a"},
};

class AdviceVsCut : public testing::TestWithParam<std::tuple<Locking, int>> {
 protected:
  void SetUp() override {
    engine_.emplace(EngineOptions{
        .frames = 64, .dirty_max_pages = 16, .locking = std::get<Locking>(GetParam())});
    engine_->pages->flusher().stop();
    for (const char letter : {'a', 'b', 'c', 'd'}) engine_->write(kAtEnd, kPage, letter);
    engine_->sync();
    cache::drop_clean(*engine_->inode, 0, kLast);
  }
  const AnyCut& tested() { return kCuts[std::get<int>(GetParam())]; }
  sync::Thread start_cut() {
    return start_thread("cutter", [this] {
      const std::error_code error = tested().run(engine_->inode);
      EXPECT_FALSE(error) << error.message();
      cut_ended_.store(true);
    });
  }
  // Holds the requests of one kind that reach past page 0.
  void hold(StoreOp op, StoreVerdict verdict) {
    engine_->store->set_hook([op, verdict](const StoreRequest& request) {
      return request.op == op ? verdict : StoreVerdict{};
    });
  }
  std::size_t held_requests() { return engine_->store->held(); }
  void release() {
    engine_->store->set_hook({});
    engine_->store->release_held();
  }
  // Waits until the cut waits: for the page, or at the lock.
  void expect_cut_waits() {
    until([this] {
      return cut_ended_.load() || engine_->value(1).waiters() ||
             engine_->inode->lock().waiting_count(GateSide::kBlock) == 1;
    });
    EXPECT_FALSE(cut_ended_.load());
  }
  // The cache, and after a sync the store, have what the cut leaves.
  void expect_cut() {
    Bytes expected;
    for (const char letter : tested().letters) {
      expected.insert(expected.end(), kPage, std::byte(letter == ' ' ? 0 : letter));
    }
    EXPECT_TRUE(engine_->read(0, 8 * kPage) == expected);
    engine_->sync();
    EXPECT_TRUE(engine_->store->durable_contents("f") == expected);
    cache::drop_clean(*engine_->inode, 0, kLast);
    EXPECT_TRUE(engine_->read(0, 8 * kPage) == expected);
  }
  std::optional<Engine> engine_;
  sync::Atomic<bool> cut_ended_{false};
};

INSTANTIATE_TEST_SUITE_P(Strategies, AdviceVsCut,
                         testing::Combine(kStrategies, testing::Range(0, 5)),
                         [](const auto& tested) {
                           return std::string(cache::name(std::get<0>(tested.param))) + "_" +
                                  kCuts[std::get<1>(tested.param)].name;
                         });

// punch-vs-readahead, and the same of the others: a read of advise(kWillNeed) has taken the old bytes from
// the store and not yet brought them. The cut waits for it, and what it brought is gone. Fails if a sealer
// passes over filling pages.
TEST_P(AdviceVsCut, ReadaheadInFlight) {
  hold(StoreOp::kRead, held_answer());
  will_need(*engine_->inode, 0, 3);
  ASSERT_GE(held_requests(), 1u);
  ASSERT_EQ(engine_->value(1).state(), cache::PageState::kFilling);
  sync::Thread cutter = start_cut();
  expect_cut_waits();
  release();
  cutter.join();
  expect_cut();
}

// The store works on the cut: advise(kWillNeed) of the range gives up at once, and brings nothing back.
// Fails if lock_pages() begins no Block.
TEST_P(AdviceVsCut, ReadaheadBegunMeanwhile) {
  hold(tested().op, held());
  sync::Thread cutter = start_cut();
  until([&] { return held_requests() == 1; });
  will_need(*engine_->inode, 1, 3);
  EXPECT_TRUE(engine_->value(1).absent());
  release();
  cutter.join();
  expect_cut();
}

// ... nor does the readahead of a reader who goes on in front of the range. Fails as the one before.
TEST_P(AdviceVsCut, AReadersReadaheadMeanwhile) {
  hold(tested().op, held());
  sync::Thread cutter = start_cut();
  until([&] { return held_requests() == 1; });
  {
    cache::CacheLock::Operation reading;
    if (reading.try_begin(engine_->inode->lock(), sync::RwMode::kRead)) {
      EXPECT_TRUE(cache::start_fill(*engine_->inode, 1, 3, cache::Marker::kFirst).refused);
    }
    EXPECT_TRUE(engine_->value(1).absent());
  }
  release();
  cutter.join();
  expect_cut();
}

// advise(kDontNeed) writes a page back, and a cut comes: it waits until the write has ended, so that this is
// of no other's blocks. Fails if begin_seal() takes pages under writeback.
TEST_P(AdviceVsCut, DontNeedInFlight) {
  engine_->write(kPage, kPage, 'b');
  hold(StoreOp::kWrite, held());
  sync::Thread adviser =
      start_thread("adviser", [&] { EXPECT_FALSE(drop_behind(engine_->inode, 0, kLast)); });
  until([&] { return held_requests() == 1; });
  sync::Thread cutter = start_cut();
  expect_cut_waits();
  EXPECT_EQ(held_requests(), 1u);
  release();
  adviser.join();
  cutter.join();
  expect_cut();
}

// The store works on the cut, and advise(kDontNeed) comes for the same pages, one of them dirty: none is
// written to where it was. Fails if begin_writeback() takes sealed pages (of a punch, a zeroing or a truncate;
// then the adviser waits in vain for a page that is sealed, and is gone when it no longer is).
TEST_P(AdviceVsCut, DontNeedMeanwhile) {
  (void)engine_->read(0, 4 * kPage);
  engine_->write(kPage, kPage, 'b');
  int writes = 0;
  engine_->store->set_hook([&](const StoreRequest& request) {
    if (request.op == StoreOp::kWrite) ++writes;
    return request.op == tested().op ? held() : StoreVerdict{};
  });
  sync::Thread cutter = start_cut();
  until([&] { return held_requests() == 1; });
  const int before = writes;  // a shift writes what is dirty first
  sync::Atomic<bool> done{false};
  sync::Thread adviser = start_thread("adviser", [&] {
    EXPECT_FALSE(drop_behind(engine_->inode, 0, kLast));
    done.store(true);
  });
  // For a dirty page that goes it waits; those of a shift are clean by now.
  until([&] { return done.load() || engine_->value(1).waiters(); });
  EXPECT_EQ(writes, before);
  EXPECT_TRUE(engine_->value(1).sealed());
  EXPECT_NE(engine_->value(1).state(), cache::PageState::kWriteback);
  release();
  cutter.join();
  adviser.join();
  expect_cut();
}

}  // namespace
}  // namespace quire::file
