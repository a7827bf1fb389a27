#include "mount/init_reply.h"

#include <linux/fuse.h>

#include <algorithm>
#include <cstring>

namespace quire::mount {
namespace {

// Newer than Debian 12's headers, or not in all of them.
constexpr std::uint32_t kSetxattrExt = 1U << 29;
constexpr std::uint32_t kInitExt = 1U << 30;
constexpr std::uint32_t kDirectIoAllowMmap = 1U << (36 - 32);

// The start of struct fuse_init_in, which has grown since.
struct InitIn {
  std::uint32_t major;
  std::uint32_t minor;
  std::uint32_t max_readahead;
  std::uint32_t flags;
  std::uint32_t flags2;
};

}  // namespace

void InitReply::received(const std::byte* request, std::size_t size) noexcept {
  if (seen_) return;
  fuse_in_header header = {};
  if (size < sizeof(header)) return;
  std::memcpy(&header, request, sizeof(header));
  if (header.opcode != FUSE_INIT) return;
  seen_ = true;
  unique_ = header.unique;
  InitIn in = {};
  // Kernels before 7.36 send no flags2.
  std::memcpy(&in, request + sizeof(header), std::min(size - sizeof(header), sizeof(in)));
  offered_ = (in.flags & kInitExt) != 0 && (in.flags2 & kDirectIoAllowMmap) != 0;
  setxattr_offered_ = (in.flags & kSetxattrExt) != 0;
  minor_ = in.minor;
}

void InitReply::sending(std::span<const iovec> parts) noexcept {
  if (done_ || !seen_ || parts.empty() || parts[0].iov_len < sizeof(fuse_out_header)) return;
  fuse_out_header header = {};
  std::memcpy(&header, parts[0].iov_base, sizeof(header));
  if (header.unique != unique_) return;
  done_ = true;
  fuse_init_out out = {};
  if (header.error != 0 || parts.size() < 2 || parts[1].iov_len < sizeof(out)) return;
  std::memcpy(&out, parts[1].iov_base, sizeof(out));
  granted_ = wanted_ && offered_;
  if (granted_) {
    out.flags |= kInitExt;
    out.flags2 |= kDirectIoAllowMmap;
  }
  extended_setxattr_ = setxattr_offered_;
  if (extended_setxattr_) out.flags |= kSetxattrExt;
  std::memcpy(parts[1].iov_base, &out, sizeof(out));
}

}  // namespace quire::mount
