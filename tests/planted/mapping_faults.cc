// The planted faults of the mappings' answers to page faults: each test of what they prevent notices them.
#include <gtest/gtest.h>

#include "fault/planted.h"
#include "file/test_map_mid_fill.h"

namespace quire::file {
namespace {

TEST(MappingFaults, ShowUnpinned) {
  EXPECT_FALSE(shows_a_page_mid_fill(Locking::kRange));
  fault::plant(fault::Planted::kShowUnpinned);
  EXPECT_TRUE(shows_a_page_mid_fill(Locking::kRange)) << "the fault goes unnoticed";
  fault::plant(fault::Planted::kNone);
  FaultService::refuse({});
}

}  // namespace
}  // namespace quire::file
