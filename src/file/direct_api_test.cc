// Direct IO through the public calls: who asks for it and how, alignment and what is said of it, submitted
// requests, sync flags, counters. (What happens to pages: direct_test.cc.)
#include <gtest/gtest.h>

#include <array>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "file/test_bytes.h"
#include "file/test_cache.h"
#include "quire/cache.h"
#include "quire/store_memory.h"

namespace quire::file {
namespace {

const CallOptions kDirectly = {.path = IoPath::kDirect};

class DirectApi : public testing::Test {
 protected:
  void SetUp() override { make(1); }
  void make(std::uint32_t alignment_bytes) {
    cache_.reset();
    store_ = MemoryStore::create({.io_alignment_bytes = alignment_bytes});
    cache_ = std::move(Cache::create(store_, {.memory_bytes = limits::kMemoryMinBytes}).value());
  }
  File open(OpenFlags more = {}) { return std::move(cache_->open("f", kRw | more).value()); }

  // Memory that every store takes.
  struct alignas(kPage) Page {
    std::array<std::byte, 2 * kPage> bytes{};
  };
  std::shared_ptr<MemoryStore> store_;
  std::unique_ptr<Cache> cache_;
  Page page_;
};

// Fails if the flag of the file, or the call's own word, is not looked at.
TEST_F(DirectApi, ByOpenAndByCall) {
  File cached = open();
  File direct = open(OpenFlags::kDirect);
  const auto a = filled(kPage, 'a');
  auto out = filled(kPage, 0);
  EXPECT_EQ(direct.write(a, 0).value(), kPage);
  EXPECT_EQ(cache_->stats().cached_pages, 0u);
  EXPECT_EQ(cache_->stats().direct_write_bytes, kPage);
  EXPECT_EQ(direct.read(out, 0, {.path = IoPath::kCached}).value(), kPage);
  EXPECT_EQ(cache_->stats().cached_pages, 1u);
  EXPECT_EQ(cached.append(a, kDirectly).value(), kPage);
  EXPECT_EQ(cached.read(out, kPage, kDirectly).value(), kPage);
  EXPECT_EQ(out, a);
  EXPECT_EQ(cache_->stats().direct_read_bytes, kPage);
  const std::array<std::span<std::byte>, 2> parts = {std::span(out).first(10),
                                                     std::span(out).subspan(10, 20)};
  EXPECT_EQ(direct.readv(parts, 2 * kPage - 15).value(), 15u);
  EXPECT_EQ(cache_->stats().direct_read_bytes, kPage + 15);
  EXPECT_EQ(direct.read(out, 2 * kPage).value(), 0u);
  EXPECT_EQ(cached.read({}, 0, kDirectly).value(), 0u);
  EXPECT_EQ(direct.write({}, 0).value(), 0u);
}

// Fails if one of the three is not checked, or the text does not name the number.
TEST_F(DirectApi, AlignmentIsTheStores) {
  make(512);
  File f = open(OpenFlags::kDirect);
  const std::span<std::byte> page(page_.bytes);
  ASSERT_EQ(f.write(page.first(1024), 512).value(), 1024u) << "smaller than a page is well";
  const auto refused = [](const auto& result, const std::string& text) {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.code(), std::errc::invalid_argument);
    EXPECT_NE(result.error().message().find(text), std::string::npos) << result.error().message();
  };
  refused(f.write(page.first(512), 100), "offset 100 is not a multiple of 512");
  refused(f.write(page.first(100), 0), "length of a buffer is not a multiple of 512");
  refused(f.write(page.subspan(8, 512), 0), "address of a buffer is not a multiple of 512");
  refused(f.read(page.first(512), 100), "offset 100 is not a multiple of 512");
  refused(f.read(page.first(100), 0), "length of a buffer is not a multiple of 512");
  refused(f.read(page.subspan(8, 512), 0), "address of a buffer is not a multiple of 512");
  // What is copied may lie anywhere.
  const CallOptions may_end = {.deadline =
                                   std::chrono::steady_clock::now() + std::chrono::hours(1)};
  EXPECT_EQ(f.write(page.subspan(8, 512), 0, may_end).value(), 512u);
  EXPECT_EQ(f.read(page.subspan(8, 512), 0, may_end).value(), 512u);
  // The end of a file is where it is.
  ASSERT_TRUE(f.truncate(1000).ok());
  EXPECT_EQ(f.read(page.first(1024), 0).value(), 1000u);
  EXPECT_EQ(f.read(page.first(1024), 512).value(), 488u);
  refused(f.append(page.first(512)), "appending: offset 1000 is not a multiple of 512");
  EXPECT_EQ(f.append(page.first(512), {.path = IoPath::kCached}).value(), 1000u);
}

TEST_F(DirectApi, ErrorsOfOtherCalls) {
  File f = open(OpenFlags::kDirect);
  const std::span<std::byte> page(page_.bytes);
  File read_only = std::move(cache_->open("f", OpenFlags::kRead | OpenFlags::kDirect).value());
  EXPECT_EQ(read_only.write(page, 0).code(), std::errc::bad_file_descriptor);
  EXPECT_EQ(read_only.read(page, 0).value(), 0u);
  EXPECT_EQ(f.read(page, limits::kFileSizeMaxBytes).code(), std::errc::invalid_argument);
  EXPECT_EQ(f.write(page, limits::kFileSizeMaxBytes).code(), std::errc::file_too_large);
  EXPECT_EQ(f.write(page, limits::kFileSizeMaxBytes - 10).value(), 10u);
}

// Fails if a worker does not pass on what the call says, or keeps what the store has.
TEST_F(DirectApi, Submitted) {
  File f = open();
  const auto data = filled(2 * kPage, 's');
  auto out = filled(2 * kPage, 0);
  const auto run = [&](Op op) {
    std::promise<Result<std::size_t>> promise;
    EXPECT_TRUE(f.submit(
                     op, [&](Result<std::size_t> r) { promise.set_value(std::move(r)); }, kDirectly)
                    .ok());
    return promise.get_future().get();
  };
  EXPECT_EQ(run(WriteOp{data, 0}).value(), 2 * kPage);
  EXPECT_EQ(run(AppendOp{data}).value(), 2 * kPage);
  EXPECT_EQ(run(ReadOp{out, kPage}).value(), 2 * kPage);
  EXPECT_EQ(out, data);
  EXPECT_EQ(cache_->stats().cached_pages, 0u);
  EXPECT_EQ(store_->contents("f").size(), 4 * kPage);
}

// kSync: durable when the write returns. Fails if direct writes are not synced, or not known to need it.
TEST_F(DirectApi, SyncFlags) {
  File f = open(OpenFlags::kDirect | OpenFlags::kDataSync);
  const auto data = filled(kPage, 's');
  ASSERT_TRUE(f.write(data, 0).ok());
  EXPECT_EQ(store_->durable_contents("f"), data);
  File late = std::move(cache_->open("g", kRw | OpenFlags::kDirect).value());
  ASSERT_TRUE(late.write(data, 0).ok());
  EXPECT_TRUE(store_->durable_contents("g").empty());
  ASSERT_TRUE(late.datasync().ok());
  EXPECT_EQ(store_->durable_contents("g"), data);
}

// What a caller who cannot leave gives to the store is his own memory, once. Fails if all is copied.
TEST_F(DirectApi, TheCallersMemoryGoesToTheStore) {
  File f = open(OpenFlags::kDirect);
  const auto before = cache_->stats().memory_used_bytes;
  std::uint64_t used = 0;
  store_->set_hook([&](const StoreRequest&) {
    used = std::max(used, cache_->stats().memory_used_bytes);
    return StoreVerdict{};
  });
  ASSERT_TRUE(f.write(page_.bytes, 0).ok());
  EXPECT_EQ(used, before);
  std::stop_source stop;
  ASSERT_TRUE(f.write(page_.bytes, 0, {.stop = stop.get_token()}).ok());
  EXPECT_EQ(used, before + 2 * kPage) << "the copy is paid from the budget";
  store_->set_hook({});
  EXPECT_EQ(cache_->stats().memory_used_bytes, before);
}

}  // namespace
}  // namespace quire::file
