// What tests of the engine's pages share: a memory store, a cache of few frames over it, and one file.
#ifndef QUIRE_CACHE_TEST_PAGES_H_
#define QUIRE_CACHE_TEST_PAGES_H_

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cache/file_pages.h"
#include "cache/hazard.h"
#include "cache/page_cache.h"
#include "cache/page_write.h"
#include "quire/store_memory.h"
#include "sync/test_threads.h"
#include "sync/thread.h"

namespace quire::cache {

using sync::start_thread;

// Waits, by giving way, for what another thread is about to do.
template <class Condition>
void until(Condition&& condition) {
  while (!condition()) sync::yield_thread();
}

inline std::vector<std::byte> filled(std::size_t bytes, char with) {
  return std::vector<std::byte>(bytes, static_cast<std::byte>(with));
}

inline Budget small_budget(std::uint32_t frames, std::uint64_t dirty_max_pages) {
  Budget b;
  b.memory_bytes = std::uint64_t{frames} * limits::kPageBytes;
  b.frames = frames;
  b.dirty_max_pages = dirty_max_pages;
  b.dirty_background_pages = dirty_max_pages;
  b.writeback_io_bytes = 4 * limits::kPageBytes;
  b.readahead_max_pages = 4;
  b.per_frame_bytes = limits::kPageBytes;
  return b;
}

// Answers every request of kind `op` in the way `verdict` says, the others at once.
inline std::function<StoreVerdict(const StoreRequest&)> when(StoreOp op, StoreVerdict verdict) {
  return [op, verdict](const StoreRequest& request) {
    return request.op == op ? verdict : StoreVerdict{};
  };
}
inline StoreVerdict held() {
  StoreVerdict v;
  v.hold = true;
  return v;
}
// The store does what it is asked at once, and says so later.
inline StoreVerdict held_answer() {
  StoreVerdict v = held();
  v.hold_answer_only = true;
  return v;
}
inline StoreVerdict failing(std::errc code) {
  StoreVerdict v;
  v.error = std::make_error_code(code);
  return v;
}

// One file, "f", of a small cache.
class OneFile {
 public:
  explicit OneFile(std::vector<std::byte> contents = {},
                   const Budget& budget = small_budget(64, 16), MemoryStoreOptions options = {},
                   Locking locking = Locking::kGate) {
#ifdef QUIRE_SIM
    Hazards::forget_earlier_runs();
#endif
    store = MemoryStore::create(options);
    if (!contents.empty()) store->poke("f", std::move(contents));
    cache = std::move(PageCache::create(store, budget, {.locking = locking}).value());
    opened = store->open("f", OpenFlags::kReadWrite | OpenFlags::kCreate, 0644).value();
    pages = std::make_shared<FilePages>(*cache, opened.stat.size_bytes);
    pages->set_handles(opened.handle, opened.handle);
  }
  ~OneFile() {
    store->set_hook({});
    store->release_held();
    cache->flusher().stop();
    EXPECT_EQ(pages->wait_idle({}), sync::WaitStatus::kReady);
    cache->dirty_files().remove(*pages);
    pages->forget_all();
    pages.reset();
    EXPECT_EQ(cache->dirty().taken(), 0u) << "a dirty credit was lost";
    EXPECT_EQ(cache->memory().pool().free_frames(), cache->memory().pool().frames())
        << "a frame was lost";
    cache.reset();
    EXPECT_TRUE(store->close(opened.handle).ok());
  }
  OneFile(const OneFile&) = delete;
  OneFile& operator=(const OneFile&) = delete;

  // Stores `n` bytes `with` from byte `from` of page `index` on.
  std::error_code write(std::uint64_t index, char with, std::size_t from = 0,
                        std::size_t n = limits::kPageBytes, const sync::WaitLimit& limit = {}) {
    std::error_code error = cache->dirty().take(1, limit);
    if (error) return error;
    PageWrite page(*pages);
    error = page.begin(index, from, from + n, limit);
    if (error) {
      cache->dirty().give(1);
      return error;
    }
    std::memset(page.bytes() + from, with, n);
    page.finish(page_offset(index) + from + n);
    return {};
  }
  PageValue value(std::uint64_t index) const {
    PageWord* const word = pages->find(index);
    return word == nullptr ? PageValue{} : word->load();
  }
  std::string stored() const {
    const auto bytes = store->contents("f");
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  std::shared_ptr<MemoryStore> store;
  std::unique_ptr<PageCache> cache;
  OpenedObject opened;
  std::shared_ptr<FilePages> pages;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_TEST_PAGES_H_
