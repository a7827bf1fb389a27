// setxattr_request: the kernel's extended SETXATTR, turned into the short one that Debian 12's libfuse (3.14)
// reads. The extended one carries one thing more: that an ACL is set by somebody without the right to keep
// the file's set-group-id bit, so that it must go. Only the kernel knows that: it depends on all the groups
// and capabilities of the caller.
//
// Who calls: the session, for each request, before libfuse sees it; only if the extended form was agreed
// upon (init_reply.h).
#ifndef QUIRE_MOUNT_SETXATTR_REQUEST_H_
#define QUIRE_MOUNT_SETXATTR_REQUEST_H_

#include <cstddef>

namespace quire::mount {

// Among the flags of setxattr(2) that the operation gets: the ACL takes the set-group-id bit away.
inline constexpr int kKillSetGroupId = 1 << 30;

// Changes a SETXATTR in place, and leaves any other request alone. Its size from now on.
std::size_t shorten_setxattr(std::byte* request, std::size_t size) noexcept;

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_SETXATTR_REQUEST_H_
