// Extended attributes, ACLs among them: those of the source. filesystem.h says what is where.
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <string_view>

#include "mount/filesystem.h"
#include "mount/limits.h"
#include "mount/reply_buffer.h"
#include "mount/setxattr_request.h"

namespace quire::mount {
namespace {

// Takes the names out of a list that only the administrator sees. Returns what is left of its size.
std::size_t hide_trusted(std::span<char> list) {
  constexpr std::string_view hidden = "trusted.";
  std::size_t kept = 0;
  for (std::size_t at = 0; at < list.size();) {
    const std::size_t size = ::strnlen(&list[at], list.size() - at - 1) + 1;
    if (!std::string_view(&list[at], size).starts_with(hidden)) {
      std::memmove(&list[kept], &list[at], size);
      kept += size;
    }
    at += size;
  }
  return kept;
}

// `size`: the room that the program has; 0 asks for the length alone.
void answer_xattr(fuse_req_t request, std::span<const char> found, std::size_t size) {
  if (size == 0) {
    fuse_reply_xattr(request, found.size());
  } else {
    fuse_reply_buf(request, found.data(), found.size());
  }
}

}  // namespace

void FileSystem::get_xattr(fuse_req_t request, Node& node, const char* name, std::size_t size) {
  char* const buffer = reinterpret_cast<char*>(reply_buffer());
  size = std::min(size, limits::kRequestMaxBytes);
  const auto fd = reach(node);
  if (!fd) {
    fuse_reply_err(request, fd.error());
    return;
  }
  const ssize_t length =
      ::getxattr(proc_path((*fd)->get()).c_str(), name, size == 0 ? nullptr : buffer, size);
  if (length < 0) {
    fuse_reply_err(request, errno);
  } else {
    answer_xattr(request, {buffer, static_cast<std::size_t>(length)}, size);
  }
}

void FileSystem::list_xattrs(fuse_req_t request, Node& node, std::size_t size) {
  char* const buffer = reinterpret_cast<char*>(reply_buffer());
  const auto fd = reach(node);
  if (!fd) {
    fuse_reply_err(request, fd.error());
    return;
  }
  // All of them, whatever there is room for: who asks decides which are shown.
  const ssize_t listed =
      ::listxattr(proc_path((*fd)->get()).c_str(), buffer, limits::kRequestMaxBytes);
  if (listed < 0) {
    fuse_reply_err(request, errno);
    return;
  }
  auto length = static_cast<std::size_t>(listed);
  if (fuse_req_ctx(request)->uid != 0) length = hide_trusted({buffer, length});
  if (size != 0 && length > size) {
    fuse_reply_err(request, ERANGE);
  } else {
    answer_xattr(request, {buffer, length}, size);
  }
}

void FileSystem::set_xattr(fuse_req_t request, Node& node, const char* name,
                           std::span<const std::byte> value, int flags) {
  const bool kills = (flags & kKillSetGroupId) != 0;
  flags &= ~kKillSetGroupId;
  const int number = change(node, file::Inode::Attribute::kOther, [&](const char* path) {
    if (::setxattr(path, name, value.data(), value.size(), flags) != 0) return -1;
    struct stat now = {};
    if (!kills || ::stat(path, &now) != 0 || (now.st_mode & S_ISGID) == 0) return 0;
    return ::chmod(path, now.st_mode & 07777 & ~static_cast<mode_t>(S_ISGID));
  });
  // After the change: a write meanwhile may have looked before it.
  if (node.is_regular()) node.file().set_may_have_privileges(true);
  fuse_reply_err(request, number);
}

void FileSystem::remove_xattr(fuse_req_t request, Node& node, const char* name) {
  const int number = change(node, file::Inode::Attribute::kOther,
                            [&](const char* path) { return ::removexattr(path, name); });
  fuse_reply_err(request, number);
}

}  // namespace quire::mount
