#include "tool/userfault_checks.h"

#include <unistd.h>

#include <string>
#include <system_error>
#include <utility>

#include "map/userfault.h"

namespace quire::tool {

namespace {

using map::Feature;
using map::Userfault;

constexpr const char* kOpened = "userfaultfd, by which programs map files";
constexpr const char* kMinor = "userfaultfd: minor faults and write protection of shared memory";

std::string opened_how(Userfault::Origin origin) {
  std::string who = ::geteuid() == 0 ? "as root, " : "as this user, ";
  switch (origin) {
    case Userfault::Origin::kSystemCall:
      return who + "by the system call";
    case Userfault::Origin::kDevice:
      return who + "by /dev/userfaultfd";
    case Userfault::Origin::kUserMode:
      return who + "by the system call, for faults of user mode only";
  }
  return who;
}

// One cannot be had, or not a useful one.
std::vector<Check> without(const Error& error) {
  const std::string instead = "File::map() fails, and says this; all else works, mounts too";
  if (error.code == std::errc::not_supported) {
    return {make_check(kOpened, true, "", "", ""),
            make_check(kMinor, false, "", instead, error.context)};
  }
  return {make_check(kOpened, false, error.code.message(), instead, error.context),
          untried_check("what userfaultfd can do", "there is none")};
}

}  // namespace

std::vector<Check> userfault_checks(map::FeatureSet refuse) {
  const auto opened = Userfault::open({.refuse = refuse});
  if (!opened.ok()) return without(opened.error());
  const Userfault& userfault = **opened;
  return {
      make_check(kOpened, true, opened_how(userfault.origin()), "", ""),
      make_check(kMinor, true, "", "", ""),
      make_check(
          "userfaultfd: faults of system calls", userfault.has(Feature::kKernelFaults), "",
          "a system call that is given memory of a mapping fails with EFAULT where a page is not "
          "in sight, or is clean and to be stored into; Quire's own reads and writes do not",
          map::how_to_allow_kernel_faults()),
      make_check("userfaultfd: pages for loads alone (CONTINUE with write protection, Linux 6.4)",
                 userfault.has(Feature::kResolveProtected), "",
                 "where a mapping is writable the first load of a page counts as a store: it takes "
                 "space, sets mtime, and the page is written back; none come into sight with it",
                 "run Linux 6.4 or later"),
      make_check(
          "userfaultfd: poison (Linux 6.6)", userfault.has(Feature::kPoison), "",
          "each run of pages that cannot be had is replaced by a mapping that raises SIGBUS, of "
          "which vm.max_map_count bounds the number; who accesses one while it is mapped again "
          "may get SIGSEGV",
          "run Linux 6.6 or later"),
      make_check(
          "userfaultfd: stores that are tracked without a fault (WP_ASYNC, Linux 6.7)",
          userfault.has(Feature::kAsyncStores), "",
          "File::map() with MapOptions::async_stores fails; without it each first store to a clean "
          "page takes a fault that Quire answers",
          "run Linux 6.7 or later"),
  };
}

}  // namespace quire::tool
