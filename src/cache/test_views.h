// Stand-ins for programs that map a file, for tests without faults. A TestViews is one mapping of the file's
// memory; whether a page is in its sight the kernel says (pagemap), so punches and truncates count as they do in
// earnest. A test brings a page into sight as the answer to a fault would, and accesses it only as long as a
// processor could without one.
#ifndef QUIRE_CACHE_TEST_VIEWS_H_
#define QUIRE_CACHE_TEST_VIEWS_H_

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <set>
#include <system_error>
#include <utility>

#include "cache/file_pages.h"
#include "cache/parked_write.h"
#include "cache/test_pagemap.h"
#include "sync/check.h"
#include "sync/wait.h"
#include "sync/waker.h"

namespace quire::cache {

class TestViews final : public Views {
 public:
  // Of the first so many pages.
  explicit TestViews(std::uint64_t pages_max) : pages_max_(pages_max) {}
  ~TestViews() override { unmap(); }
  // REQUIRES: a FilePages::Mapped of a file that has these views. Not mapped, or not any more.
  void map(FilePages& pages) {
    void* const base = ::mmap(nullptr, pages_max_ * limits::kPageBytes, PROT_READ | PROT_WRITE,
                              MAP_SHARED, pages.memory()->fd(), 0);
    QUIRE_CHECK(base != MAP_FAILED);
    base_ = static_cast<std::byte*>(base);
    pages_ = &pages;
  }

  // As a program does, with what is dirty there.
  void unmap() {
    if (base_ != nullptr) ::munmap(base_, pages_max_ * limits::kPageBytes);
    base_ = nullptr;
    storable_.clear();
  }

  void protect(std::uint64_t first, std::uint64_t count) noexcept override {
    if (const auto once = std::exchange(on_protect, nullptr)) once(first, count);
    ++protects;
    storable_.erase(storable_.lower_bound(first), storable_.lower_bound(first + count));
  }
  void hide(std::uint64_t first, std::uint64_t count) noexcept override {
    if (const auto once = std::exchange(on_hide, nullptr)) once(first, count);
    ++hides;
    if (base_ == nullptr || first >= pages_max_) return;
    count = std::min(count, pages_max_ - first);
    storable_.erase(storable_.lower_bound(first), storable_.lower_bound(first + count));
    QUIRE_CHECK(::madvise(at(first), count * limits::kPageBytes, MADV_DONTNEED) == 0);
  }

  void ask(std::uint64_t first, std::uint64_t count, Told& told) noexcept override {
    for (std::uint64_t page = first; page < first + count; ++page) {
      told.told(page, watches_, unheard_.erase(page) > 0);
    }
    if (const auto once = std::exchange(after_ask, nullptr)) once();
  }

  // The processor can load from the page, or store into it, without a fault.
  bool loads(std::uint64_t index) const { return base_ != nullptr && pagemap_.in_sight(at(index)); }
  bool stores(std::uint64_t index) const { return loads(index) && storable_.contains(index); }
  // REQUIRES: loads(), or stores().
  volatile std::byte* at(std::uint64_t index, std::size_t in_page) const {
    return at(index) + in_page;
  }

  // Every byte of the page at once. REQUIRES: stores().
  void store_all(std::uint64_t index, char with) {
    std::memset(at(index), with, limits::kPageBytes);
  }

  // As the answer to a fault: the page is in sight, if it can be had now.
  //
  // A load: false if the page is not there, or somebody has it.
  bool answer_load(std::uint64_t index) {
    const FilePages::Walker walker(*pages_);
    PageWord* const word = pages_->find(index);
    if (word == nullptr) return false;
    PageValue value = word->load();
    if (!value.in_file() || !word->try_pin(value)) return false;
    show(index);
    // What was storable before it went is not any more.
    storable_.erase(index);
    pages_->wake(index, word->unpin());
    pages_->cache().memory().note_evictable();
    return true;
  }
  // A store: brings the page into the cache, and into memory that is mapped. Error: of the credit or the page.
  std::error_code answer_store(std::uint64_t index) {
    if (const std::error_code error = pages_->cache().dirty().take(1, {})) return error;
    CacheLock::Operation operation;
    QUIRE_CHECK(operation.begin(pages_->lock(), sync::RwMode::kRead, {}) ==
                sync::WaitStatus::kReady);
    sync::SleepingWaker self;
    ParkedWrite page(*pages_, self);
    bool ended = page.begin(index);
    while (!ended) {
      QUIRE_CHECK(self.park({}) == sync::WaitStatus::kReady);
      ended = page.resume();
    }
    if (!page.held()) {
      pages_->cache().dirty().give(1);
      return page.error();
    }
    page.admit_stores();
    show(index);
    storable_.insert(index);
    page.finish();
    return {};
  }

  // A load through a view that watches, and a store that nobody hears of. The page is cached. REQUIRES: of the store,
  // the page has not been hidden since.
  void answer_watched_load(std::uint64_t index) {
    QUIRE_CHECK(!pages_->cache().dirty().take(1, {}));
    watches_ = true;
    sync::SleepingWaker self;
    ParkedWrite page(*pages_, self);
    QUIRE_CHECK(page.begin(index) && page.held());
    page.admit_unheard();
    show(index);
    page.finish_unheard(false);
  }
  void store_unheard(std::uint64_t index, char with) {
    QUIRE_CHECK(loads(index));
    *at(index, 0) = static_cast<std::byte>(with);
    unheard_.insert(index);
  }

  // Called by the next ask(), when it has told.
  std::function<void()> after_ask;
  // Called by the next protect(), before anything is protected; and by the next hide(), before anything is hidden.
  std::function<void(std::uint64_t first, std::uint64_t count)> on_protect;
  std::function<void(std::uint64_t first, std::uint64_t count)> on_hide;
  int protects = 0;
  int hides = 0;

 private:
  std::byte* at(std::uint64_t index) const { return base_ + index * limits::kPageBytes; }
  void show(std::uint64_t index) {
    // A store that changes nothing: for a load the kernel would bring the pages around into sight as well.
    (void)__atomic_fetch_or(reinterpret_cast<unsigned char*>(at(index)), 0, __ATOMIC_SEQ_CST);
    QUIRE_CHECK(loads(index));
  }

  const std::uint64_t pages_max_;
  const Pagemap pagemap_;
  std::byte* base_ = nullptr;
  FilePages* pages_ = nullptr;
  std::set<std::uint64_t> storable_;
  bool watches_ = false;
  std::set<std::uint64_t> unheard_;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_TEST_VIEWS_H_
