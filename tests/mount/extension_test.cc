// What grows a file must show zeros between the old end and the new data, whatever was stored there through a
// mapping; and writes that stop partway say so.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>

#include "mount/mount_test.h"

namespace quire::mount::testing {
namespace {

class ExtensionTest : public MountTest {
 protected:
  // A file of 100 bytes, mapped, with stores beyond its end.
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped()) return;
    write_file(mounted_.in_source("f"), std::string(100, 'a'));
    begin();
    fd_ = store::Fd(::open(mounted_.at("f").c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(fd_.ok());
    map_ = static_cast<volatile char*>(
        ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0));
    ASSERT_NE(map_, MAP_FAILED);
    map_[10] = 'b';
    map_[200] = 'x';
  }
  void TearDown() override {
    if (map_ != nullptr) ::munmap(const_cast<char*>(map_), kPage);
    fd_.reset();
    MountTest::TearDown();
  }
  char read(off_t offset) {
    char c = '?';
    EXPECT_EQ(::pread(fd_.get(), &c, 1, offset), 1);
    return c;
  }
  void expect_zero() {
    EXPECT_EQ(map_[200], '\0') << "a load";
    EXPECT_EQ(read(200), '\0') << "a read";
    EXPECT_EQ(read(10), 'b') << "a store inside the file";
    ASSERT_EQ(::msync(const_cast<char*>(map_), kPage, MS_SYNC), 0);
    EXPECT_EQ(read(200), '\0') << "a read after the write-back";
  }

  store::Fd fd_;
  volatile char* map_ = nullptr;
};

// Broken by: FileSystem::resize() without the gap.
TEST_F(ExtensionTest, ByTruncate) {
  ASSERT_EQ(::ftruncate(fd_.get(), 1000), 0);
  expect_zero();
}

// Broken by: write_through() without the gap.
TEST_F(ExtensionTest, ByAWriteBeyondTheEndInThePage) {
  ASSERT_EQ(::pwrite(fd_.get(), "z", 1, 1000), 1);
  expect_zero();
  EXPECT_EQ(map_[1000], 'z');
}

TEST_F(ExtensionTest, ByAWriteInAnotherPage) {
  ASSERT_EQ(::pwrite(fd_.get(), "z", 1, 3 * kPage), 1);
  expect_zero();
}

TEST_F(ExtensionTest, ByAllocation) {
  ASSERT_EQ(::posix_fallocate(fd_.get(), 0, 2 * kPage), 0);
  expect_zero();
}

TEST_F(ExtensionTest, StoresAfterTheExtensionCount) {
  ASSERT_EQ(::pwrite(fd_.get(), "z", 1, 1000), 1);
  map_[300] = 'y';
  ASSERT_EQ(::msync(const_cast<char*>(map_), kPage, MS_SYNC), 0);
  EXPECT_EQ(read(300), 'y');
  EXPECT_EQ(read(200), '\0');
}

// A signal that the program catches ends no call that a local file system would not end.
// Broken by: Interruptible::interrupted() stopping for every signal.
TEST_F(ExtensionTest, CaughtSignalsInterruptNothing) {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  ASSERT_EQ(::sigaction(SIGALRM, &action, nullptr), 0);
  const itimerval often = {{0, 300}, {0, 300}};
  ASSERT_EQ(::setitimer(ITIMER_REAL, &often, nullptr), 0);
  const std::string text(1 << 20, 't');
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(::pwrite(fd_.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    EXPECT_EQ(::fsync(fd_.get()), 0) << std::strerror(errno);
  }
  const itimerval off = {};
  ASSERT_EQ(::setitimer(ITIMER_REAL, &off, nullptr), 0);
}

// A path of more directories than the daemon has descriptors, or a thread stack.
// Broken by: Tree::directory() calling itself for the parent.
TEST_F(MountTest, ADeepTreeIsReached) {
  begin();
  constexpr int kDeep = 3000;
  ASSERT_EQ(::chdir(mounted_.root().c_str()), 0);
  for (int i = 0; i < kDeep; ++i) {
    ASSERT_EQ(::mkdir("d", 0755), 0) << i << std::strerror(errno);
    ASSERT_EQ(::chdir("d"), 0);
  }
  const store::Fd deep(::open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(::chdir("/"), 0);
  // So many other directories that none of the way down is still open.
  for (int i = 0; i < 1100; ++i) {
    const std::string name = mounted_.at("w" + std::to_string(i));
    ASSERT_EQ(::mkdir(name.c_str(), 0755), 0);
    std::filesystem::create_directory(name + "/x");
  }
  EXPECT_EQ(::mkdirat(deep.get(), "last", 0755), 0) << std::strerror(errno);
}

}  // namespace
}  // namespace quire::mount::testing
