// Engine: one Inode of a small cache over a memory store, for tests of the file floor that need no handles
// and no table of files. At its end it looks that no dirty credit, no frame and no space was lost.
#ifndef QUIRE_FILE_TEST_ENGINE_H_
#define QUIRE_FILE_TEST_ENGINE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cache/hazard.h"
#include "cache/page_cache.h"
#include "cache/test_pages.h"
#include "cache/test_views.h"
#include "file/buffered.h"
#include "file/direct.h"
#include "file/inode.h"
#include "file/resize.h"
#include "file/sync_file.h"
#include "file/test_space.h"
#include "quire/store_memory.h"

namespace quire::file {

struct EngineOptions {
  std::size_t initial_bytes = 0;  // of the file, each 'i'
  std::uint32_t frames = 12;
  std::uint64_t dirty_max_pages = 4;
  std::chrono::microseconds latency{0};
  Locking locking = Locking::kGate;
  std::uint32_t io_alignment_bytes = 1;
  bool reserves_space = false;
  std::uint64_t capacity_bytes = ~std::uint64_t{0};
  // A program maps the file from the beginning (Engine::map).
  bool mapped = false;
};

class Engine {
 public:
  explicit Engine(const EngineOptions& options) {
#ifdef QUIRE_SIM
    cache::Hazards::forget_earlier_runs();
#endif
    store = MemoryStore::create({.latency = options.latency,
                                 .capacity_bytes = options.capacity_bytes,
                                 .io_alignment_bytes = options.io_alignment_bytes,
                                 .reserves_space = options.reserves_space});
    if (options.initial_bytes > 0) store->poke("f", cache::filled(options.initial_bytes, 'i'));
    cache::Budget budget = cache::small_budget(options.frames, options.dirty_max_pages);
    budget.dirty_background_pages = 2;
    pages =
        std::move(cache::PageCache::create(store, budget, {.locking = options.locking}).value());
    opened = store->open("f", OpenFlags::kReadWrite | OpenFlags::kCreate, 0644).value();
    inode = std::make_shared<Inode>(*pages, opened, "f");
    inode->set_handles(opened.handle, opened.handle);
    if (options.mapped) map();
  }
  ~Engine() {
    if (mapped) unmap();
    store->set_hook({});
    store->release_held();
    pages->flusher().stop();
    EXPECT_EQ(inode->wait_idle({}), sync::WaitStatus::kReady);
    expect_balanced(inode);
    EXPECT_EQ(pages->counters().reserved_pages.load(), 0u);
    pages->dirty_files().remove(*inode);
    inode->forget_all();
    inode.reset();
    EXPECT_EQ(pages->dirty().taken(), 0u) << "a dirty credit was lost";
    EXPECT_EQ(pages->memory().pool().free_frames(), pages->memory().pool().frames())
        << "a frame was lost";
    pages.reset();
    EXPECT_TRUE(store->close(opened.handle).ok());
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // From now on pages come into memory that `views` show.
  void map() {
    if (views == nullptr) views = std::make_shared<cache::TestViews>(64);
    mapped = inode->join_mapped();
    if (!mapped) {
      sync::RangeLock::Hold range;
      EXPECT_EQ(inode->lock_range(range, 0, ~std::uint64_t{0}, {}), sync::WaitStatus::kReady);
      const sync::RangeGuard guard(inode->ranges(), range);
      auto begun = inode->begin_mapped(views);
      ASSERT_TRUE(begun.ok());
      mapped = std::move(*begun);
    }
    views->map(*inode);
  }
  // The program has unmapped it.
  void unmap() {
    views->unmap();
    mapped = {};
  }

  std::vector<std::byte> read(std::uint64_t offset, std::size_t bytes) {
    SharedReadahead readahead(pages->budget().readahead_max_pages);
    std::vector<std::byte> out(bytes);
    const Transfer moved = read_at(*inode, readahead, out, offset, {});
    EXPECT_FALSE(moved.error) << moved.error.message();
    out.resize(moved.bytes);
    return out;
  }
  Transfer try_write(std::uint64_t* offset, std::size_t bytes, char with,
                     const sync::WaitLimit& limit = {}) {
    const std::vector<std::byte> data = cache::filled(bytes, with);
    const std::span<const std::byte> piece = data;
    Gather from({&piece, 1});
    return write_at(*inode, from, bytes, offset, limit);
  }
  // Returns where it went.
  std::uint64_t write(std::uint64_t offset, std::size_t bytes, char with) {
    const Transfer moved = try_write(&offset, bytes, with);
    EXPECT_FALSE(moved.error) << moved.error.message();
    EXPECT_EQ(moved.bytes, bytes);
    return offset;
  }
  // The same past the cache.
  std::vector<std::byte> read_direct(std::uint64_t offset, std::size_t bytes,
                                     const sync::WaitLimit& limit = {}) {
    std::vector<std::byte> out(bytes);
    const std::span<std::byte> buffer = out;
    const Transfer moved = direct_read(inode, {&buffer, 1}, bytes, offset, limit);
    EXPECT_FALSE(moved.error) << moved.error.message();
    out.resize(moved.bytes);
    return out;
  }
  std::uint64_t write_direct(std::uint64_t offset, std::size_t bytes, char with,
                             const sync::WaitLimit& limit = {}) {
    const std::vector<std::byte> data = cache::filled(bytes, with);
    const std::span<const std::byte> buffer = data;
    const Transfer moved = direct_write(inode, {&buffer, 1}, bytes, &offset, limit);
    EXPECT_FALSE(moved.error) << moved.error.message();
    EXPECT_EQ(moved.bytes, bytes);
    return offset;
  }
  void truncate(std::uint64_t size_bytes) {
    EXPECT_FALSE(file::truncate(inode, size_bytes, {}));
  }
  void sync() {
    EXPECT_FALSE(sync_all(inode, SyncKind::kAll, {}));
  }

  cache::PageValue value(std::uint64_t index) const {
    cache::PageWord* const word = inode->find(index);
    return word == nullptr ? cache::PageValue{} : word->load();
  }

  std::shared_ptr<MemoryStore> store;
  std::unique_ptr<cache::PageCache> pages;
  OpenedObject opened;
  std::shared_ptr<Inode> inode;
  std::shared_ptr<cache::TestViews> views;  // null until map()
  cache::FilePages::Mapped mapped;          // until unmap()
};

}  // namespace quire::file

#endif  // QUIRE_FILE_TEST_ENGINE_H_
