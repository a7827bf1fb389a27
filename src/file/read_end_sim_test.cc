// Reads of a file's last page while a write that covers it makes the file longer.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <span>

#include "file/test_engine.h"
#include "file/test_sim.h"
#include "sync/sim/sim_test.h"
#include "sync/thread.h"

namespace quire::file {
namespace {

// torn-read-at-the-end: a read finds the file's end within a page; a write of the whole page makes the file
// longer; the read may not carry on where it stopped. Fails without met_the_end() in read_sound(), after hits
// (the page is cached) or after what was missing.
SIM_TEST(ReadEndSim, TheLastPageIsReadWholeThoughTheFileGrows) {
  for (const Locking locking :
       {Locking::kGate, Locking::kRange, Locking::kInvalidate, Locking::kInode}) {
    for (const bool cached : {false, true}) {
      Engine engine({.initial_bytes = 100, .locking = locking});
      if (cached) engine.read(0, 100);
      sync::Thread writer = cache::start_thread("writer", [&] { engine.write(0, 2 * kPage, 'w'); });
      const std::vector<std::byte> got = engine.read(0, kPage);
      writer.join();
      EXPECT_TRUE(got.size() == 100 || got.size() == kPage) << got.size();
      EXPECT_EQ(got, cache::filled(got.size(), static_cast<char>(got[0])));
    }
  }
}

}  // namespace
}  // namespace quire::file
