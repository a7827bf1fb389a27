// Reservations on a real file system: what a host directory shows while files are open, and after they are
// closed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "file/cache_impl.h"
#include "quire/cache.h"
#include "quire/store_host.h"
#include "store/fd.h"
#include "store/host_directory.h"
#include "store/host_space.h"
#include "store/test_directory.h"
#include "store/test_io.h"

namespace quire::file {
namespace {

using store::testing::pattern;

class ReserveOnHost : public testing::TestWithParam<bool> {
 protected:
  static constexpr std::uint64_t kChunk = limits::kReservePagesMax;
  static constexpr std::size_t kPage = limits::kPageBytes;

  void SetUp() override {
    if (!directory_.must_reserve()) {
      GTEST_SKIP() << "this directory is neither on ext4 nor on XFS, which tell what has space";
    }
    auto host = open_host_store(directory_.path(), {.direct = GetParam()});
    ASSERT_TRUE(host.ok());
    ASSERT_TRUE(host.value()->traits().syncs_store);
    auto made = Cache::create(*host, {.memory_bytes = std::size_t{16} << 20});
    ASSERT_TRUE(made.ok());
    cache_ = std::move(*made);
    File file = open("look");
    ASSERT_TRUE(file.write(pattern(kPage, 1), 0).ok());
    ASSERT_EQ(cache_->stats().reserved_pages, 1u);
    ASSERT_TRUE(file.close().ok());
  }
  void TearDown() override {
    if (cache_ == nullptr) return;
    EXPECT_EQ(cache_->stats().reserved_pages, 0u);
    EXPECT_TRUE(cache_->close().ok());
  }
  File open(const std::string& name) {
    auto file = cache_->open(name, OpenFlags::kReadWrite | OpenFlags::kCreate);
    EXPECT_TRUE(file.ok());
    return std::move(*file);
  }
  // Not by st_blocks: there a file in many pieces has blocks that say where they are.
  std::uint64_t pages_of(const std::string& name) const {
    const store::Fd fd(::open((directory_ / name).c_str(), O_RDONLY | O_CLOEXEC));
    constexpr std::size_t kPieces = 512;
    std::vector<std::uint64_t> memory((sizeof(fiemap) + kPieces * sizeof(fiemap_extent)) /
                                      sizeof(std::uint64_t));
    auto* const map = reinterpret_cast<fiemap*>(memory.data());
    map->fm_length = FIEMAP_MAX_OFFSET;
    map->fm_flags = FIEMAP_FLAG_SYNC;
    map->fm_extent_count = kPieces;
    EXPECT_EQ(::ioctl(fd.get(), FS_IOC_FIEMAP, map), 0);
    EXPECT_LT(map->fm_mapped_extents, kPieces);
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < map->fm_mapped_extents; ++i) {
      bytes += map->fm_extents[i].fe_length;
    }
    return bytes / kPage;
  }

