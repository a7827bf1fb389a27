// ActAs: the thread makes files as the process that asked for it would have: with its user, its group and its
// umask, so that a directory's set-group-id bit and default ACL work as they do without the mount.
//
// The kernel has checked the caller's permissions (default_permissions), with all its groups; so the thread
// keeps the right to override them. Only a daemon that is root changes users; others make files of their own.
//
// Who calls: workers, which called prepare_thread() first.
#ifndef QUIRE_MOUNT_CALLER_H_
#define QUIRE_MOUNT_CALLER_H_

#include <fuse3/fuse_lowlevel.h>
#include <sys/types.h>

namespace quire::mount {

class ActAs {
 public:
  ActAs(uid_t user, gid_t group, mode_t mask) noexcept;
  ~ActAs();
  ActAs(const ActAs&) = delete;
  ActAs& operator=(const ActAs&) = delete;

  // 0, or EPERM if the thread could not become the caller: nothing must be made then.
  int error() const noexcept { return error_; }

  // Gives this thread a umask of its own. Where that is refused (unshare(2) filtered), the process's is
  // set to 0 and creation_mode() does the masking.
  static void prepare_thread() noexcept;
  // `mode` as it must be passed to a call that makes something.
  mode_t creation_mode(mode_t mode) const noexcept { return mode & ~mask_here_; }

 private:
  const bool switches_;
  mode_t mask_here_ = 0;
  int error_ = 0;
};

// The process that asked belongs to the group, by its own or a further one. False where its groups cannot be
// seen: it has ended, or is in another pid namespace.
bool is_in_group(fuse_req_t request, gid_t group) noexcept;

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_CALLER_H_
