// A disk that fails reads, writes, or one sync and not the next.
#include <algorithm>
#include <vector>

#include "cases/support.h"

namespace quire::cases {
namespace {

class Eio : public CaseTest {};

std::span<const std::byte> page_of(const std::vector<std::byte>& data, std::size_t index) {
  return std::span(data).subspan(index * kPage, kPage);
}

// Fails when fill_run's error is not followed by reads of single pages.
TEST_F(Eio, OneBadSectorMakesOnlyItsPageUnreadable) {
  constexpr std::size_t kPages = 64;
  constexpr std::size_t kBad = 17;
  const auto data = pattern(kPages * kPage, 1);
  make();
  {
    File file = open("f");
    ASSERT_EQ(*file.write(data, 0), data.size());
    ASSERT_TRUE(file.sync().ok());
    ASSERT_TRUE(file.advise(0, 0, Advice::kDontNeed).ok());
  }
  store_->set_hook([](const StoreRequest& request) {
    const bool meets = request.op == StoreOp::kRead && request.offset < (kBad + 1) * kPage &&
                       request.offset + request.length > kBad * kPage;
    StoreVerdict verdict;
    if (meets) verdict.error = kEio;
    return verdict;
  });
  File file = open("f");
  const auto head = read(file, 0, data.size());
  ASSERT_EQ(head.size(), kBad * kPage) << "short, as far as it could be read";
  EXPECT_TRUE(std::equal(head.begin(), head.end(), data.begin()));
  std::vector<std::byte> page(kPage);
  EXPECT_EQ(file.read(page, kBad * kPage).code(), kEio);
  EXPECT_EQ(file.read(page, kBad * kPage).code(), kEio) << "each time";
  const auto tail = read(file, (kBad + 1) * kPage, data.size());
  ASSERT_EQ(tail.size(), (kPages - kBad - 1) * kPage);
  EXPECT_TRUE(std::equal(tail.begin(), tail.end(), data.begin() + (kBad + 1) * kPage));

  // A part of the page cannot be written without the rest; all of it can.
  EXPECT_EQ(file.write(bytes_of("part"), kBad * kPage + 5).code(), kEio);
  const auto fresh = pattern(kPage, 2);
  ASSERT_EQ(*file.write(fresh, kBad * kPage), kPage);
  EXPECT_EQ(read(file, kBad * kPage, kPage), fresh);
  ASSERT_TRUE(file.sync().ok());
  EXPECT_TRUE(std::ranges::equal(page_of(directory_.contents("f"), kBad), fresh));
}

TEST_F(Eio, AReadThatFailedIsTriedAgain) {
  directory_.put("f", "some bytes");
  make();
  File file = open("f");
  fail(StoreOp::kRead);
  std::vector<std::byte> page(kPage);
  EXPECT_EQ(file.read(page, 0).code(), kEio);
  store_->set_hook({});
  EXPECT_TRUE(std::ranges::equal(read(file, 0, 100), bytes_of("some bytes")));
}

// Fails when a page is marked clean although its write failed.
TEST_F(Eio, AFailedWriteKeepsThePagesAndEverySyncFailsUntilTheyAreStored) {
  directory_.put("f", std::string(3 * kPage, 'o'));
  make();
  const auto data = pattern(3 * kPage, 3);
  File file = open("f");
  fail(StoreOp::kWrite);
  ASSERT_EQ(*file.write(data, 0), data.size());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(file.sync().code(), kEio);
  EXPECT_EQ(file.datasync().code(), kEio);
  EXPECT_EQ(file.sync_range(kPage, 1).code(), kEio);
  EXPECT_EQ(cache_->sync().code(), kEio);
  EXPECT_EQ(read(file, 0, data.size()), data);
  EXPECT_EQ(file.close().code(), kEio);
  EXPECT_NE(directory_.contents("f"), data);

  File again = open("f");
  EXPECT_EQ(read(again, 0, data.size()), data) << "kept by the cache";
  store_->set_hook({});
  EXPECT_TRUE(again.sync().ok());
  EXPECT_EQ(directory_.contents("f"), data);
}

// As ext4 was seen to do: the sync fails, what it was to write is gone from the disk, and the next
// sync succeeds. Fails when a failed sync leaves its pages clean.
TEST_F(Eio, OneSyncFailsAndTheNextDoesNotAndTheDataIsThere) {
  const auto old = pattern(40 * kPage, 4);
  const auto data = pattern(40 * kPage, 5);
  make();
  File file = open("f");
  ASSERT_EQ(*file.write(old, 0), old.size());
  ASSERT_TRUE(file.sync().ok());
  ASSERT_EQ(*file.write(data, 0), data.size());
  bool failed = false;
  store_->set_hook([&](const StoreRequest& request) {
    StoreVerdict verdict;
    if (request.op == StoreOp::kSync && !failed) {
      failed = true;
      verdict.error = kEio;
      host_write(directory_ / "f", 0, old);
    }
    return verdict;
  });
  EXPECT_EQ(file.sync().code(), kEio);
  ASSERT_EQ(directory_.contents("f"), old);
  EXPECT_TRUE(file.sync().ok());
  EXPECT_EQ(directory_.contents("f"), data);
}

TEST_F(Eio, AFailedTruncateChangesNothing) {
  const auto data = pattern(5 * kPage, 6);
  make();
  File file = open("f");
  ASSERT_EQ(*file.write(data, 0), data.size());
  fail(StoreOp::kTruncate);
  EXPECT_EQ(file.truncate(kPage + 1).code(), kEio);
  EXPECT_EQ(file.stat()->size_bytes, data.size());
  EXPECT_EQ(read(file, 0, data.size()), data);
  store_->set_hook({});
  ASSERT_TRUE(file.sync().ok());
  EXPECT_EQ(directory_.contents("f"), data);
}

TEST_F(Eio, AFailedOpenLeavesNothingOpen) {
  make();
  fail(StoreOp::kOpen);
  EXPECT_EQ(cache_->open("f", kRw).code(), kEio);
  EXPECT_EQ(cache_->stats().open_files, 0u);
}

// Fails when the dirty limit waits for ever for pages that cannot be written.
TEST_F(Eio, WritesFailWhenTheDirtyLimitIsFullOfWhatCannotBeWritten) {
  CacheOptions options;
  options.dirty_max_bytes = 64 * kPage;
  options.dirty_background_bytes = 32 * kPage;
  make(options);
  const auto data = pattern(200 * kPage, 7);
  File other = open("readable");
  ASSERT_EQ(*other.write(data, 0), data.size());
  ASSERT_TRUE(other.sync().ok());
  ASSERT_TRUE(other.advise(0, 0, Advice::kDontNeed).ok());

  fail(StoreOp::kWrite);
  File file = open("f");
  const auto written = file.write(data, 0);
  ASSERT_TRUE(written.ok());
  EXPECT_LE(*written, options.dirty_max_bytes);
  EXPECT_EQ(file.write(std::span(data).subspan(*written), *written).code(), kEio);
  EXPECT_EQ(read(other, 0, data.size()), data) << "reads go on";
  EXPECT_TRUE(std::ranges::equal(read(file, 0, *written), std::span(data).first(*written)));

  store_->set_hook({});
  const std::span<const std::byte> rest = std::span(data).subspan(*written);
  EXPECT_EQ(*file.write(rest, *written), rest.size());
  ASSERT_TRUE(file.sync().ok());
  EXPECT_EQ(directory_.contents("f"), data);
}

// The store's one sync of everything fails once: what closed files have written may be gone with it.
// Fails when the next sync finds nothing to do.
TEST_F(Eio, ASyncOfTheStoreThatFailsOnceHasClosedFilesWrittenAgain) {
  const auto data = pattern(40 * kPage, 8);
  make();
  {
    File file = open("f");
    ASSERT_EQ(*file.write(data, 0), data.size());
    ASSERT_TRUE(file.close().ok());
  }
  std::uint64_t written_again_bytes = 0;
  bool failed = false;
  store_->set_hook([&](const StoreRequest& request) {
    StoreVerdict verdict;
    if (request.op == StoreOp::kWrite && failed) written_again_bytes += request.length;
    if (request.op == StoreOp::kSync && !failed) {
      failed = true;
      verdict.error = kEio;
    }
    return verdict;
  });
  EXPECT_EQ(cache_->sync().code(), kEio);
  EXPECT_TRUE(cache_->sync().ok());
  EXPECT_EQ(written_again_bytes, data.size());
  EXPECT_EQ(directory_.contents("f"), data);
}

// Fails when writeback gives up at the first pages that cannot be written.
TEST_F(Eio, WhatCanBeWrittenIsWrittenThoughPagesBeforeItCannot) {
  constexpr std::size_t kPages = 1500;
  constexpr std::uint64_t kFullBytes = 600 * kPage;
  const auto data = pattern(kPages * kPage, 9);
  CacheOptions options;
  options.memory_bytes = 32 << 20;
  make(options);
  File bad = open("bad");
  File good = open("good");
  store_->set_hook([](const StoreRequest& request) {
    StoreVerdict verdict;
    const bool full = request.path == "bad" && request.offset < kFullBytes;
    if (request.op == StoreOp::kWrite && full) {
      verdict.error = code_of(std::errc::no_space_on_device);
    }
    return verdict;
  });
  ASSERT_EQ(*bad.write(data, 0), data.size());
  ASSERT_EQ(*good.write(data, 0), data.size());
  EXPECT_EQ(bad.close().code(), code_of(std::errc::no_space_on_device));
  EXPECT_TRUE(good.close().ok());
  EXPECT_EQ(cache_->close().code(), code_of(std::errc::no_space_on_device));
  EXPECT_EQ(directory_.contents("good"), data);
  const auto tail = directory_.contents("bad");
  ASSERT_EQ(tail.size(), data.size());
  // Requests are of up to a mebibyte: the one that meets the full part fails as a whole.
  constexpr auto kSafe = static_cast<std::ptrdiff_t>(kFullBytes + limits::kStoreIoMaxBytes);
  EXPECT_TRUE(std::equal(tail.begin() + kSafe, tail.end(), data.begin() + kSafe));
  cache_.reset();
  store_.reset();
}

// What is lost at the end is said, by name.
TEST_F(Eio, ACacheThatCannotWriteClosesAndNamesWhatItLost) {
  make();
  File file = open("doomed");
  fail(StoreOp::kWrite);
  ASSERT_TRUE(file.write(bytes_of("x"), 0).ok());
  EXPECT_EQ(file.close().code(), kEio);
  const Status closed = cache_->close();
  EXPECT_EQ(closed.code(), kEio);
  EXPECT_NE(closed.error().message().find("doomed"), std::string::npos);
}

}  // namespace
}  // namespace quire::cases
