#include "store/beneath.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "quire/error.h"
#include "store/test_directory.h"
#include "store/test_mount.h"
#include "sync/atomic.h"
#include "sync/thread.h"

namespace quire::store::testing {
namespace {

namespace fs = std::filesystem;

// The same answers are expected of both ways.
class Beneath : public ::testing::TestWithParam<BeneathMethod> {
 protected:
  void SetUp() override {
    fs::create_directories(root() + "/dir/sub");
    directory_.put("outside", "secret");
    directory_.put("top/file", "text");
    directory_.put("top/dir/inner", "inner");
    root_fd_ = Fd(::open(root().c_str(), O_RDONLY | O_DIRECTORY));
    ASSERT_TRUE(root_fd_.ok());
  }
  std::string root() const { return directory_ / "top"; }
  void link(const std::string& target, const std::string& name) const {
    fs::create_symlink(target, root() + "/" + name);
  }
  BeneathResult open(const std::string& path, int flags = O_RDONLY) const {
    return open_beneath(GetParam(), root_fd_.get(), path, flags, 0644);
  }
  // What is in the file, or the error.
  std::string text(const std::string& path) const {
    const BeneathResult result = open(path);
    if (result.error) return result.error.message();
    char buffer[64];
    const ssize_t count = ::read(result.fd.get(), buffer, sizeof(buffer));
    return count < 0 ? "unreadable" : std::string(buffer, static_cast<std::size_t>(count));
  }

