// How a mount begins and ends, and what has reached the source when.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>

#include "mount/mount_test.h"

namespace quire::mount::testing {
namespace {

namespace fs = std::filesystem;

class EndsTest : public MountTest {
 protected:
  store::Fd make(const std::string& name, const std::string& text) {
    store::Fd fd(::open(mounted_.at(name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    EXPECT_TRUE(fd.ok()) << std::strerror(errno);
    EXPECT_EQ(::pwrite(fd.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    return fd;
  }
  std::uintmax_t source_size(const std::string& name) const {
    return fs::file_size(mounted_.in_source(name));
  }

  const std::string text_ = std::string(10'000, 'q');
};

TEST_F(EndsTest, CloseWritesNothingAndUnmountingEverything) {
  begin();
  make("f", text_);
  EXPECT_EQ(source_size("f"), 0U) << "closing a file must not wait for the source";
  EXPECT_EQ(mounted_.end(), 0);
  EXPECT_EQ(contents(mounted_.in_source("f")), text_);
}

TEST_F(EndsTest, FsyncReachesTheSource) {
  begin();
  const store::Fd fd = make("f", text_);
  ASSERT_EQ(::fsync(fd.get()), 0);
  EXPECT_EQ(contents(mounted_.in_source("f")), text_);
}

TEST_F(EndsTest, AWriteWithOSyncReachesTheSource) {
  begin();
  const store::Fd fd(::open(mounted_.at("f").c_str(), O_RDWR | O_CREAT | O_DSYNC, 0644));
  ASSERT_EQ(::write(fd.get(), "abc", 3), 3);
  EXPECT_EQ(contents(mounted_.in_source("f")), "abc");
}

TEST_F(EndsTest, DataReachesTheSourceWhenItIsOld) {
  begin([](Options& options) { options.dirty_age = std::chrono::milliseconds(50); });
  const store::Fd fd = make("f", text_);
  EXPECT_TRUE(eventually([&] { return source_size("f") == text_.size(); }));
  EXPECT_EQ(contents(mounted_.in_source("f")), text_);
}

TEST_F(EndsTest, SigtermWritesEverythingBack) {
  begin();
  make("f", text_);
  mounted_.signal(SIGTERM);
  EXPECT_EQ(mounted_.wait(), 0);
  EXPECT_EQ(contents(mounted_.in_source("f")), text_);
}

TEST_F(EndsTest, SigtermWritesEverythingBackThoughFilesAreOpenAndMapped) {
  begin();
  store::Fd fd = make("f", text_);
  void* const map = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(map, MAP_FAILED);
  *static_cast<volatile char*>(map) = 'm';
  mounted_.signal(SIGTERM);
  EXPECT_TRUE(eventually([&] { return source_size("f") == text_.size(); }));
  ::munmap(map, 4096);
  fd.reset();
  EXPECT_EQ(mounted_.wait(), 0);
  EXPECT_EQ(contents(mounted_.in_source("f")), "m" + text_.substr(1));
}

// Broken by: FileSystem::fsync() answering without File::sync().
TEST_F(EndsTest, SigkillLosesNothingThatWasSynced) {
  begin();
  const store::Fd fd = make("f", text_);
  ASSERT_EQ(::fsync(fd.get()), 0);
  ASSERT_EQ(::pwrite(fd.get(), "later", 5, 0), 5);
  mounted_.signal(SIGKILL);
  EXPECT_EQ(mounted_.wait(), -1);
  const std::string found = contents(mounted_.in_source("f"));
  EXPECT_EQ(found.size(), text_.size());
  EXPECT_EQ(found.substr(5), text_.substr(5));
}

// Broken by: rename() without the writing back before it.
TEST_F(EndsTest, RenamingOverAFileWritesTheNewDataFirst) {
  write_file(mounted_.in_source("f"), "old");
  begin();
  make("new", text_);
  ASSERT_EQ(::rename(mounted_.at("new").c_str(), mounted_.at("f").c_str()), 0);
  mounted_.signal(SIGKILL);
  EXPECT_EQ(mounted_.wait(), -1);
  EXPECT_EQ(contents(mounted_.in_source("f")), text_);
}

TEST_F(EndsTest, ASourceIsServedOnce) {
  fs::create_directory(mounted_.in_source("below"));
  begin();
  for (const std::string& source :
       {mounted_.source(), mounted_.in_source("below"),
        fs::path(mounted_.source()).parent_path().string(), mounted_.root()}) {
    Mounted second;
    const std::string said = second.begin([&](Options& options) { options.source = source; });
    EXPECT_NE(said.find("unmount"), std::string::npos) << source << ": " << said;
  }
  EXPECT_TRUE(fs::exists(mounted_.at("below"))) << "the first goes on";
}

TEST_F(EndsTest, AMountPointInsideTheSourceIsRefused) {
  fs::create_directory(mounted_.in_source("below"));
  const std::string said =
      mounted_.begin([&](Options& options) { options.mountpoint = mounted_.in_source("below"); });
  EXPECT_NE(said.find("outside"), std::string::npos) << said;
}

TEST_F(EndsTest, WhatIsNotThereIsSaid) {
  for (const auto& adapt :
       {std::function<void(Options&)>([](Options& o) { o.source += "-gone"; }),
        std::function<void(Options&)>([](Options& o) { o.mountpoint += "-gone"; })}) {
    const std::string said = mounted_.begin(adapt);
    EXPECT_NE(said.find("-gone: No such file"), std::string::npos) << said;
  }
  write_file(mounted_.source() + "/file", "x");
  const std::string said = mounted_.begin([](Options& o) { o.source += "/file"; });
  EXPECT_NE(said.find("Not a directory"), std::string::npos) << said;
}

}  // namespace
}  // namespace quire::mount::testing
