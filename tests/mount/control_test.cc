// What a mount answers to its own tool, by ioctl on its root directory.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>

#include "mount/control.h"
#include "mount/mount_test.h"

namespace quire::mount::testing {
namespace {

using ControlTest = MountTest;

// Broken by: dirty() without the files that are closed and linger; sync_all() that does nothing.
TEST_F(ControlTest, UnwrittenFilesAreCountedNamedAndWritten) {
  begin();
  const std::string text(3 * 4096, 'u');
  write_file(mounted_.at("f"), text);
  const auto stats = ask<control::Stats>(control::kStats);
  ASSERT_NE(stats, nullptr);
  EXPECT_EQ(stats->version, control::kVersion);
  EXPECT_EQ(stats->owner_uid, ::geteuid());
  EXPECT_EQ(stats->dirty_pages, 3U);
  EXPECT_EQ(stats->open_files, 1U);
  EXPECT_GE(stats->nodes, 2U) << "the root and f";

  auto files = ask<control::Files>(control::kFiles, "f");
  ASSERT_NE(files, nullptr);
  EXPECT_EQ(files->total, 1U);
  EXPECT_EQ(std::string_view(files->text, files->length), "12288\t0\tf\n");

  const auto written = ask<control::WriteBack>(control::kWriteBack);
  ASSERT_NE(written, nullptr);
  EXPECT_EQ(written->error, 0);
  EXPECT_EQ(written->total, 0U);
  EXPECT_EQ(written->daemon_pid, stats->daemon_pid);
  EXPECT_EQ(contents(mounted_.in_source("f")), text);
  files = ask<control::Files>(control::kFiles);
  ASSERT_NE(files, nullptr);
  EXPECT_EQ(files->total, 0U);
}

TEST_F(ControlTest, AToolOfAnotherVersionIsRefused) {
  begin();
  EXPECT_EQ(ask<control::Stats>(control::kStats, ".", control::kVersion + 1), nullptr);
  EXPECT_EQ(errno, EPROTONOSUPPORT);
  EXPECT_EQ(ask<control::Files>(control::kFiles, ".", control::kVersion + 1), nullptr);
  EXPECT_EQ(errno, EPROTONOSUPPORT);
  EXPECT_EQ(ask<control::WriteBack>(control::kWriteBack, ".", control::kVersion + 1), nullptr);
  EXPECT_EQ(errno, EPROTONOSUPPORT);
}

// Broken by: control_files() or control_write_back() for all.
TEST_F(ControlTest, OthersSeeNumbersAndNoNames) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to be somebody else";
  begin([](Options& options) { options.allow_other = true; });
  // By descriptor: the way to the mount may be closed to somebody else.
  const store::Fd root(::open(mounted_.at(".").c_str(), O_RDONLY | O_CLOEXEC));
  control::Stats stats = {};
  stats.version = control::kVersion;
  auto files = std::make_unique<control::Files>();
  files->version = control::kVersion;
  auto written = std::make_unique<control::WriteBack>();
  written->version = control::kVersion;
  ASSERT_EQ(::setresuid(65534, 65534, 0), 0);
  const int told = ::ioctl(root.get(), control::kStats, &stats);
  const int named = ::ioctl(root.get(), control::kFiles, files.get()) == 0 ? 0 : errno;
  const int tried = ::ioctl(root.get(), control::kWriteBack, written.get()) == 0 ? 0 : errno;
  ASSERT_EQ(::setresuid(0, 0, 0), 0);
  EXPECT_EQ(told, 0);
  EXPECT_EQ(named, EPERM);
  EXPECT_EQ(tried, EPERM);
}

}  // namespace
}  // namespace quire::mount::testing
