#include "mount/setxattr_request.h"

#include <linux/fuse.h>

#include <cstdint>
#include <cstring>

namespace quire::mount {

std::size_t shorten_setxattr(std::byte* request, std::size_t size) noexcept {
  fuse_in_header header = {};
  fuse_setxattr_in in = {};
  if (size < sizeof(header)) return size;
  std::memcpy(&header, request, sizeof(header));
  if (header.opcode != FUSE_SETXATTR || size < sizeof(header) + sizeof(in)) return size;
  std::memcpy(&in, request + sizeof(header), sizeof(in));
  if ((in.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) != 0) in.flags |= kKillSetGroupId;

  constexpr std::size_t removed = sizeof(in) - FUSE_COMPAT_SETXATTR_IN_SIZE;
  std::byte* const body = request + sizeof(header);
  std::memcpy(body, &in, FUSE_COMPAT_SETXATTR_IN_SIZE);
  std::memmove(body + FUSE_COMPAT_SETXATTR_IN_SIZE, body + sizeof(in),
               size - sizeof(header) - sizeof(in));
  header.len -= static_cast<std::uint32_t>(removed);
  std::memcpy(request, &header, sizeof(header));
  return size - removed;
}

}  // namespace quire::mount
