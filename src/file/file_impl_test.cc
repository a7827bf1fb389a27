// What a FileImpl offers beyond the public File: objects opened elsewhere, further opens, writeback without
// durability, discarding; and allocation. Each test names the change to the code that makes it fail.
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "file/cache_impl.h"
#include "file/test_cache.h"

namespace quire::file {
namespace {

class FileImplTest : public CacheOverFront {
 protected:
  std::unique_ptr<FileImpl> open_file(const std::string& path, OpenFlags flags = kRw) {
    return impl_->open(path, flags, 0644).value();
  }
  Result<std::unique_ptr<FileImpl>> adopt(const std::string& path, OpenFlags flags) {
    return impl_->adopt(store_->open(path, kRw, 0644).value(), path, flags);
  }
  static void write(FileImpl& file, std::uint64_t offset, std::size_t bytes, char with) {
    const auto data = filled(bytes, with);
    const std::span<const std::byte> piece = data;
    EXPECT_EQ(file.writev({&piece, 1}, &offset, {}).value(), bytes);
  }
  static std::vector<std::byte> read(FileImpl& file, std::uint64_t offset, std::size_t bytes) {
    std::vector<std::byte> got(bytes);
    got.resize(file.read(got, offset, {}).value());
    return got;
  }
  // A store that can reserve space.
  void make_reserving(std::uint64_t capacity_bytes = ~std::uint64_t{0}) {
    MemoryStoreOptions options;
    options.reserves_space = true;
    options.capacity_bytes = capacity_bytes;
    make_over(options);
  }
};

// Fails if an adopted object gets an entry of its own.
TEST_F(FileImplTest, AnAdoptedObjectIsTheSameFile) {
  auto file = open_file("f");
  write(*file, 0, kPage, 'a');
  auto adopted = adopt("f", OpenFlags::kRead).value();
  EXPECT_EQ(adopted->id(), file->id());
  EXPECT_EQ(read(*adopted, 0, kPage), filled(kPage, 'a'));
  EXPECT_EQ(adopted->truncate(0, {}).code(), std::errc::bad_file_descriptor);
  EXPECT_EQ(store_->open_handles(), 1u) << "the second was not needed";
  EXPECT_TRUE(file->close().ok());
  EXPECT_TRUE(adopted->close().ok());
  EXPECT_EQ(store_->open_handles(), 0u);
}

// Fails if a handle stays open after any of these errors.
TEST_F(FileImplTest, AFailedAdoptionClosesTheHandle) {
  EXPECT_EQ(adopt("f", OpenFlags{}).code(), std::errc::invalid_argument);
  EXPECT_EQ(adopt("f", OpenFlags::kRead | OpenFlags::kAppend).code(), std::errc::invalid_argument);
  EXPECT_EQ(store_->open_handles(), 0u);
  const auto opened = store_->open("f", kRw, 0644).value();
  ASSERT_TRUE(impl_->close({}).ok());
  EXPECT_EQ(impl_->adopt(opened, "f", OpenFlags::kRead).code(), Errc::kClosed);
  EXPECT_EQ(store_->open_handles(), 0u);
}

// What the object had when it was opened may be old when it is adopted: it was written and closed in
// between. Fails if adopt() believes it; then the pages are taken for changed by another program.
TEST_F(FileImplTest, AdoptionLooksAgain) {
  write_and_close("f", 'a');
  const auto opened = store_->open("f", kRw, 0644).value();
  {
    auto inode = open("f");
    CacheOverFront::write(*inode, 0, 2 * kPage, 'b');
    EXPECT_FALSE(close(inode));
  }
  const std::uint64_t requests = impl_->stats().read_requests;
  auto adopted = impl_->adopt(opened, "f", OpenFlags::kRead).value();
  EXPECT_EQ(adopted->size_bytes(), 2 * kPage);
  EXPECT_EQ(read(*adopted, 0, 2 * kPage), filled(2 * kPage, 'b'));
  EXPECT_EQ(impl_->stats().read_requests, requests) << "the pages were kept";
  EXPECT_TRUE(adopted->close().ok());
}

// Its number was another file's, whose pages are still here. Fails if only stamps and size tell.
TEST_F(FileImplTest, AnObjectJustMadeHasNoOldPages) {
  write_and_close("f", 'a');
  auto opened = store_->open("f", kRw, 0644).value();
  opened.created = true;
  auto adopted = impl_->adopt(opened, "f", OpenFlags::kRead).value();
  EXPECT_EQ(impl_->stats().cached_pages, 0u);
  EXPECT_TRUE(adopted->close().ok());
}

// Fails if reopen() opens in the store, does not count an opener, or grants writing for nothing.
TEST_F(FileImplTest, ReopenIsAnOpenWithoutTheStore) {
  memory_->poke("f", filled(kPage, 'a'));
  auto reader = open_file("f", OpenFlags::kRead);
  EXPECT_FALSE(reader->writable());
  EXPECT_EQ(reader->reopen(OpenFlags::kReadWrite).code(), std::errc::bad_file_descriptor);
  EXPECT_EQ(reader->reopen(OpenFlags{}).code(), std::errc::invalid_argument);
  EXPECT_EQ(impl_->stats().open_files, 1u);

  auto writer = open_file("f");
  EXPECT_TRUE(reader->writable());
  memory_->set_hook(when(StoreOp::kOpen, failing(std::errc::io_error)));
  auto again = reader->reopen(OpenFlags::kReadWrite).value();
  memory_->set_hook({});
  EXPECT_EQ(impl_->stats().open_files, 3u);
  EXPECT_TRUE(reader->close().ok());
  EXPECT_TRUE(writer->close().ok());
  EXPECT_EQ(store_->open_handles(), 2u);
  write(*again, 0, kPage, 'b');
  auto emptied = again->reopen(OpenFlags::kReadWrite | OpenFlags::kTruncate).value();
  EXPECT_EQ(again->size_bytes(), 0u);
  EXPECT_TRUE(emptied->close().ok());
  EXPECT_TRUE(again->close().ok());
  EXPECT_EQ(store_->open_handles(), 0u);
  EXPECT_EQ(impl_->stats().open_files, 0u);
}

// Fails if pages under writeback do not count as dirty, or write_back() makes them durable or leaves the
// stamps behind.
TEST_F(FileImplTest, WriteBackReachesTheStoreAndNoMore) {
  auto file = open_file("f");
  EXPECT_EQ(file->dirty_pages(), 0u);
  write(*file, 0, 3 * kPage, 'a');
  EXPECT_EQ(file->dirty_pages(), 3u);
  memory_->set_hook(when(StoreOp::kWrite, held()));
  CallOptions call;
  call.deadline = sync::Clock::now();
  EXPECT_EQ(file->write_back(call).code(), Errc::kTimedOut);
  sync::Thread writer = start_thread("writer", [&] { EXPECT_TRUE(file->write_back({}).ok()); });
  until([&] { return memory_->held() > 0; });
  EXPECT_EQ(file->dirty_pages(), 3u);
  memory_->set_hook({});
  memory_->release_held();
  writer.join();
  EXPECT_EQ(file->dirty_pages(), 0u);
  EXPECT_TRUE(stored("f", 'a', 3));
  EXPECT_TRUE(memory_->durable_contents("f").empty());
  const auto now = memory_->open("f", OpenFlags::kRead, 0).value();
  EXPECT_EQ(now.stat.mtime, file->stat()->mtime);
  until([&] { return sync::Clock::wall() > now.stat.mtime; });
  ASSERT_TRUE(file->truncate(file->size_bytes(), {}).ok());  // new stamps, and nothing else
  EXPECT_GT(file->stat()->mtime, now.stat.mtime);
  ASSERT_TRUE(file->write_back({}).ok());
  EXPECT_EQ(memory_->stat(now.handle)->mtime, file->stat()->mtime);
  ASSERT_TRUE(memory_->close(now.handle).ok());

  write(*file, 0, kPage, 'b');
  memory_->set_hook(when(StoreOp::kWrite, failing(std::errc::io_error)));
  EXPECT_EQ(file->write_back({}).code(), kEio);
  EXPECT_EQ(file->dirty_pages(), 1u);
  memory_->set_hook({});
  EXPECT_TRUE(file->close().ok());
}

// Fails if the size is published without the store's having it: the last close then loses it.
TEST_F(FileImplTest, AllocateGrowsByZeros) {
  make_reserving();
  auto file = open_file("f");
  write(*file, 0, 100, 'a');
  const FileStat before = file->stat().value();
  until([&] { return sync::Clock::wall() > before.ctime; });
  ASSERT_TRUE(file->allocate(0, 3 * kPage + 1, false, {}).ok());
  const FileStat after = file->stat().value();
  EXPECT_EQ(after.size_bytes, 3 * kPage + 1);
  EXPECT_EQ(after.allocated_bytes, 4 * kPage);
  EXPECT_GT(after.ctime, before.ctime);
  EXPECT_EQ(after.mtime, after.ctime);
  auto expected = filled(100, 'a');
  expected.resize(3 * kPage + 1);
  EXPECT_EQ(read(*file, 0, 4 * kPage), expected);
  ASSERT_TRUE(file->allocate(0, kPage, false, {}).ok());
  EXPECT_EQ(file->size_bytes(), 3 * kPage + 1) << "it never shrinks";
  EXPECT_TRUE(file->close().ok());
  EXPECT_EQ(memory_->contents("f"), expected);
  auto again = open("f");
  EXPECT_FALSE(logged("changed by another program"));
  EXPECT_FALSE(close(again));
}

// Fails if keep_size is not looked at.
TEST_F(FileImplTest, AllocateCanKeepTheSize) {
  make_reserving();
  auto file = open_file("f");
  write(*file, 0, 100, 'a');
  ASSERT_TRUE(file->allocate(kPage, kPage, true, {}).ok());
  EXPECT_EQ(file->size_bytes(), 100u);
  EXPECT_GE(file->stat()->allocated_bytes, kPage);
  EXPECT_TRUE(file->close().ok());
  EXPECT_EQ(memory_->contents("f"), filled(100, 'a'));
}

// Fails if any of these changes the size, or answers with another error.
TEST_F(FileImplTest, AllocateThatFailsChangesNothing) {
  make_reserving(4 * kPage);
  auto file = open_file("f");
  write(*file, 0, 100, 'a');
  const auto allocate = [&](std::uint64_t offset, std::uint64_t length) {
    const std::error_code error = file->allocate(offset, length, false, {}).code();
    EXPECT_EQ(file->size_bytes(), 100u);
    return error;
  };
  EXPECT_EQ(allocate(0, 0), std::errc::invalid_argument);
  EXPECT_EQ(allocate(kPage, ~std::uint64_t{0}), std::errc::invalid_argument);
  EXPECT_EQ(allocate(limits::kFileSizeMaxBytes, 1), std::errc::file_too_large);
  EXPECT_EQ(allocate(0, 5 * kPage), std::errc::no_space_on_device);
  memory_->set_hook(when(StoreOp::kTruncate, failing(std::errc::io_error)));
  EXPECT_EQ(allocate(0, 2 * kPage), kEio);
  memory_->set_hook({});
  EXPECT_EQ(read(*file, 0, kPage), filled(100, 'a'));
  auto reader = file->reopen(OpenFlags::kRead).value();
  EXPECT_EQ(reader->allocate(0, 1, false, {}).code(), std::errc::bad_file_descriptor);
  EXPECT_TRUE(reader->close().ok());
  EXPECT_TRUE(file->close().ok());

  make_over({});
  auto other = open_file("g");
  EXPECT_EQ(other->allocate(0, kPage, false, {}).code(), std::errc::operation_not_supported);
  EXPECT_EQ(other->size_bytes(), 0u);
  EXPECT_TRUE(other->close().ok());
}

// A write at the old end, and a truncate, wait until the file has grown. Fails if only [offset, end) is
// taken: the write is then before the growth, or cut off.
TEST_F(FileImplTest, AllocateExcludesExtendersAndTruncates) {
  make_reserving();
  auto file = open_file("f");
  write(*file, 0, 100, 'a');
  memory_->set_hook(when(StoreOp::kReserve, held()));
  sync::Thread grower = start_thread(
      "grower", [&] { EXPECT_TRUE(file->allocate(2 * kPage, kPage, false, {}).ok()); });
  until([&] { return memory_->held() == 1; });
  CallOptions call;
  call.deadline = sync::Clock::now();
  EXPECT_EQ(file->append(filled(10, 'b'), call).code(), Errc::kTimedOut);
  EXPECT_EQ(file->truncate(0, call).code(), Errc::kTimedOut);
  write(*file, 0, 50, 'c');  // inside the file: not in its way
  memory_->set_hook({});
  memory_->release_held();
  grower.join();
  EXPECT_EQ(file->append(filled(10, 'b'), {}).value(), 3 * kPage);
  EXPECT_TRUE(file->close().ok());
}

// A caller who gives up leaves an allocation that ends by itself. Fails if the second request of a call
// is made by the caller.
TEST_F(FileImplTest, AllocateGoesOnWithoutItsCaller) {
  make_reserving();
  auto file = open_file("f");
  memory_->set_hook(when(StoreOp::kReserve, held()));
  CallOptions call;
  call.deadline = sync::Clock::now();
  EXPECT_EQ(file->allocate(0, kPage, false, call).code(), Errc::kTimedOut);
  EXPECT_EQ(file->size_bytes(), 0u);
  memory_->set_hook({});
  memory_->release_held();
  EXPECT_EQ(file->size_bytes(), kPage);
  EXPECT_TRUE(file->close().ok());
  EXPECT_EQ(memory_->contents("f").size(), kPage);
}

// Fails if it is remembered that a page is lost: the file is then never done, and no sync succeeds.
TEST_F(FileImplTest, WhatIsLostCanBeDiscarded) {
  auto file = open_file("f");
  write(*file, 0, kPage, 'a');
  ASSERT_TRUE(file->advise(0, ~std::uint64_t{0}, Advice::kDontNeed).ok());
  memory_->set_hook(when(StoreOp::kSync, failing(std::errc::io_error)));
  EXPECT_EQ(file->sync(0, ~std::uint64_t{0}, SyncKind::kAll, {}).code(), kEio);
  memory_->set_hook({});
  ASSERT_EQ(file->sync(0, ~std::uint64_t{0}, SyncKind::kAll, {}).code(), kEio);
  ASSERT_TRUE(file->discard().ok());
  EXPECT_TRUE(file->close().ok());
  EXPECT_EQ(store_->open_handles(), 0u);
  EXPECT_TRUE(impl_->sync({}).ok());
}

// Fails if a page stays, or its stamps are pushed.
TEST_F(FileImplTest, WhatIsDiscardedIsNotWritten) {
  auto file = open_file("f");
  write(*file, 0, kPage, 'a');
  ASSERT_TRUE(file->write_back({}).ok());
  memory_->set_hook(when(StoreOp::kSync, failing(std::errc::io_error)));
  EXPECT_EQ(file->sync(0, ~std::uint64_t{0}, SyncKind::kAll, {}).code(), kEio);
  write(*file, 0, 2 * kPage, 'b');
  int writes = 0;
  memory_->set_hook([&](const StoreRequest& request) {
    if (request.op == StoreOp::kWrite || request.op == StoreOp::kTruncate) ++writes;
    return StoreVerdict{};
  });
  int times = 0;
  store_->on_set_times = [&](const TimeSpec&) { ++times; };
  ASSERT_TRUE(file->discard().ok());
  EXPECT_EQ(file->dirty_pages(), 0u);
  EXPECT_EQ(file->size_bytes(), 0u);
  const ObjectId id = file->id();
  EXPECT_TRUE(file->close().ok());
  EXPECT_EQ(writes, 0);
  EXPECT_EQ(times, 0);
  EXPECT_FALSE(impl_->known(id).has_value());
  EXPECT_EQ(impl_->stats().dirty_pages, 0u);
  EXPECT_EQ(store_->open_handles(), 0u);
  EXPECT_TRUE(impl_->sync({}).ok());
  store_->on_set_times = nullptr;
}

}  // namespace
}  // namespace quire::file
