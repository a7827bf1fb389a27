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

int openat2_beneath(int root, const char* path, int flags, mode_t mode) {
  open_how how = {};
  how.flags = static_cast<std::uint64_t>(static_cast<unsigned>(flags | O_CLOEXEC));
  how.mode = (flags & O_CREAT) != 0 ? mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  int fd = -1;
  for (int attempt = 0; attempt < kRacesMax; ++attempt) {
    fd = static_cast<int>(::syscall(SYS_openat2, root, path, &how, sizeof(how)));
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  return fd;
}

BeneathResult failed(int number) {
  return {Fd(), number == EXDEV ? make_error_code(Errc::kPathEscapes) : errno_code(number)};
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
    while (!names_.empty()) {
      const std::string name = std::move(names_.back());
      names_.pop_back();
      if (name == "..") {
        if (directories_.empty()) return failed(EXDEV);
        directories_.pop_back();
        continue;
      }
      const bool last = names_.empty();
      const int how = last ? flags : O_PATH | O_DIRECTORY;
      Fd fd(::openat(here(), name.c_str(), how | O_NOFOLLOW | O_CLOEXEC, mode));
      if (fd.ok()) {
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
      if (const int link = push_link(name); link != 0)
        return failed(link == EINVAL ? number : link);
    }
    return failed(EISDIR);  // a link to a directory on the way, as "." is
  }

 private:
  int here() const { return directories_.empty() ? root_ : directories_.back().get(); }

  // Replaces `name` by what it links to. EINVAL if it is no link.
  int push_link(const std::string& name) {
    std::array<char, PATH_MAX> target;
    const ssize_t length = ::readlinkat(here(), name.c_str(), target.data(), target.size());
    if (length < 0) return errno;
    if (++links_ > kLinksMax) return ELOOP;
    const std::string_view text(target.data(), static_cast<std::size_t>(length));
    if (text.starts_with('/')) return EXDEV;
    push_names(text, names_);
    return 0;
  }

  const int root_;
  std::vector<Fd> directories_;
  std::vector<std::string> names_;
  int links_ = 0;
};

}  // namespace

BeneathMethod beneath_method(int root) {
  const Fd fd(openat2_beneath(root, ".", O_PATH | O_DIRECTORY, 0));
  return fd.ok() ? BeneathMethod::kOpenat2 : BeneathMethod::kWalk;
}

BeneathResult open_beneath(BeneathMethod method, int root, const std::string& path, int flags,
                           mode_t mode) {
  if (method == BeneathMethod::kWalk) return Walk(root, path).run(flags, mode);
  Fd fd(openat2_beneath(root, path.c_str(), flags, mode));
  if (!fd.ok()) return failed(errno);
  return {std::move(fd), {}};
}

}  // namespace quire::store
