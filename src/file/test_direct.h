// What tests of direct IO share: one file of a small cache over a memory store, under each locking strategy.
#ifndef QUIRE_FILE_TEST_DIRECT_H_
#define QUIRE_FILE_TEST_DIRECT_H_

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "file/direct.h"
#include "file/test_cache.h"
#include "file/test_engine.h"

namespace quire::file {

inline constexpr TimeSpec kLongAgo = {1000, 0};

// A page of the caller's, where a store that asks for alignment takes it.
class AlignedPage {
 public:
  explicit AlignedPage(char with) { bytes_.fill(static_cast<std::byte>(with)); }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  alignas(kPage) std::array<std::byte, kPage> bytes_;
};

class Direct : public testing::TestWithParam<Locking> {
 protected:
  void make(std::size_t initial_pages, std::uint32_t frames = 64, std::uint32_t alignment = 1) {
    engine_.emplace(EngineOptions{.initial_bytes = initial_pages * kPage,
                                  .frames = frames,
                                  .dirty_max_pages = 16,
                                  .locking = GetParam(),
                                  .io_alignment_bytes = alignment});
    // Nothing is written but by the test.
    engine_->pages->flusher().stop();
  }
  Inode& inode() { return *engine_->inode; }
  MemoryStore& store() { return *engine_->store; }

  Transfer direct_write(std::span<const std::byte> data, std::uint64_t offset,
                        const sync::WaitLimit& limit = {}) {
    return file::direct_write(engine_->inode, {&data, 1}, data.size(), &offset, limit);
  }
  void write_direct(std::uint64_t offset, std::size_t bytes, char with) {
    (void)engine_->write_direct(offset, bytes, with);
  }
  std::vector<std::byte> read_direct(std::uint64_t offset, std::size_t bytes,
                                     const sync::WaitLimit& limit = {}) {
    return engine_->read_direct(offset, bytes, limit);
  }
  cache::PageValue value(std::uint64_t index) { return engine_->value(index); }
  // Threads that wait for a write range, or where the strategy makes whole operations wait, for their turn.
  std::size_t waiting() {
    return inode().ranges().waiting_count() + inode().lock().waiting_count(sync::GateSide::kAdd) +
           inode().lock().waiting_count(sync::GateSide::kBlock);
  }
  // Whoever misses now waits for the block, or under `inode` for the whole operation.
  bool an_adder_waits() { return inode().lock().waiting_count(sync::GateSide::kAdd) == 1; }
  // A limit that never comes, but could.
  sync::WaitLimit can_be_left() { return {sync::Clock::kNever, stop_.get_token()}; }

  std::stop_source stop_;
  std::optional<Engine> engine_;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_TEST_DIRECT_H_
