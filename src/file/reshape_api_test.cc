// Punch, zero, insert and collapse by the public calls: what they refuse, the submitted forms, and the error
// state of a file whose shift failed midway. Each test names the change to the code that makes it fail.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "file/test_cuts.h"
#include "quire/cache.h"

namespace quire::file {
namespace {

constexpr std::uint64_t kLastByte = ~std::uint64_t{0};

class BrokenFile : public testing::TestWithParam<Locking> {
 protected:
  void SetUp() override {
    store_ = MemoryStore::create();
    store_->poke("f", filled(4 * kPage, 'i'));
    cache_ = std::move(
        Cache::create(store_, {.memory_bytes = limits::kMemoryMinBytes, .locking = GetParam()})
            .value());
    file_ = std::move(cache_->open("f", OpenFlags::kReadWrite).value());
  }
  void TearDown() override {
    store_->set_hook({});
    store_->release_held();
    (void)file_.close();
    EXPECT_TRUE(cache_->close().ok());
  }
  void break_it() {
    store_->set_hook(when(StoreOp::kCut, failing_midway(std::errc::io_error)));
    EXPECT_EQ(file_.insert(kPage, kPage).code(), kEio);
    store_->set_hook({});
  }

  std::shared_ptr<MemoryStore> store_;
  std::unique_ptr<Cache> cache_;
  File file_;
};

INSTANTIATE_TEST_SUITE_P(Strategies, BrokenFile, kStrategies, strategy_name);

// insert-fails-midway: nothing of a half shift is shown, and the text says what to do; what was written in
// front of it is not lost; opened again the file is what the store has. Fails if failed() does not break
// the file, if read_at() or FileImpl::sync() do not look, or without mend().
TEST_P(BrokenFile, InsertFailsMidway) {
  ASSERT_TRUE(file_.write(filled(100, 'w'), 0).ok());
  File other = std::move(cache_->open("f", OpenFlags::kReadWrite).value());
  break_it();
  Bytes buffer(kPage);
  for (File* const file : {&file_, &other}) {
    EXPECT_EQ(file->read(buffer, 0).code(), kEio);
    EXPECT_EQ(file->write(buffer, 0).code(), kEio);
    EXPECT_EQ(file->truncate(0).code(), kEio);
    EXPECT_EQ(file->punch(0, kPage).code(), kEio);
    EXPECT_EQ(file->collapse(0, kPage).code(), kEio);
    const Status synced = file->sync();
    ASSERT_EQ(synced.code(), kEio);
    EXPECT_NE(synced.error().message().find("open it again"), std::string::npos)
        << synced.error().message();
  }
  EXPECT_EQ(file_.stat()->size_bytes, 5 * kPage);
  EXPECT_TRUE(file_.close().ok());
  EXPECT_TRUE(other.close().ok());
  file_ = std::move(cache_->open("f", OpenFlags::kReadWrite).value());
  EXPECT_EQ(file_.stat()->size_bytes, 5 * kPage);
  Bytes expected = filled(5 * kPage, 'i');
  std::fill_n(expected.begin(), 100, std::byte{'w'});
  std::fill_n(expected.begin() + kPage, kPage, std::byte{0});
  Bytes all(6 * kPage);
  ASSERT_EQ(file_.read(all, 0).value(), 5 * kPage);
  all.resize(5 * kPage);
  EXPECT_TRUE(all == expected);
  EXPECT_TRUE(file_.sync().ok());
  EXPECT_TRUE(store_->durable_contents("f") == expected);
}

// A truncate at the open is a cut too: of a file that is mended first.
TEST_P(BrokenFile, OpenedToBeTruncated) {
  break_it();
  EXPECT_TRUE(file_.close().ok());
  file_ = std::move(cache_->open("f", OpenFlags::kReadWrite | OpenFlags::kTruncate).value());
  EXPECT_EQ(file_.stat()->size_bytes, 0u);
  EXPECT_TRUE(file_.write(filled(10, 'n'), 0).ok());
  EXPECT_TRUE(file_.sync().ok());
  EXPECT_EQ(store_->durable_contents("f"), filled(10, 'n'));
}

TEST(ReshapeApi, WhatFallocateRefuses) {
  auto store = MemoryStore::create();
  auto cache = std::move(Cache::create(store, {.memory_bytes = limits::kMemoryMinBytes}).value());
  File f = std::move(cache->open("f", kRw).value());
  ASSERT_TRUE(f.write(filled(3 * kPage, 'a'), 0).ok());
  constexpr std::uint64_t max = limits::kFileSizeMaxBytes;
  const std::error_code too_large = std::make_error_code(std::errc::file_too_large);
  EXPECT_EQ(f.punch(0, 0).code(), kInvalid);
  EXPECT_EQ(f.punch(kLastByte, 2).code(), kInvalid);
  EXPECT_EQ(f.punch(max, 1).code(), too_large);
  EXPECT_EQ(f.zero(0, max + 1).code(), too_large);
  EXPECT_EQ(f.insert(1, kPage).code(), kInvalid);
  EXPECT_EQ(f.insert(0, 512).code(), kInvalid);
  EXPECT_EQ(f.insert(3 * kPage, kPage).code(), kInvalid);
  EXPECT_EQ(f.insert(kPage, max / kPage * kPage - kPage).code(), too_large);
  EXPECT_EQ(f.collapse(1, kPage).code(), kInvalid);
  EXPECT_EQ(f.collapse(2 * kPage, kPage).code(), kInvalid);
  EXPECT_EQ(f.collapse(0, 3 * kPage).code(), kInvalid);
  File reading = std::move(cache->open("f", OpenFlags::kRead).value());
  EXPECT_EQ(reading.punch(0, 1).code(), std::errc::bad_file_descriptor);
  EXPECT_TRUE(f.sync().ok());
  EXPECT_EQ(store->contents("f"), filled(3 * kPage, 'a'));
  EXPECT_TRUE(f.close().ok());
  EXPECT_EQ(f.punch(0, 1).code(), Errc::kClosed);
  EXPECT_EQ(f.zero(0, 1).code(), Errc::kClosed);
  EXPECT_EQ(f.insert(0, kPage).code(), Errc::kClosed);
  EXPECT_EQ(f.collapse(0, kPage).code(), Errc::kClosed);
}

TEST(ReshapeApi, SubmittedForms) {
  auto store = MemoryStore::create({.reserves_space = true});
  auto cache = std::move(Cache::create(store, {.memory_bytes = limits::kMemoryMinBytes}).value());
  File f = std::move(cache->open("f", kRw).value());
  ASSERT_TRUE(f.write(filled(4 * kPage, 'a'), 0).ok());
  sync::Atomic<int> ended{0};
  const auto run = [&](const Op& op) {
    const int before = ended.load();
    ASSERT_TRUE(f.submit(op, [&](const Result<std::size_t>& result) {
                   EXPECT_TRUE(result.ok());
                   ended.fetch_add(1);
                 }).ok());
    until([&] { return ended.load() > before; });
  };
  run(CutOp{.kind = Cut::kPunch, .offset = 10, .length = 10});
  run(CutOp{.kind = Cut::kInsert, .offset = 0, .length = kPage});
  run(CutOp{.kind = Cut::kCollapse, .offset = 2 * kPage, .length = kPage});
  run(CutOp{.kind = Cut::kZero, .offset = 4 * kPage, .length = 100});
  run(AllocateOp{.offset = 0, .length = 6 * kPage, .keep_size = true});
  EXPECT_EQ(f.stat()->size_bytes, 4 * kPage + 100);
  run(AllocateOp{.offset = 0, .length = 5 * kPage});
  EXPECT_EQ(f.stat()->size_bytes, 5 * kPage);
  EXPECT_TRUE(f.sync().ok());
  Bytes expected(kPage);
  expected.resize(4 * kPage, std::byte{'a'});
  std::fill_n(expected.begin() + kPage + 10, 10, std::byte{0});
  expected.resize(5 * kPage);
  EXPECT_TRUE(store->contents("f") == expected);
}

// A store that has no cuts: the file is intact, whatever was asked of it. Fails if supports() is not asked
// before the edges are zeroed.
TEST(ReshapeApi, WhereTheStoreCannot) {
  class NoCuts final : public Store {
   public:
    explicit NoCuts(std::shared_ptr<MemoryStore> memory) : memory_(std::move(memory)) {}
    StoreTraits traits() const noexcept override {
      StoreTraits traits = memory_->traits();
      traits.cuts = 0;
      return traits;
    }
    Result<OpenedObject> open(std::string_view path, OpenFlags flags, std::uint32_t mode) override {
      return memory_->open(path, flags, mode);
    }
    Status close(ObjectHandle object) override { return memory_->close(object); }
    Result<ObjectStat> stat(ObjectHandle object) override { return memory_->stat(object); }
    void read(ObjectHandle object, std::uint64_t offset, std::span<const Buffer> buffers,
              IoMode mode, IoDone& done) noexcept override {
      memory_->read(object, offset, buffers, mode, done);
    }
    void write(ObjectHandle object, std::uint64_t offset, std::span<const ConstBuffer> buffers,
               IoMode mode, IoDone& done) noexcept override {
      memory_->write(object, offset, buffers, mode, done);
    }
    void truncate(ObjectHandle object, std::uint64_t size_bytes, IoDone& done) noexcept override {
      memory_->truncate(object, size_bytes, done);
    }
    void sync(ObjectHandle object, SyncKind kind, IoDone& done) noexcept override {
      memory_->sync(object, kind, done);
    }

   private:
    const std::shared_ptr<MemoryStore> memory_;
  };
  auto memory = MemoryStore::create();
  auto cache = std::move(
      Cache::create(std::make_shared<NoCuts>(memory), {.memory_bytes = limits::kMemoryMinBytes})
          .value());
  File f = std::move(cache->open("f", kRw).value());
  ASSERT_TRUE(f.write(filled(3 * kPage, 'a'), 0).ok());
  const std::error_code unsupported = std::make_error_code(std::errc::operation_not_supported);
  EXPECT_EQ(f.punch(10, 2 * kPage).code(), unsupported);
  EXPECT_EQ(f.zero(10, 2 * kPage).code(), unsupported);
  EXPECT_EQ(f.insert(0, kPage).code(), unsupported);
  EXPECT_EQ(f.collapse(0, kPage).code(), unsupported);
  EXPECT_TRUE(f.sync().ok());
  EXPECT_EQ(memory->contents("f"), filled(3 * kPage, 'a'));
}

}  // namespace
}  // namespace quire::file
