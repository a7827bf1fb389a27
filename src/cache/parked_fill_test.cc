// Misses that no thread waits for, on real threads: beside readers who evict each other's pages and cuts that drop
// them, under every strategy. What the simulation cannot see, data races, ThreadSanitizer sees here.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cache/fill.h"
#include "cache/seal.h"
#include "cache/test_pages.h"
#include "sync/atomic.h"
#include "sync/splitmix64.h"
#include "sync/test_handler.h"
#include "sync/thread.h"

namespace quire::cache {
namespace {

constexpr std::uint64_t kPages = 96;
constexpr std::uint32_t kFewFrames = 64;  // fewer than pages and those that are pinned
constexpr int kRounds = 300;

// Reads some pages, again and again.
class Reader final : public sync::TestHandler::Task {
 public:
  Reader(sync::TestHandler& handler, FilePages& pages, std::uint64_t seed)
      : Task(handler), pages_(pages), numbers_(seed) {}

  bool ended() const { return rounds_.load() == 0; }

 private:
  enum class Step { kStart, kOperation, kFill };

  void run() override {
    switch (step_) {
      case Step::kStart:
        step_ = Step::kOperation;
        operation_.emplace();
        if (!operation_->begin_async(pages_.lock(), sync::RwMode::kRead, at_operation_)) return;
        return begin();
      case Step::kOperation:
        operation_->granted(at_operation_);
        return begin();
      case Step::kFill:
        if (fill_->resume()) end();
        return;
    }
  }
  void begin() {
    step_ = Step::kFill;
    fill_.emplace(pages_, *this);
    if (fill_->begin(numbers_.next() % kPages, 1 + numbers_.next() % 4)) end();
  }
  void end() {
    EXPECT_FALSE(fill_->error());
    const PinnedRun& run = fill_->run();
    for (std::size_t i = 0; i < run.pages(); ++i) {
      EXPECT_EQ(*run.bytes(i), std::byte{'a'});
    }
    fill_.reset();
    operation_.reset();
    step_ = Step::kStart;
    if (rounds_.fetch_sub(1) > 1) wake();
  }

  FilePages& pages_;
  sync::SplitMix64 numbers_;
  Step step_ = Step::kStart;
  std::optional<CacheLock::Operation> operation_;
  CacheLock::OperationWaiter at_operation_{*this};
  std::optional<ParkedFill> fill_;
  sync::Atomic<int> rounds_{kRounds};
};

class ParkedFillTest : public testing::TestWithParam<Locking> {};

INSTANTIATE_TEST_SUITE_P(Strategies, ParkedFillTest,
                         testing::Values(Locking::kGate, Locking::kRange, Locking::kInvalidate,
                                         Locking::kInode),
                         [](const auto& tested) { return std::string(name(tested.param)); });

// Fails (does not end, or a frame or a pin is lost) if somebody's turn is lost on the way.
TEST_P(ParkedFillTest, EverybodyGetsOn) {
  OneFile file(filled(kPages * limits::kPageBytes, 'a'), small_budget(kFewFrames, 8), {},
               GetParam());
  FilePages& pages = *file.pages;
  {
    sync::TestHandler handler;
    std::vector<std::unique_ptr<Reader>> parked;
    for (std::uint64_t i = 0; i < 6; ++i) {
      parked.push_back(std::make_unique<Reader>(handler, pages, i));
      parked.back()->wake();
    }
    sync::Thread reader = start_thread("reader", [&] {
      sync::SplitMix64 numbers(100);
      for (int round = 0; round < kRounds; ++round) {
        CacheLock::Operation operation;
        EXPECT_EQ(operation.begin(pages.lock(), sync::RwMode::kRead, {}), sync::WaitStatus::kReady);
        PinnedRun run;
        EXPECT_FALSE(fill_run(pages, numbers.next() % kPages, 4, {}, run));
      }
    });
    sync::Thread cutter = start_thread("cutter", [&] {
      sync::SplitMix64 numbers(200);
      for (int round = 0; round < kRounds; ++round) {
        const std::uint64_t first = numbers.next() % kPages;
        CacheLock::Operation operation;
        EXPECT_EQ(operation.begin(pages.lock(), sync::RwMode::kWrite, {}),
                  sync::WaitStatus::kReady);
        CacheLock::Block block;
        EXPECT_EQ(block.begin(pages.lock(), first, first + 8, {}), sync::WaitStatus::kReady);
        SealedRange sealed(pages);
        EXPECT_FALSE(sealed.seal(first, first + 8, {}));
        sealed.drop_from(first);
      }
    });
    reader.join();
    cutter.join();
    for (const auto& p : parked) {
      while (!p->ended()) sync::yield_thread();
    }
  }
}

}  // namespace
}  // namespace quire::cache