  TestDirectory directory_;
  Fd root_fd_;
};

TEST_P(Beneath, FilesAndDirectories) {
  EXPECT_EQ(text("file"), "text");
  EXPECT_EQ(text("dir/inner"), "inner");
  EXPECT_EQ(open("none").error, std::errc::no_such_file_or_directory);
  EXPECT_EQ(open("none/file").error, std::errc::no_such_file_or_directory);
  EXPECT_EQ(open("file/below").error, std::errc::not_a_directory);
  EXPECT_EQ(open("dir", O_RDWR).error, std::errc::is_a_directory);
}

TEST_P(Beneath, LinksThatStayBeneathAreFollowed) {
  link("file", "to_file");
  link("dir", "to_dir");
  link("../file", "dir/up_and_down");
  link("../dir/./sub/../inner", "dir/around");
  link("to_dir/inner", "through");
  EXPECT_EQ(text("to_file"), "text");
  EXPECT_EQ(text("to_dir/inner"), "inner");
  EXPECT_EQ(text("dir/up_and_down"), "text");
  EXPECT_EQ(text("to_dir/around"), "inner");
  EXPECT_EQ(text("through"), "inner");
}

TEST_P(Beneath, LinksThatLeaveAreRefused) {
  link("../outside", "climbs");
  link(directory_ / "outside", "absolute");
  link(root() + "/file", "absolute_but_inside");
  link("..", "parent");
  link("../top/file", "out_and_in_again");
  link("climbs", "second");
  for (const char* path : {"climbs", "absolute", "absolute_but_inside", "parent/outside",
                           "out_and_in_again", "second"}) {
    EXPECT_EQ(open(path).error, Errc::kPathEscapes) << path;
    EXPECT_EQ(open(path, O_RDWR | O_CREAT).error, Errc::kPathEscapes) << path;
  }
}

TEST_P(Beneath, LoopsEnd) {
  link("b", "a");
  link("a", "b");
  EXPECT_EQ(open("a").error, std::errc::too_many_symbolic_link_levels);
  EXPECT_EQ(open("a/x").error, std::errc::too_many_symbolic_link_levels);
}

TEST_P(Beneath, Creation) {
  EXPECT_TRUE(open("new", O_RDWR | O_CREAT | O_EXCL).fd.ok());
  EXPECT_EQ(open("new", O_RDWR | O_CREAT | O_EXCL).error, std::errc::file_exists);
  EXPECT_EQ(open("none/new", O_RDWR | O_CREAT).error, std::errc::no_such_file_or_directory);
  link("made", "dangling");
  EXPECT_EQ(open("dangling", O_RDWR | O_CREAT | O_EXCL).error, std::errc::file_exists);
  EXPECT_TRUE(open("dangling", O_RDWR | O_CREAT).fd.ok());
  EXPECT_TRUE(fs::exists(root() + "/made"));
}

// Fails when the walk does not compare mounts, or openat2 is not told to stay on one.
TEST_P(Beneath, MountsBelowAreNotEntered) {
  TestMounts mounts;
  const std::string trouble = mounts.prepare();
  if (!trouble.empty()) GTEST_SKIP() << trouble;
  // A root opened before lies in the namespace that we have left.
  root_fd_ = Fd(::open(root().c_str(), O_RDONLY | O_DIRECTORY));
  for (const char* name : {"/dir/memory", "/dir/bound"}) fs::create_directory(root() + name);
  directory_.put("top/covered", "below the mount");
  ASSERT_TRUE(mounts.tmpfs(root() + "/dir/memory"));
  ASSERT_TRUE(mounts.bind(root() + "/dir/sub", root() + "/dir/bound"));
  ASSERT_TRUE(mounts.bind(root() + "/file", root() + "/covered"));
  directory_.put("top/dir/memory/there", "on another file system");
  link("dir/memory", "to_memory");

  for (const char* path : {"dir/memory/there", "dir/memory/new", "dir/bound/new", "covered",
                           "to_memory/there", "to_memory/../inner"}) {
    EXPECT_EQ(open(path).error, std::errc::cross_device_link) << path;
    EXPECT_EQ(open(path, O_RDWR | O_CREAT).error, std::errc::cross_device_link) << path;
  }
  EXPECT_FALSE(fs::exists(root() + "/dir/memory/new"));
  EXPECT_FALSE(fs::exists(root() + "/dir/bound/new"));
  EXPECT_EQ(text("dir/inner"), "inner");
  link("../outside", "climbs");
  EXPECT_EQ(open("climbs").error, Errc::kPathEscapes) << "told apart from a mount";
}

// A directory on the way is exchanged with a link that leaves, again and again, while it is walked.
// Fails when a component is looked at first and followed later.
TEST_P(Beneath, ALinkPutInTheWayMidwayNeverLeadsOut) {
  fs::create_directories(directory_ / "elsewhere/sub");
  directory_.put("elsewhere/sub/file", "outside");
  fs::create_directories(root() + "/swap/sub");
  directory_.put("top/swap/sub/file", "inside");
  link("../elsewhere", "evil");
  ASSERT_EQ(text("swap/sub/file"), "inside");
  sync::Atomic<bool> ended{false};
  const std::string swap = root() + "/swap", evil = root() + "/evil";
  sync::Thread changer = *sync::Thread::start("changer", [&] {
    while (!ended.load()) {
      ::renameat2(AT_FDCWD, swap.c_str(), AT_FDCWD, evil.c_str(), RENAME_EXCHANGE);
    }
  });
  int inside = 0, escapes = 0;
  for (int i = 0; i < 100'000 && (i < 2'000 || inside == 0 || escapes == 0); ++i) {
    const BeneathResult result = open("swap/sub/file");
    escapes += result.error == Errc::kPathEscapes ? 1 : 0;
    if (!result.fd.ok()) continue;
    char first = 0;
    EXPECT_EQ(::read(result.fd.get(), &first, 1), 1);
    EXPECT_EQ(first, 'i') << "opened outside";
    ++inside;
    if (first != 'i') break;
  }
  ended.store(true);
  changer.join();
  EXPECT_GT(inside, 0);
  EXPECT_GT(escapes, 0);
}

std::string method_name(const ::testing::TestParamInfo<BeneathMethod>& info) {
  return info.param == BeneathMethod::kOpenat2 ? "Openat2" : "Walk";
}
INSTANTIATE_TEST_SUITE_P(, Beneath,
                         ::testing::Values(BeneathMethod::kOpenat2, BeneathMethod::kWalk),
                         method_name);

}  // namespace
}  // namespace quire::store::testing
