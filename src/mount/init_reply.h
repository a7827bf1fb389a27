// InitReply: sees the kernel's first request and changes the reply to it, to ask for what Debian 12's libfuse
// (3.14) does not know how to ask for:
//  - that files can be mapped shared although all their reading and writing comes to the daemon
//    (FUSE_DIRECT_IO_ALLOW_MMAP, bit 36 of the flags, Linux 6.6; <linux/fuse.h> says how the upper half of
//    the flags is announced);
//  - that the kernel says when setting an ACL takes the set-group-id bit away (FUSE_SETXATTR_EXT, bit 29,
//    Linux 5.13; setxattr_request.h).
//
// Who calls: the session's own reading and writing of requests. The first request is served alone, before
// there are other threads.
#ifndef QUIRE_MOUNT_INIT_REPLY_H_
#define QUIRE_MOUNT_INIT_REPLY_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace quire::mount {

class InitReply {
 public:
  // `wanted`: shared mappings are to be asked for.
  explicit InitReply(bool wanted) noexcept : wanted_(wanted) {}

  // What the kernel sent. Looked at until the first request was seen.
  void received(const std::byte* request, std::size_t size) noexcept;
  // What is about to be sent. Changed in place if it is the reply to the first request.
  void sending(std::span<const iovec> parts) noexcept;

  // The first reply has been sent.
  bool done() const noexcept { return done_; }
  // The kernel offers shared mappings, and they were asked for.
  bool granted() const noexcept { return granted_; }
  // SETXATTR requests come in their extended form.
  bool extended_setxattr() const noexcept { return extended_setxattr_; }
  // The kernel's, 7.MINOR.
  std::uint32_t minor() const noexcept { return minor_; }

 private:
  const bool wanted_;
  bool seen_ = false;
  bool done_ = false;
  bool offered_ = false;
  bool granted_ = false;
  bool setxattr_offered_ = false;
  bool extended_setxattr_ = false;
  std::uint64_t unique_ = 0;
  std::uint32_t minor_ = 0;
};

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_INIT_REPLY_H_
