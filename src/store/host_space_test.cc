#include "store/host_space.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "store/fd.h"
#include "store/host_directory.h"
#include "store/test_directory.h"
#include "store/test_io.h"
#include "store/test_mount.h"

namespace quire::store::testing {
namespace {

class HostSpaceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!directory_.must_reserve()) {
      GTEST_SKIP() << "this directory is neither on ext4 nor on XFS, which tell what has space";
    }
    file_ = Fd(::open((directory_ / "f").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    ASSERT_TRUE(file_.ok());
    SpaceRequest look;
    look.pages = 1;
    ASSERT_TRUE(keeps_allocation(file_.get()));
    ASSERT_EQ(reserve_pages(file_.get(), look), 0);
    ASSERT_TRUE(look.told);
  }
  SpaceRequest ask(std::uint64_t page, std::size_t first, std::size_t end) {
    SpaceRequest request;
    request.offset = page * kPage;
    request.pages = 64;
    request.first = first;
    request.end = end;
    EXPECT_EQ(reserve_pages(file_.get(), request), 0);
    EXPECT_TRUE(request.told);
    return request;
  }
  void put(std::uint64_t page, std::size_t pages) {
    const auto bytes = pattern(pages * kPage, static_cast<unsigned>(page));
    ASSERT_EQ(::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(page * kPage)),
              static_cast<ssize_t>(bytes.size()));
  }
  std::uint64_t blocks() {
    struct stat stat = {};
    EXPECT_EQ(::fstat(file_.get(), &stat), 0);
    return static_cast<std::uint64_t>(stat.st_blocks) * 512 / kPage;
  }
  std::uint64_t size() {
    struct stat stat = {};
    EXPECT_EQ(::fstat(file_.get(), &stat), 0);
    return static_cast<std::uint64_t>(stat.st_size);
  }

  TestDirectory directory_;
  Fd file_;
};

// Written, not written yet by the kernel, allocated and never written, and holes.
TEST_F(HostSpaceTest, TellsPageByPage) {
  ASSERT_EQ(::ftruncate(file_.get(), 64 * kPage), 0);
  put(3, 2);
  ASSERT_EQ(::fsync(file_.get()), 0);
  put(10, 1);
  ASSERT_EQ(::fallocate(file_.get(), FALLOC_FL_KEEP_SIZE, 20 * kPage, 4 * kPage), 0);
  const SpaceRequest look = ask(0, 0, 0);
  for (std::size_t page = 0; page < 64; ++page) {
    const bool has = page == 3 || page == 4 || page == 10 || (page >= 20 && page < 24);
    EXPECT_EQ(look.had_space[page], has) << page;
    EXPECT_EQ(look.had_none[page], !has) << page;
  }
}

// Fails if what has space already is what is told afterwards, or if the size moves.
TEST_F(HostSpaceTest, TakesWhatIsWanted) {
  put(0, 1);
  ASSERT_EQ(::fsync(file_.get()), 0);
  const SpaceRequest taken = ask(0, 0, 8);
  EXPECT_TRUE(taken.had_space[0]);
  EXPECT_TRUE(taken.had_none[1]);
  EXPECT_EQ(size(), kPage);
  EXPECT_EQ(blocks(), 8u);
  const SpaceRequest now = ask(0, 0, 0);
  EXPECT_EQ(now.had_space.count(), 8u);
}

// More extents than one look brings.
TEST_F(HostSpaceTest, ManyExtents) {
  SpaceRequest request;
  request.pages = limits::kReservePagesMax;
  for (std::uint64_t page = 0; page < limits::kReservePagesMax; page += 2) put(page, 1);
  ASSERT_EQ(::fsync(file_.get()), 0);
  ASSERT_EQ(reserve_pages(file_.get(), request), 0);
  for (std::size_t page = 0; page < limits::kReservePagesMax; ++page) {
    EXPECT_EQ(request.had_space[page], page % 2 == 0) << page;
  }
}

// Fails if release_pages() punches whatever it is asked to: then the bytes are gone.
TEST_F(HostSpaceTest, GivesBackWhatWasNeverWritten) {
  ASSERT_EQ(::ftruncate(file_.get(), 32 * kPage), 0);
  put(3, 2);
  ASSERT_EQ(::fsync(file_.get()), 0);
  (void)ask(0, 0, 20);
  put(9, 1);  // in the kernel's cache alone
  EXPECT_EQ(release_pages(file_.get(), 0, 32 * kPage), 0);
  ASSERT_EQ(::fsync(file_.get()), 0);
  EXPECT_EQ(blocks(), 3u);
  EXPECT_EQ(size(), 32 * kPage);
  const auto bytes = directory_.contents("f");
  const auto three = pattern(2 * kPage, 3);
  EXPECT_TRUE(std::equal(three.begin(), three.end(), bytes.begin() + 3 * kPage));
  const auto nine = pattern(kPage, 9);
  EXPECT_TRUE(std::equal(nine.begin(), nine.end(), bytes.begin() + 9 * kPage));
}

// Behind the end the file system may keep it (ext4 does) until the file is truncated, to the size it has.
TEST_F(HostSpaceTest, BehindTheEnd) {
  put(0, 1);
  ASSERT_EQ(::fsync(file_.get()), 0);
  (void)ask(0, 1, 64);
  EXPECT_EQ(blocks(), 64u);
  EXPECT_EQ(release_pages(file_.get(), kPage, 63 * kPage), 0);
  ASSERT_EQ(::ftruncate(file_.get(), kPage), 0);
  EXPECT_EQ(blocks(), 1u);
}

// A file system that tells nothing: space is taken all the same.
TEST(HostSpaceOnTmpfs, TellsNothing) {
  const TestDirectory directory;
  TestMounts mounts;
  if (const std::string why = mounts.prepare(); !why.empty()) GTEST_SKIP() << why;
  ASSERT_TRUE(mounts.tmpfs(directory.path()));
  const Fd file(::open((directory / "f").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  ASSERT_TRUE(file.ok());
  SpaceRequest request;
  request.pages = 16;
  request.first = 2;
  request.end = 6;
  EXPECT_EQ(reserve_pages(file.get(), request), 0);
  EXPECT_FALSE(request.told);
  EXPECT_TRUE(request.had_none.none());
  struct stat stat = {};
  ASSERT_EQ(::fstat(file.get(), &stat), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(stat.st_blocks) * 512, 4 * kPage);
  request.offset = 16 * kPage;
  request.pages = request.end = limits::kReservePagesMax;
  request.first = 0;
  EXPECT_EQ(reserve_pages(file.get(), request), ENOSPC) << "it has 1 MiB in all";
}

}  // namespace
}  // namespace quire::store::testing
