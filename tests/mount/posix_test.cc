// What POSIX says of set-id bits, seen by programs of several users: who writes without the right to keep them
// takes them away, and everybody sees that at once.
#include <fcntl.h>
#include <grp.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "mount/mount_test.h"

namespace quire::mount::testing {
namespace {

constexpr uid_t kUser = 65534;
constexpr gid_t kGroup = 65533;
constexpr gid_t kOtherGroup = 65532;

// This process is the user for a scope, of one group and of one more if that is given. It stands in the mount,
// since the way there may be closed to somebody else.
class AsUser {
 public:
  explicit AsUser(const std::string& root, gid_t further = kGroup)
      : before_(::open(".", O_PATH | O_CLOEXEC)) {
    EXPECT_EQ(::chdir(root.c_str()), 0);
    EXPECT_EQ(::setgroups(1, &further), 0);
    EXPECT_EQ(::setresgid(kGroup, kGroup, 0), 0);
    EXPECT_EQ(::setresuid(kUser, kUser, 0), 0);
  }
  ~AsUser() {
    EXPECT_EQ(::setresuid(0, 0, 0), 0);
    EXPECT_EQ(::setresgid(0, 0, 0), 0);
    EXPECT_EQ(::setgroups(0, nullptr), 0);
    EXPECT_EQ(::fchdir(before_.get()), 0);
  }
  AsUser(const AsUser&) = delete;
  AsUser& operator=(const AsUser&) = delete;

 private:
  const store::Fd before_;
};

class PosixTest : public MountTest {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (::geteuid() != 0) GTEST_SKIP() << "only root can be several users";
  }
  void begin_for_all() {
    begin([](Options& options) { options.allow_other = true; });
    ASSERT_EQ(::chmod(mounted_.root().c_str(), 0777), 0);
  }
  // A file of the user's and of a group, with this mode, which the kernel knows from now on.
  void make(const std::string& name, gid_t group, mode_t mode) {
    const std::string path = mounted_.at(name);
    write_file(path, "text");
    ASSERT_EQ(::chown(path.c_str(), kUser, group), 0) << std::strerror(errno);
    ASSERT_EQ(::chmod(path.c_str(), mode), 0) << std::strerror(errno);
    ASSERT_EQ(mode_of(name), mode);
  }
  // The mode and nothing else is asked for, so that the kernel may answer with what it knows.
  mode_t mode_of(const std::string& name) {
    struct statx s = {};
    EXPECT_EQ(::statx(AT_FDCWD, mounted_.at(name).c_str(), 0, STATX_MODE, &s), 0)
        << std::strerror(errno);
    return s.stx_mode & 07777;
  }
  void write_as_user(const std::string& name, gid_t further = kGroup) {
    const AsUser user(mounted_.root(), further);
    const store::Fd fd(::open(name.c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_TRUE(fd.ok()) << std::strerror(errno);
    ASSERT_EQ(::pwrite(fd.get(), "x", 1, 0), 1) << std::strerror(errno);
  }
};

TEST_F(PosixTest, AWriteTakesSetIdBitsAwayForEverybodyAtOnce) {
  begin_for_all();
  make("f", kGroup, 06755);
  write_as_user("f");
  EXPECT_EQ(mode_of("f"), 0755U);
}

TEST_F(PosixTest, SetGroupIdWithoutExecuteStaysForMembersOfTheGroupOnly) {
  begin_for_all();
  make("own", kGroup, 02666);
  write_as_user("own");
  EXPECT_EQ(mode_of("own"), 02666U);
  make("further", kOtherGroup, 02666);
  write_as_user("further", kOtherGroup);
  EXPECT_EQ(mode_of("further"), 02666U);
  // Kept once is not kept for ever.
  write_as_user("further");
  EXPECT_EQ(mode_of("further"), 0666U);
}

TEST_F(PosixTest, AllocatingTakesSetIdBitsAway) {
  begin_for_all();
  make("f", kOtherGroup, 06666);
  {
    const AsUser user(mounted_.root());
    const store::Fd fd(::open("f", O_WRONLY | O_CLOEXEC));
    ASSERT_TRUE(fd.ok()) << std::strerror(errno);
    ASSERT_EQ(::fallocate(fd.get(), 0, 0, 65536), 0) << std::strerror(errno);
  }
  EXPECT_EQ(mode_of("f"), 0666U);
}

TEST_F(PosixTest, AnAclByAStrangerToTheGroupTakesSetGroupIdAway) {
  begin_for_all();
  struct Acl {
    posix_acl_xattr_header header;
    std::array<posix_acl_xattr_entry, 3> entries;
  };
  constexpr auto kNobody = static_cast<std::uint32_t>(ACL_UNDEFINED_ID);
  const Acl acl = {
      {POSIX_ACL_XATTR_VERSION},
      {{{ACL_USER_OBJ, 7, kNobody}, {ACL_GROUP_OBJ, 5, kNobody}, {ACL_OTHER, 5, kNobody}}}};
  const auto set = [&](const std::string& name) {
    const AsUser user(mounted_.root());
    return ::setxattr(name.c_str(), "system.posix_acl_access", &acl, sizeof(acl), 0);
  };
  make("strange", kOtherGroup, 02755);
  if (set("strange") != 0 && errno == EOPNOTSUPP) GTEST_SKIP() << "no ACLs on this file system";
  EXPECT_EQ(mode_of("strange"), 0755U);
  make("own", kGroup, 02755);
  EXPECT_EQ(set("own"), 0) << std::strerror(errno);
  EXPECT_EQ(mode_of("own"), 02755U);
  ASSERT_EQ(::mkdir(mounted_.at("directory").c_str(), 0755), 0);
  ASSERT_EQ(::chown(mounted_.at("directory").c_str(), kUser, kOtherGroup), 0);
  ASSERT_EQ(::chmod(mounted_.at("directory").c_str(), 02755), 0);
  EXPECT_EQ(set("directory"), 0) << std::strerror(errno);
  EXPECT_EQ(mode_of("directory"), 0755U);
}

}  // namespace
}  // namespace quire::mount::testing
