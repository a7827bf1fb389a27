#include "tool/machine_checks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <liburing.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <system_error>

#include "store/beneath.h"
#include "store/fd.h"
#include "sync/asymmetric_fence.h"
#include "tool/text_file.h"
#include "tool/userfault_checks.h"

namespace quire::tool {

namespace {

using store::Fd;

bool is_root() {
  return ::geteuid() == 0;
}

// The effective capabilities, as bits.
std::uint64_t capabilities() {
  const std::string status = text_of_file("/proc/self/status");
  const std::size_t line = status.find("\nCapEff:\t");
  return line == std::string::npos ? 0 : std::strtoull(status.c_str() + line + 9, nullptr, 16);
}

std::string find_in_path(const std::string& program) {
  const char* const path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/bin:/bin";
  while (true) {
    const std::size_t end = rest.find(':');
    std::string candidate = std::string(rest.substr(0, end)) + '/' + program;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    if (end == std::string_view::npos) return "";
    rest.remove_prefix(end + 1);
  }
}

Check fuse_device() {
  const Fd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  const int error = errno;
  return needed(make_check(
      "/dev/fuse can be opened", device.ok(), device.ok() ? "" : reason(error),
      "mounting is not possible; programs can still link the library",
      error == EACCES ? "as root: chmod 0666 /dev/fuse (the usual mode)"
                      : "as root: modprobe fuse; for a container: --device /dev/fuse --cap-add "
                        "SYS_ADMIN"));
}

// root mounts by itself, everybody else by fusermount3.
Check mount_right() {
  const bool there = (capabilities() >> CAP_SYS_ADMIN & 1) != 0;
  return needed(make_check("root may mount here", there,
                           there ? "" : "this process lacks the capability CAP_SYS_ADMIN",
                           "mounting is not possible; programs can still link the library",
                           "for a container: --cap-add SYS_ADMIN"));
}

Check fusermount() {
  const std::string path = find_in_path("fusermount3");
  struct stat stat = {};
  const bool setuid = !path.empty() && ::stat(path.c_str(), &stat) == 0 && stat.st_uid == 0 &&
                      (stat.st_mode & S_ISUID) != 0;
  Check check = make_check(
      "fusermount3 is there and setuid root, so that users can mount", setuid,
      path.empty() ? "not found" : path, "only root can mount and unmount",
      path.empty() ? "install Debian's package fuse3" : fmt::format("as root: chmod u+s {}", path));
  check.needed = !is_root();
  return check;
}

Check allow_other() {
  return make_check("users may mount with --allow-other",
                    fuse_conf_has(text_of_file("/etc/fuse.conf"), "user_allow_other"), "",
                    "only root's mounts can be opened to other users",
                    "as root: add the line user_allow_other to /etc/fuse.conf");
}

Check shared_mmap() {
  struct utsname name = {};
  ::uname(&name);
  const auto release = kernel_release(name.release);
  return make_check("files of a mount can be mapped shared (Linux 6.6)",
                    release && *release >= std::pair(6u, 6u), name.release,
                    "mmap with MAP_SHARED fails there with ENODEV; all else works",
                    "run Linux 6.6 or later (Debian 12: from backports)");
}

Check io_uring() {
  struct io_uring ring = {};
  const int error = -::io_uring_queue_init(4, &ring, 0);
  if (error == 0) ::io_uring_queue_exit(&ring);
  return make_check("io_uring", error == 0, error == 0 ? "" : reason(error),
                    "a few threads read and write the source",
                    "as root: sysctl kernel.io_uring_disabled=0; in a container: a seccomp profile "
                    "that permits io_uring_setup");
}

Check openat2() {
  const Fd root(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const bool there =
      root.ok() && store::beneath_method(root.get()) == store::BeneathMethod::kOpenat2;
  return make_check(
      "openat2 with RESOLVE_BENEATH", there, "",
      "paths are resolved one name at a time, which is slower",
      "run Linux 5.6 or later, and permit openat2 in the container's seccomp profile");
}

Check membarrier() {
  return make_check("membarrier, private expedited", sync::heavy_fence_works(), "",
                    "each hit in the cache costs a memory fence",
                    "run Linux 4.14 or later, and permit membarrier in the seccomp profile");
}

// Fewer are opened again and again.
constexpr rlim_t kEnoughFiles = 4096;

Check open_files() {
  struct rlimit limit = {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const auto number = [](rlim_t value) {
    return value == RLIM_INFINITY ? std::string("unlimited") : fmt::format("{}", value);
  };
  return make_check(
      fmt::format("a daemon may open {} files or more", kEnoughFiles),
      limit.rlim_max >= kEnoughFiles,
      fmt::format("{}, of which {} without asking; a mount asks", number(limit.rlim_max),
                  number(limit.rlim_cur)),
      "fewer files of the source stay open at a time, and are opened again when needed",
      "raise the hard limit: ulimit -Hn, limits.conf(5), or LimitNOFILE= of systemd");
}

Check huge_pages() {
  const std::string modes = text_of_file("/sys/kernel/mm/transparent_hugepage/enabled");
  const bool there =
      modes.find("[always]") != std::string::npos || modes.find("[madvise]") != std::string::npos;
  return make_check("transparent huge pages", there, "",
                    "the cache uses small pages, which cost more",
                    "as root: echo madvise >/sys/kernel/mm/transparent_hugepage/enabled");
}

constexpr char kHaltPoll[] = "/sys/module/haltpoll/parameters/guest_halt_poll_ns";

// Of virtual machines alone: there is no such file elsewhere.
std::optional<Check> halt_poll() {
  const std::string text = text_of_file(kHaltPoll);
  if (text.empty()) return std::nullopt;
  return make_check(
      "this virtual machine's processors look for work before they halt", polls_before_halt(text),
      "", "each request to a mount, and each fault of a mapping, may wait for a processor to wake",
      fmt::format("as root: echo 200000 >{}", kHaltPoll));
}

}  // namespace

bool polls_before_halt(std::string_view text) {
  return text.find_first_of("123456789") != std::string_view::npos;
}

std::optional<std::pair<unsigned, unsigned>> kernel_release(std::string_view text) {
  unsigned major = 0;
  unsigned minor = 0;
  const char* const end = text.data() + text.size();
  const auto [dot, bad_major] = std::from_chars(text.data(), end, major);
  if (bad_major != std::errc() || dot == end || *dot != '.') return std::nullopt;
  const auto [rest, bad_minor] = std::from_chars(dot + 1, end, minor);
  if (bad_minor != std::errc()) return std::nullopt;
  return std::pair(major, minor);
}

bool fuse_conf_has(std::string_view text, std::string_view word) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    const std::size_t first = line.find_first_not_of(" \t");
    const std::size_t last = line.find_last_not_of(" \t\r");
    if (first != std::string_view::npos && line.substr(first, last - first + 1) == word)
      return true;
    if (end == std::string_view::npos) return false;
    text.remove_prefix(end + 1);
  }
  return false;
}

std::vector<Check> machine_checks() {
  std::vector<Check> checks;
  checks.push_back(fuse_device());
  if (is_root()) checks.push_back(mount_right());
  checks.push_back(fusermount());
  checks.push_back(allow_other());
  checks.push_back(shared_mmap());
  checks.push_back(io_uring());
  checks.push_back(openat2());
  checks.push_back(membarrier());
  for (Check& check : userfault_checks()) checks.push_back(std::move(check));
  checks.push_back(open_files());
  checks.push_back(huge_pages());
  if (std::optional<Check> check = halt_poll()) checks.push_back(std::move(*check));
  return checks;
}

}  // namespace quire::tool