  store::testing::TestDirectory directory_;
  std::unique_ptr<Cache> cache_;
};

INSTANTIATE_TEST_SUITE_P(Ways, ReserveOnHost, testing::Bool(),
                         [](const auto& tested) { return tested.param ? "Direct" : "Buffered"; });

// Fails without the trim at close, or with a release where ext4 needs a truncate.
TEST_P(ReserveOnHost, AnAppenderGetsAChunkAndGivesItBack) {
  File file = open("f");
  std::vector<std::byte> expected;
  for (unsigned i = 0; i < 5; ++i) {
    const auto piece = pattern(kPage - 100, i);
    ASSERT_TRUE(file.append(piece).ok());
    expected.insert(expected.end(), piece.begin(), piece.end());
  }
  EXPECT_EQ(pages_of("f"), kChunk);
  EXPECT_TRUE(file.close().ok());
  EXPECT_EQ(pages_of("f"), 5u);
  EXPECT_EQ(directory_.contents("f"), expected);
}

// A file that is not written yet gives back as much. Fails if TrimCall truncates once: that makes the object as
// long as the file, and ext4 then keeps what is behind.
TEST_P(ReserveOnHost, ADirtyFileIsTrimmedToo) {
  const store::testing::TestDirectory other;
  auto host = open_host_store(other.path(), {.direct = GetParam()});
  ASSERT_TRUE(host.ok());
  const auto impl = CacheImpl::create(*host, {.memory_bytes = std::size_t{16} << 20}).value();
  auto file = impl->open("f", OpenFlags::kReadWrite | OpenFlags::kCreate, 0644).value();
  for (unsigned page = 0; page < 3; ++page) {
    ASSERT_TRUE(file->append(pattern(kPage, page), {}).ok());
  }
  struct stat stat = {};
  const auto pages_now = [&] {
    EXPECT_EQ(::stat((other / "f").c_str(), &stat), 0);
    return static_cast<std::uint64_t>(stat.st_blocks) * 512 / kPage;
  };
  EXPECT_EQ(pages_now(), kChunk);
  EXPECT_EQ(file->dirty_pages(), 3u);
  impl->inodes().trim_all({});
  EXPECT_EQ(pages_now(), 3u);
  EXPECT_EQ(impl->stats().reserved_pages, 3u);
  EXPECT_TRUE(file->close().ok());
  EXPECT_EQ(pages_now(), 3u);
  file.reset();
  EXPECT_TRUE(impl->close({}).ok());
}

// Another program appends to the file behind our back. Fails if TrimCall truncates whatever size the object has.
TEST_P(ReserveOnHost, WhatAnotherProgramAppendedIsNotCutOff) {
  File file = open("f");
  for (unsigned i = 0; i < 3; ++i) ASSERT_TRUE(file.append(pattern(kPage, i)).ok());
  ASSERT_TRUE(file.sync().ok());
  {
    std::ofstream other(directory_ / "f", std::ios::app | std::ios::binary);
    other << "theirs";
  }
  EXPECT_TRUE(file.close().ok());
  const auto host = directory_.contents("f");
  ASSERT_EQ(host.size(), 3 * kPage + 6);
  EXPECT_EQ(std::memcmp(host.data() + 3 * kPage, "theirs", 6), 0);
  // And it is noticed. Fails if a trim takes the stamps that it finds for its own doing.
  File again = open("f");
  EXPECT_EQ(again.stat()->size_bytes, 3 * kPage + 6);
  EXPECT_TRUE(again.close().ok());
}

// Fails if trimming leaves in a hole what was taken there.
TEST_P(ReserveOnHost, AHoleIsAHoleAgain) {
  File file = open("f");
  ASSERT_TRUE(file.truncate(std::uint64_t{1} << 30).ok());
  ASSERT_TRUE(file.write(pattern(kPage, 1), 1000 * kPage).ok());
  EXPECT_EQ(pages_of("f"), 1u);
  ASSERT_TRUE(file.write(pattern(kPage, 2), 1001 * kPage).ok());
  EXPECT_GT(pages_of("f"), 2u);
  EXPECT_TRUE(file.close().ok());
  EXPECT_EQ(pages_of("f"), 2u);
  File again = open("f");
  std::vector<std::byte> page(kPage);
  EXPECT_TRUE(again.read(page, 1001 * kPage).ok());
  EXPECT_EQ(page, pattern(kPage, 2));
  EXPECT_EQ(again.stat()->size_bytes, std::uint64_t{1} << 30);
  EXPECT_TRUE(again.close().ok());
}

// What somebody allocated stays, in the file and behind its end. Fails if SEEK_HOLE decides what had space.
TEST_P(ReserveOnHost, WhatWasAllocatedStays) {
  {
    File file = open("f");
    ASSERT_TRUE(file.allocate(0, 64 * kPage, true).ok());
    EXPECT_TRUE(file.close().ok());
  }
  File file = open("f");
  for (unsigned page = 0; page < 3; ++page) {
    ASSERT_TRUE(file.write(pattern(kPage, page), page * kPage).ok());
  }
  EXPECT_TRUE(file.close().ok());
  EXPECT_EQ(pages_of("f"), 64u);
}

// Overwriting takes nothing and gives nothing back.
TEST_P(ReserveOnHost, OverwritingChangesNothing) {
  {
    File file = open("f");
    ASSERT_TRUE(file.write(pattern(300 * kPage, 1), 0).ok());
    EXPECT_TRUE(file.close().ok());
  }
  EXPECT_EQ(pages_of("f"), 300u);
  File file = open("f");
  for (const unsigned page : {7u, 8u, 280u, 281u}) {
    ASSERT_TRUE(file.write(pattern(kPage, page), page * kPage).ok());
  }
  EXPECT_EQ(cache_->stats().reserved_pages, 0u);
  EXPECT_TRUE(file.close().ok());
  EXPECT_EQ(pages_of("f"), 300u);
  const auto bytes = directory_.contents("f");
  EXPECT_EQ(bytes.size(), 300 * kPage);
}

}  // namespace
}  // namespace quire::file
