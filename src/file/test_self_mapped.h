// What tests of self-mapped IO share: three files of a small cache over a memory store, all of them mapped, and a
// watchdog.
#ifndef QUIRE_FILE_TEST_SELF_MAPPED_H_
#define QUIRE_FILE_TEST_SELF_MAPPED_H_

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "cache/test_pages.h"
#include "file/test_cache.h"
#include "file/test_mapping.h"
#include "quire/cache.h"
#include "quire/mapping.h"
#include "quire/store_memory.h"
#include "sync/atomic.h"
#include "sync/thread.h"

namespace quire::file {

// Ends the test program, loudly, if a test has not ended by then.
class Watchdog {
 public:
  Watchdog() {
    struct sigaction action = {};
    action.sa_handler = [](int) {
      static constexpr char kText[] = "\nA read or write of mapped memory hangs.\n";
      static_cast<void>(::write(STDERR_FILENO, kText, sizeof kText - 1));
      ::_exit(99);
    };
    ::sigaction(SIGALRM, &action, &before_);
    ::alarm(kSecondsMax);
  }
  ~Watchdog() {
    ::alarm(0);
    ::sigaction(SIGALRM, &before_, nullptr);
  }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  static constexpr unsigned kSecondsMax = 100;
  struct sigaction before_ = {};
};

// What a call gave.
inline std::string said(const Result<std::size_t>& moved) {
  return moved.ok() ? std::to_string(*moved) + " bytes" : moved.error().message();
}

// Bytes of which no two pages, nor two places of a page, are alike.
inline std::vector<std::byte> pattern(unsigned which, std::size_t bytes, std::size_t offset = 0) {
  std::vector<std::byte> all(bytes);
  for (std::size_t i = 0; i < bytes; ++i) {
    const std::size_t at = offset + i;
    all[i] = static_cast<std::byte>(1 + (at / kPage * 7 + at / 3 + which * 83) % 251);
  }
  return all;
}

// Of pages that somebody filled, each with one letter: those letters; '?' where a page is not of one.
inline std::string letters_of(std::span<const std::byte> bytes) {
  std::string letters;
  for (std::size_t at = 0; at < bytes.size(); at += kPage) {
    const auto page = bytes.subspan(at, std::min(kPage, bytes.size() - at));
    const bool one =
        std::all_of(page.begin(), page.end(), [&](std::byte b) { return b == page[0]; });
    letters += one ? static_cast<char>(page[0]) : '?';
  }
  return letters;
}

class SelfMapped : public MappedFile {
 protected:
  static constexpr unsigned kFiles = 3;
  static constexpr std::size_t kPages = 8;
  static constexpr std::size_t kBytes = kPages * kPage;

  // File "f", which the fixture has, and two more; all of them mapped, none of their pages cached.
  struct Tested {
    File file;
    Mapping map;
    std::span<std::byte> bytes() const { return {map.data(), map.size()}; }
    std::span<std::byte> bytes(std::size_t offset, std::size_t length) const {
      return bytes().subspan(offset, length);
    }
  };

  void SetUp() override {
    watchdog_.emplace();
    MappedFile::SetUp();
    if (IsSkipped()) return;
    begin();
  }
  void TearDown() override {
    end_files();
    MappedFile::TearDown();
    watchdog_.reset();
  }
  void begin(std::size_t pages = kPages) {
    end_files();
    make({.io_alignment_bytes = 512}, 0);
    for (unsigned i = 0; i < kFiles; ++i) {
      store_->poke(name(i), pattern(i, pages * kPage));
      tested_[i].file = cache_->open(name(i), kRw).value();
      tested_[i].map =
          tested_[i].file.map(0, pages * kPage, {.in_thread = GetParam().in_thread}).value();
    }
    file_ = cache_->open("f", kRw).value();
  }
  // All begins again, as it was.
  void again() {
    for (unsigned i = 0; i < kFiles; ++i) {
      drop(i);
      ASSERT_TRUE(tested_[i].file.truncate(kBytes).ok());
      ASSERT_EQ(tested_[i].file.write(pattern(i, kBytes), 0).value(), kBytes);
      drop(i);
    }
  }
  void end_files() {
    if (store_ == nullptr) return;
    store_->set_hook({});
    store_->release_held();
    for (Tested& tested : tested_) {
      tested.map = Mapping();
      if (!tested.file.is_open()) continue;
      EXPECT_TRUE(tested.file.close().ok());
    }
  }
  static std::string name(unsigned i) { return std::string(1, static_cast<char>('f' + i)); }

  File& file(unsigned i) { return tested_[i].file; }
  std::span<std::byte> memory(unsigned i, std::size_t offset, std::size_t length) {
    return tested_[i].bytes(offset, length);
  }
  // No page of these is cached any more.
  void drop(unsigned i, std::uint64_t offset = 0, std::uint64_t length = 0) {
    ASSERT_TRUE(file(i).write_and_invalidate(offset, length).ok());
  }
  std::vector<std::byte> contents(unsigned i) {
    std::vector<std::byte> all(file(i).stat()->size_bytes);
    EXPECT_EQ(file(i).read(all, 0).value(), all.size());
    return all;
  }
  // What a program sees there.
  static std::vector<std::byte> seen(std::span<const std::byte> memory) {
    return {memory.begin(), memory.end()};
  }
  void fill(unsigned i, const std::string& letters) {
    for (std::size_t page = 0; page < letters.size(); ++page) {
      ASSERT_EQ(file(i).write(filled(kPage, letters[page]), page * kPage).value(), kPage);
    }
    ASSERT_TRUE(file(i).truncate(letters.size() * kPage).ok());
    drop(i);
  }

  // Runs the calls at once, a thread each. Each of the first `at_store` requests to read is held until all of them
  // have been made: so the calls are in the middle of what they do together.
  void at_once_from_threads(const std::vector<std::function<void()>>& calls, std::size_t at_store) {
    store_->set_hook(when(StoreOp::kRead, held()));
    sync::Atomic<std::size_t> ended{0};
    std::vector<sync::Thread> threads;
    for (const auto& call : calls) {
      threads.push_back(start_thread("self", [&] {
        call();
        ended.fetch_add(1);
      }));
    }
    until([&] { return store_->held() >= at_store; });
    store_->set_hook({});
    until([&] {
      store_->release_held();
      return ended.load() == calls.size();
    });
    for (sync::Thread& thread : threads) thread.join();
  }

  std::optional<Watchdog> watchdog_;
  std::array<Tested, kFiles> tested_;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_TEST_SELF_MAPPED_H_
