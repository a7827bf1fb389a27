// What a Gate does to those who misuse it: it aborts.
#include <gtest/gtest.h>

#include "sync/gate.h"

namespace quire::sync {
namespace {

constexpr GateSide kAdd = GateSide::kAdd;
[[maybe_unused]] constexpr GateSide kBlock = GateSide::kBlock;

TEST(GateDeathTest, LeavingAnEmptyGateAborts) {
  EXPECT_DEATH(
      {
        Gate gate;
        gate.leave(kBlock);
      },
      "holders");
}

TEST(GateDeathTest, DestroyingAHeldGateAborts) {
  EXPECT_DEATH(
      {
        Gate gate;
        static_cast<void>(gate.try_enter(kAdd));
      },
      "word_");
}

#ifdef QUIRE_CHECKS
TEST(GateDeathTest, NestingAborts) {
  EXPECT_DEATH(
      {
        Gate gate;
        static_cast<void>(gate.enter(kAdd));
        static_cast<void>(gate.enter(kAdd));
      },
      "taking gate .* while holding gate");
}
#endif

}  // namespace
}  // namespace quire::sync
