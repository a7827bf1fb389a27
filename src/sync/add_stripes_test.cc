// The states of a gate's stripes, step by step. Interleavings: add_stripes_sim_test.cc. Each test names the
// change to the code that makes it fail.
#include "sync/add_stripes.h"

#include <gtest/gtest.h>

#include <deque>

#include "quire/limits.h"

namespace quire::sync {
namespace {

void heat(AddStripes& stripes) {
  for (std::uint32_t i = 0; i < AddStripes::kHotAfter; ++i) stripes.note_company();
}

// Fails if note_company() counts to another number, or a close leaves them open.
TEST(AddStripes, HotAfterCompanyAndOffAfterABlock) {
  AddStripes stripes;
  AddStripes::Stripe stripe = 0;
  for (int times = 0; times < 2; ++times) {
    for (std::uint32_t i = 1; i < AddStripes::kHotAfter; ++i) stripes.note_company();
    EXPECT_FALSE(stripes.is_hot());
    stripes.note_company();
    EXPECT_TRUE(stripes.is_hot());
    EXPECT_FALSE(stripes.try_enter(&stripe));
    stripes.open();
    ASSERT_TRUE(stripes.try_enter(&stripe));
    EXPECT_EQ(stripes.holders_count(), 1u);
    stripes.leave(stripe);
    EXPECT_EQ(stripes.close({}), WaitStatus::kReady);
    EXPECT_FALSE(stripes.is_hot() || stripes.is_open());
    EXPECT_FALSE(stripes.try_enter(&stripe));
  }
}

// Fails if note_company() does not look at the limit, or a gate that goes does not give its place back.
TEST(AddStripes, NoMoreGatesHaveThemThanTheLimit) {
  std::deque<AddStripes> gates(limits::kStripedGatesMax);
  for (AddStripes& gate : gates) {
    heat(gate);
    EXPECT_TRUE(gate.is_hot());
  }
  AddStripes late;
  heat(late);
  EXPECT_FALSE(late.is_hot());
  EXPECT_EQ(late.close({}), WaitStatus::kReady);
  gates.pop_back();
  heat(late);
  EXPECT_TRUE(late.is_hot());
}

}  // namespace
}  // namespace quire::sync
