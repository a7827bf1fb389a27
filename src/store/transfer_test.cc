#include "store/transfer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <vector>

#include "store/test_directory.h"
#include "store/test_io.h"

namespace quire::store::testing {
namespace {

// The test makes the calls: it looks at each step and chooses what the kernel answers.
class TransferTest : public ::testing::Test {
 protected:
  TransferTest() {
    Fd fd(::open((directory_ / "file").c_str(), O_RDWR | O_CREAT, 0644));
    struct statx stat = {};
    EXPECT_EQ(::statx(fd.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_DIOALIGN, &stat), 0);
    file_ = std::make_unique<HostFile>(std::move(fd), O_RDWR, stat, true);
  }
  bool is_direct_fd(int fd) const { return (::fcntl(fd, F_GETFL) & O_DIRECT) != 0; }
  static std::size_t length(const Transfer::Step& step) {
    std::size_t total = 0;
    for (unsigned i = 0; i < step.count; ++i) total += step.pieces[i].iov_len;
    return total;
  }

  TestDirectory directory_;
  std::unique_ptr<HostFile> file_;
  AlignedBytes memory_{64 * kPage};
};

// Whatever is asked for: no call reaches past the end of the request, and what goes by direct IO is
// whole pages. So the file never grows past what was written, not even for a moment.
TEST_F(TransferTest, DirectStepsAreWholePagesAndNoStepReachesPastTheEnd) {
  ASSERT_TRUE(file_->direct()) << "the test directory is on a file system without direct IO";
  const std::size_t lengths[] = {
      1, 511, 512, kPage - 1, kPage, kPage + 1, 3 * kPage, 3 * kPage + 512, 16 * kPage - 1};
  for (const std::size_t length_bytes : lengths) {
    for (const std::uint64_t offset : {std::uint64_t{0}, 5 * std::uint64_t{kPage}}) {
      const Store::ConstBuffer buffer = memory_.span().first(length_bytes);
      Transfer transfer(*file_, offset, std::span(&buffer, 1));
      Transfer::Step step;
      std::uint64_t at = offset;
      while (transfer.next(step)) {
        EXPECT_EQ(step.offset, at);
        EXPECT_LE(at + length(step), offset + length_bytes);
        if (is_direct_fd(step.fd)) {
          EXPECT_EQ(step.offset % kPage, 0u);
          EXPECT_EQ(length(step) % kPage, 0u);
        } else {
          EXPECT_LT(length(step), kPage);
        }
        at += length(step);
        transfer.took(static_cast<ssize_t>(length(step)));
      }
      EXPECT_FALSE(transfer.error());
      EXPECT_EQ(transfer.bytes(), length_bytes);
    }
  }
}

TEST_F(TransferTest, MisalignedRequestsGoThroughTheKernelsCache) {
  const auto direct_steps = [&](std::uint64_t offset, std::vector<Store::Buffer> buffers) {
    Transfer transfer(*file_, offset, std::span<const Store::Buffer>(buffers));
    Transfer::Step step;
    int direct = 0;
    while (transfer.next(step)) {
      direct += is_direct_fd(step.fd) ? 1 : 0;
      transfer.took(static_cast<ssize_t>(length(step)));
    }
    return direct;
  };
  const auto memory = memory_.span();
  EXPECT_EQ(direct_steps(0, {memory.first(kPage)}), 1);
  EXPECT_EQ(direct_steps(0, {memory.first(kPage), memory.subspan(4 * kPage, 2 * kPage)}), 1);
  EXPECT_EQ(direct_steps(100, {memory.first(kPage)}), 0);
  EXPECT_EQ(direct_steps(0, {memory.subspan(8, kPage)}), 0);
  EXPECT_EQ(direct_steps(0, {memory.first(100), memory.subspan(kPage, kPage)}), 0);
}

TEST_F(TransferTest, ShortResultsAreContinued) {
  const Store::ConstBuffer buffers[] = {memory_.span().first(2 * kPage),
                                        memory_.span().subspan(8 * kPage, 2 * kPage)};
  Transfer transfer(*file_, 0, std::span<const Store::ConstBuffer>(buffers));
  Transfer::Step step;
  ASSERT_TRUE(transfer.next(step));
  EXPECT_EQ(step.count, 2u);
  transfer.took(3 * kPage);
  ASSERT_TRUE(transfer.next(step));
  EXPECT_EQ(step.count, 1u);
  EXPECT_EQ(step.offset, 3 * kPage);
  EXPECT_EQ(step.pieces[0].iov_base, memory_.data() + 9 * kPage);
  EXPECT_TRUE(is_direct_fd(step.fd));
  // Direct IO cannot go on within a page.
  transfer.took(512);
  ASSERT_TRUE(transfer.next(step));
  EXPECT_FALSE(is_direct_fd(step.fd));
  EXPECT_EQ(step.offset, 3 * kPage + 512);
  transfer.took(kPage - 512);
  EXPECT_FALSE(transfer.next(step));
  EXPECT_FALSE(transfer.error());
  EXPECT_EQ(transfer.bytes(), 4 * kPage);
}

TEST_F(TransferTest, InterruptedCallsAreRepeated) {
  const Store::Buffer buffer = memory_.span().first(kPage);
  Transfer transfer(*file_, 0, std::span(&buffer, 1));
  Transfer::Step step;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(transfer.next(step));
    transfer.took(-EINTR);
  }
  ASSERT_TRUE(transfer.next(step));
  EXPECT_EQ(length(step), kPage);
  transfer.took(kPage);
  EXPECT_FALSE(transfer.next(step));
  EXPECT_EQ(transfer.bytes(), kPage);
}

TEST_F(TransferTest, AgainIsRepeatedButNotForEver) {
  const Store::Buffer buffer = memory_.span().first(kPage);
  Transfer transfer(*file_, 0, std::span(&buffer, 1));
  Transfer::Step step;
  int calls = 0;
  while (transfer.next(step)) {
    ASSERT_LT(++calls, 100);
    transfer.took(-EAGAIN);
  }
  EXPECT_EQ(transfer.error(), std::errc::resource_unavailable_try_again);
}

TEST_F(TransferTest, RefusedDirectIoGoesOnThroughTheKernelsCache) {
  const Store::Buffer buffer = memory_.span().first(kPage);
  Transfer transfer(*file_, 0, std::span(&buffer, 1));
  Transfer::Step step;
  ASSERT_TRUE(transfer.next(step));
  transfer.took(-EINVAL);
  EXPECT_FALSE(file_->direct());
  ASSERT_TRUE(transfer.next(step));
  EXPECT_FALSE(is_direct_fd(step.fd));
  transfer.took(-EINVAL);
  EXPECT_FALSE(transfer.next(step));
  EXPECT_EQ(transfer.error(), std::errc::invalid_argument);
}

TEST_F(TransferTest, AReadEndsWhereTheFileDoes) {
  ASSERT_EQ(::ftruncate(file_->fd(), 2 * kPage + 512), 0);
  const Store::Buffer buffer = memory_.span().first(4 * kPage);
  Transfer transfer(*file_, 0, std::span(&buffer, 1));
  Transfer::Step step;
  ASSERT_TRUE(transfer.next(step));
  transfer.took(2 * kPage + 512);
  EXPECT_FALSE(transfer.next(step));
  EXPECT_EQ(transfer.bytes(), 2 * kPage + 512);

  // A short answer before the end is not the end.
  Transfer other(*file_, 0, std::span(&buffer, 1));
  ASSERT_TRUE(other.next(step));
  other.took(512);
  ASSERT_TRUE(other.next(step));
  EXPECT_EQ(step.offset, 512u);
}

TEST_F(TransferTest, ErrorsEndTheTransfer) {
  const Store::ConstBuffer buffer = memory_.span().first(2 * kPage);
  Transfer::Step step;
  Transfer failing(*file_, 0, std::span(&buffer, 1));
  ASSERT_TRUE(failing.next(step));
  failing.took(kPage);
  ASSERT_TRUE(failing.next(step));
  failing.took(-ENOSPC);
  EXPECT_FALSE(failing.next(step));
  EXPECT_EQ(failing.error(), std::errc::no_space_on_device);

  Transfer stuck(*file_, 0, std::span(&buffer, 1));
  ASSERT_TRUE(stuck.next(step));
  stuck.took(0);
  EXPECT_FALSE(stuck.next(step));
  EXPECT_EQ(stuck.error(), std::errc::io_error);
}

TEST_F(TransferTest, LimitsAreChecked) {
  Transfer::Step step;
  const Store::ConstBuffer buffer = memory_.span().first(kPage);
  Transfer too_far(*file_, limits::kFileSizeMaxBytes - kPage + 1, std::span(&buffer, 1));
  EXPECT_FALSE(too_far.next(step));
  EXPECT_EQ(too_far.error(), std::errc::file_too_large);

  const std::vector<Store::ConstBuffer> many(limits::kStoreIoMaxPieces + 1, buffer);
  Transfer too_many(*file_, 0, std::span<const Store::ConstBuffer>(many));
  EXPECT_FALSE(too_many.next(step));
  EXPECT_EQ(too_many.error(), std::errc::invalid_argument);

  const Store::ConstBuffer none;
  Transfer empty(*file_, 0, std::span(&none, 1));
  EXPECT_FALSE(empty.next(step));
  EXPECT_FALSE(empty.error());
}

// A file can be one byte short of its last page: asked for all of that page, kernels answer EINVAL.
TEST_F(TransferTest, AReadOfTheLastPageStopsAtTheLargestSize) {
  constexpr std::uint64_t kLastPage = limits::kFileSizeMaxBytes + 1 - kPage;
  const Store::Buffer buffers[] = {memory_.span().first(2 * kPage),
                                   memory_.span().subspan(4 * kPage, 2 * kPage)};
  for (const std::uint64_t before : {0u, 1u, 2u, 3u}) {
    const std::uint64_t begin = kLastPage - before * kPage;
    Transfer transfer(*file_, begin, std::span<const Store::Buffer>(buffers));
    Transfer::Step step;
    std::uint64_t asked = 0;
    while (transfer.next(step)) {
      EXPECT_EQ(step.offset, begin + asked);
      asked += length(step);
      transfer.took(static_cast<ssize_t>(length(step)));
    }
    EXPECT_FALSE(transfer.error());
    EXPECT_EQ(asked, limits::kFileSizeMaxBytes - begin);
    EXPECT_EQ(transfer.bytes(), asked);
  }
  Transfer real(*file_, kLastPage, std::span(buffers, 1));
  run_inline(real);
  EXPECT_FALSE(real.error()) << real.error().message();
  EXPECT_EQ(real.bytes(), 0u);
}

}  // namespace
}  // namespace quire::store::testing
