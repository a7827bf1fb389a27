#include "map/page_runs.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace quire::map {
namespace {

using Runs = PageRuns<int>;

// Runs beside the plain thing that they stand for: a value a page.
class Checked {
 public:
  explicit Checked(std::size_t pages) : runs_(pages, 0), plain_(pages, 0) {}

  void assign(std::size_t first, std::size_t count, int state) {
    ASSERT_TRUE(runs_.reserve());
    runs_.assign(first, count, state);
    for (std::size_t page = first; page < first + count; ++page) plain_[page] = state;
  }
  // The runs say of each page of the range what is so, in order, and neighbours differ.
  void expect_same(std::size_t first, std::size_t count) const {
    std::size_t at = first;
    int before = -1;
    runs_.visit(first, count, [&](const Runs::Run& run) {
      ASSERT_EQ(run.first, at);
      ASSERT_GT(run.count, 0u);
      ASSERT_NE(run.state, before);
      before = run.state;
      for (; at < run.end(); ++at) {
        ASSERT_EQ(run.state, plain_[at]) << at;
        ASSERT_EQ(runs_.at(at).state, plain_[at]) << at;
      }
    });
    ASSERT_EQ(at, first + count);
  }
  std::size_t runs() const { return runs_.runs(); }

 private:
  Runs runs_;
  std::vector<int> plain_;
};

TEST(PageRuns, SplitAndMerge) {
  Checked checked(10);
  EXPECT_EQ(checked.runs(), 1u);
  checked.assign(3, 2, 1);
  EXPECT_EQ(checked.runs(), 3u);
  checked.assign(5, 5, 1);
  EXPECT_EQ(checked.runs(), 2u);
  checked.assign(0, 3, 1);
  EXPECT_EQ(checked.runs(), 1u);
  checked.assign(9, 1, 2);
  checked.assign(0, 1, 2);
  EXPECT_EQ(checked.runs(), 3u);
  checked.assign(0, 10, 2);
  EXPECT_EQ(checked.runs(), 1u);
  checked.expect_same(0, 10);
}

TEST(PageRuns, SayWhatAPlainArraySays) {
  constexpr std::size_t kPages = 24;
  for (unsigned seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto below = [&](std::size_t limit) { return random() % limit; };
    Checked checked(kPages);
    for (int step = 0; step < 200; ++step) {
      const std::size_t first = below(kPages);
      checked.assign(first, 1 + below(kPages - first), static_cast<int>(below(3)));
      const std::size_t look = below(kPages);
      checked.expect_same(look, 1 + below(kPages - look));
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace quire::map
