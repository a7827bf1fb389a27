#include "store/beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <string_view>
#include <vector>

#include "quire/error.h"

namespace quire::store {

namespace {

// The kernel's own limit (MAXSYMLINKS).
constexpr int kLinksMax = 40;
// openat2 answers EAGAIN when a rename or mount anywhere raced with a ".." in a link.
constexpr int kRacesMax = 32;

constexpr std::uint64_t kBeneath = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;

int openat2_as(int root, const char* path, int flags, mode_t mode, std::uint64_t resolve) {
  open_how how = {};
  how.flags = static_cast<std::uint64_t>(static_cast<unsigned>(flags | O_CLOEXEC));
  how.mode = (flags & O_CREAT) != 0 ? mode : 0;
  how.resolve = resolve;
  int fd = -1;
  for (int attempt = 0; attempt < kRacesMax; ++attempt) {
    fd = static_cast<int>(::syscall(SYS_openat2, root, path, &how, sizeof(how)));
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  return fd;
}

BeneathResult failed(std::error_code error) {
  return {Fd(), error};
}
BeneathResult failed(int number) {
  return failed(errno_code(number));
}

// openat2 says EXDEV for a path that leaves and for one that meets a mount. Without regard to mounts,
// and without opening anything, it says which.
std::error_code why_exdev(int root, const char* path) {
  const Fd fd(openat2_as(root, path, O_PATH, 0, kBeneath));
  if (!fd.ok() && errno == EXDEV) return Errc::kPathEscapes;
  return errno_code(EXDEV);
}

// What tells one mount from another: its number, or before Linux 5.8, which does not give it, the
// device of its file system.
struct Mount {
  bool numbered = false;
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  friend bool operator==(const Mount&, const Mount&) = default;
};

// 0 or an errno.
int mount_of(int fd, Mount& mount) {
  struct statx stat = {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stat) != 0) return errno;
  mount.numbered = (stat.stx_mask & STATX_MNT_ID) != 0;
  mount.high = mount.numbered ? stat.stx_mnt_id : stat.stx_dev_major;
  mount.low = mount.numbered ? 0 : stat.stx_dev_minor;
  return 0;
}

// Puts the names of `path` on top of `names`, which is a stack: the next one to visit is last.
void push_names(std::string_view path, std::vector<std::string>& names) {
  std::size_t end = path.size();
  while (end > 0) {
    const std::size_t slash = path.rfind('/', end - 1);
    const std::size_t begin = slash == std::string_view::npos ? 0 : slash + 1;
    const std::string_view name = path.substr(begin, end - begin);
    if (!name.empty() && name != ".") names.emplace_back(name);
    if (begin == 0) break;
    end = begin - 1;
  }
}

// The walk: directories_ is the way from the root to where it stands, names_ what is left to go.
class Walk {
 public:
  Walk(int root, const std::string& path) : root_(root) { push_names(path, names_); }

  BeneathResult run(int flags, mode_t mode) {
    Mount mount;
    if (const int number = mount_of(root_, mount); number != 0) return failed(number);
    while (!names_.empty()) {
      const std::string name = std::move(names_.back());
      names_.pop_back();
      if (name == "..") {
        if (directories_.empty()) return failed(Errc::kPathEscapes);
        directories_.pop_back();
        continue;
      }
      const bool last = names_.empty();
      const int how = last ? flags : O_PATH | O_DIRECTORY;
      Fd fd(::openat(here(), name.c_str(), how | O_NOFOLLOW | O_CLOEXEC, mode));
      if (fd.ok()) {
        Mount here_mount;
        if (const int number = mount_of(fd.get(), here_mount); number != 0) return failed(number);
        if (here_mount != mount) return failed(EXDEV);
        if (last) return {std::move(fd), {}};
        directories_.push_back(std::move(fd));
        continue;
      }
      const int number = errno;
      if (number == EINTR) {
        names_.push_back(name);
        continue;
      }
      // Without following: a link is ELOOP for what is opened, ENOTDIR for a directory; and with
      // O_CREAT | O_EXCL it is what is there already.
      if (number != ELOOP && number != ENOTDIR) return failed(number);
      const std::error_code link = push_link(name);
      if (link == std::errc::invalid_argument) return failed(number);
      if (link) return failed(link);
    }
    return failed(EISDIR);  // a link to a directory on the way, as "." is
  }

 private:
  int here() const { return directories_.empty() ? root_ : directories_.back().get(); }

  // Replaces `name` by what it links to. EINVAL if it is no link.
  std::error_code push_link(const std::string& name) {
    std::array<char, PATH_MAX> target;
    const ssize_t length = ::readlinkat(here(), name.c_str(), target.data(), target.size());
    if (length < 0) return errno_code(errno);
    if (++links_ > kLinksMax) return errno_code(ELOOP);
    const std::string_view text(target.data(), static_cast<std::size_t>(length));
    if (text.starts_with('/')) return Errc::kPathEscapes;
    push_names(text, names_);
    return {};
  }

  const int root_;
  std::vector<Fd> directories_;
  std::vector<std::string> names_;
  int links_ = 0;
};

}  // namespace

BeneathMethod beneath_method(int root) {
  const Fd fd(openat2_as(root, ".", O_PATH | O_DIRECTORY, 0, kBeneath | RESOLVE_NO_XDEV));
  return fd.ok() ? BeneathMethod::kOpenat2 : BeneathMethod::kWalk;
}

BeneathResult open_beneath(BeneathMethod method, int root, const std::string& path, int flags,
                           mode_t mode) {
  if (method == BeneathMethod::kWalk) return Walk(root, path).run(flags, mode);
  Fd fd(openat2_as(root, path.c_str(), flags, mode, kBeneath | RESOLVE_NO_XDEV));
  if (fd.ok()) return {std::move(fd), {}};
  if (errno == EXDEV) return failed(why_exdev(root, path.c_str()));
  return failed(errno);
}

}  // namespace quire::store
