// What a Gate does to those who misuse it: it aborts.
#include <gtest/gtest.h>

#include "sync/gate.h"

namespace quire::sync {
namespace {

TEST(GateDeathTest, LeavingAnEmptyGateAborts) {
  EXPECT_DEATH(
      {
        Gate gate;
        gate.leave(GateSide::kBlock);
      },
      "holders");
}

TEST(GateDeathTest, DestroyingAHeldGateAborts) {
  EXPECT_DEATH(
      {
        Gate gate;
        static_cast<void>(gate.try_enter(GateSide::kAdd));
      },
      "word_");
}

#ifdef QUIRE_CHECKS
TEST(GateDeathTest, NestingAborts) {
  EXPECT_DEATH(
      {
        Gate gate;
        static_cast<void>(gate.enter(GateSide::kAdd));
        static_cast<void>(gate.enter(GateSide::kAdd));
      },
      "taking gate .* while holding gate");
}
#endif

}  // namespace
}  // namespace quire::sync
