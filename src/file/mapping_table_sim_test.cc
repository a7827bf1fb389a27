// Lookers beside those who change the table, under the simulation's schedules.
#include <gtest/gtest.h>

#include <array>
#include <memory>

#include "file/mapping_table.h"
#include "file/test_sim.h"
#include "sync/sim/sim_test.h"
#include "sync/test_threads.h"

namespace quire::file {
namespace {

class Nothing final : public MappedMemory {
 public:
  Copied load(std::span<const std::byte> part, std::span<std::byte> /*to*/,
              const sync::WaitLimit& /*limit*/) override {
    return {part.size(), {}};
  }
  Copied store(std::span<std::byte> part, std::span<const std::byte> /*from*/,
               const sync::WaitLimit& /*limit*/) override {
    return {part.size(), {}};
  }
};

// A range that stays is found by every look, however many others come and go meanwhile, by two who change the
// table at once. Fails if replace() takes the old array away before the new one is there, or if the changers
// do not exclude each other.
SIM_TEST(MappingTableSim, WhatStaysIsAlwaysFound) {
  struct alignas(kPage) Memory {
    std::array<std::byte, 6 * kPage> bytes;
  };
  const auto memory = std::make_unique<Memory>();
  const auto nothing = std::make_shared<Nothing>();
  const auto page = [&](std::size_t i) {
    return std::span<const std::byte>(memory->bytes).subspan(i * kPage, kPage);
  };
  MappingTable table;
  const auto add = [&](std::size_t i) {
    table.add({.bytes = page(i), .file = i + 1, .offset = 0, .memory = nothing});
  };
  add(2);
  std::array<sync::Thread, 2> changers;
  for (std::size_t i = 0; i < changers.size(); ++i) {
    changers[i] = sync::start_thread("changer", [&, i] {
      for (int turn = 0; turn < 3; ++turn) {
        add(4 * i);
        EXPECT_TRUE(table.meets(page(4 * i)));
        table.remove(page(4 * i));
        EXPECT_FALSE(table.meets(page(4 * i)));
      }
    });
  }
  sync::Thread looker = sync::start_thread("looker", [&] {
    for (int look = 0; look < 10; ++look) {
      EXPECT_TRUE(table.meets(page(2)));
      EXPECT_EQ(table.head(page(2)).file, 3u);
      EXPECT_FALSE(table.meets(page(3)));
    }
  });
  for (sync::Thread& changer : changers) changer.join();
  looker.join();
  table.remove(page(2));
  EXPECT_TRUE(table.empty());
}

}  // namespace
}  // namespace quire::file
