#include "mount/caller.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

#include "sync/thread_local.h"

namespace quire::mount {
namespace {

struct PrivateMask {
  bool there = false;
};
struct PrivateMaskTag {};

bool& has_private_mask() {
  return sync::ThreadLocal<PrivateMask, PrivateMaskTag>::get().there;
}

// Leaving uid 0 took CAP_DAC_OVERRIDE from the effective set, and only from there.
void override_permissions() noexcept {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data = {};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return;
  data[0].effective |= data[0].permitted & (1U << CAP_DAC_OVERRIDE);
  (void)::syscall(SYS_capset, &header, data.data());
}

}  // namespace

void ActAs::prepare_thread() noexcept {
  has_private_mask() = ::unshare(CLONE_FS) == 0;
  if (!has_private_mask()) ::umask(0);
}

ActAs::ActAs(uid_t user, gid_t group, mode_t mask) noexcept
    : switches_(::geteuid() == 0 && (user != 0 || group != ::getegid())) {
  if (has_private_mask()) {
    ::umask(mask);
  } else {
    mask_here_ = mask;
  }
  if (!switches_) return;
  // setfsuid(2) is of this thread only, and says what was before, not whether it worked; -1 changes nothing. In a
  // user namespace root may not become whom the namespace does not know.
  constexpr unsigned none = ~0U;
  ::setfsgid(group);
  ::setfsuid(user);
  if (static_cast<gid_t>(::setfsgid(none)) != group ||
      static_cast<uid_t>(::setfsuid(none)) != user) {
    error_ = EPERM;
  } else if (user != 0) {
    override_permissions();
  }
}

ActAs::~ActAs() {
  if (!switches_) return;
  ::setfsuid(::geteuid());  // gives the capabilities back, too
  ::setfsgid(::getegid());
}

bool is_in_group(fuse_req_t request, gid_t group) noexcept {
  if (fuse_req_ctx(request)->gid == group) return true;
  std::array<gid_t, NGROUPS_MAX> groups;
  const int count = fuse_req_getgroups(request, static_cast<int>(groups.size()), groups.data());
  const auto end = groups.begin() + std::clamp(count, 0, static_cast<int>(groups.size()));
  return std::find(groups.begin(), end, group) != end;
}

}  // namespace quire::mount
