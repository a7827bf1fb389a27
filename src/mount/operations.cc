// From libfuse's table of functions to those of FileSystem.
#include "mount/filesystem.h"

#include <span>

namespace quire::mount {
namespace {

FileSystem& of(fuse_req_t request) {
  return *static_cast<FileSystem*>(fuse_req_userdata(request));
}
Node& node_of(fuse_req_t request, fuse_ino_t number) {
  return of(request).nodes().node(number);
}
OpenFile* open_file(const fuse_file_info* info) {
  return info == nullptr ? nullptr
                         : reinterpret_cast<OpenFile*>(static_cast<std::uintptr_t>(info->fh));
}
OpenDirectory* open_directory(const fuse_file_info* info) {
  return reinterpret_cast<OpenDirectory*>(static_cast<std::uintptr_t>(info->fh));
}

void init(void* /*userdata*/, fuse_conn_info* connection) {
  // The daemon masks modes itself, since a default ACL replaces the umask.
  constexpr unsigned wanted = FUSE_CAP_DONT_MASK | FUSE_CAP_POSIX_ACL | FUSE_CAP_IOCTL_DIR |
                              FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS |
                              FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
                              FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA;
  connection->want = connection->capable & wanted;
  connection->max_write = limits::kRequestMaxBytes;
  connection->max_background = limits::kBackgroundMax;
  connection->congestion_threshold = limits::kCongestion;
  connection->time_gran = 1;
}

fuse_lowlevel_ops make_operations() {
  fuse_lowlevel_ops ops = {};
  ops.init = init;
  ops.lookup = [](fuse_req_t r, fuse_ino_t parent, const char* name) {
    of(r).lookup(r, node_of(r, parent), name);
  };
  ops.forget = [](fuse_req_t r, fuse_ino_t number, std::uint64_t count) {
    of(r).forget(node_of(r, number), count);
    fuse_reply_none(r);
  };
  ops.forget_multi = [](fuse_req_t r, std::size_t count, fuse_forget_data* forgets) {
    for (const fuse_forget_data& one : std::span(forgets, count)) {
      of(r).forget(node_of(r, one.ino), one.nlookup);
    }
    fuse_reply_none(r);
  };
  ops.getattr = [](fuse_req_t r, fuse_ino_t number, fuse_file_info* /*info*/) {
    of(r).getattr(r, node_of(r, number));
  };
  ops.setattr = [](fuse_req_t r, fuse_ino_t number, struct stat* wanted, int what,
                   fuse_file_info* info) {
    of(r).setattr(r, node_of(r, number), *wanted, what, open_file(info));
  };
  ops.readlink = [](fuse_req_t r, fuse_ino_t number) { of(r).readlink(r, node_of(r, number)); };
  ops.mknod = [](fuse_req_t r, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
    of(r).make_node(r, node_of(r, parent), name, mode, device);
  };
  ops.mkdir = [](fuse_req_t r, fuse_ino_t parent, const char* name, mode_t mode) {
    of(r).make_directory(r, node_of(r, parent), name, mode);
  };
  ops.unlink = [](fuse_req_t r, fuse_ino_t parent, const char* name) {
    of(r).remove(r, node_of(r, parent), name, false);
  };
  ops.rmdir = [](fuse_req_t r, fuse_ino_t parent, const char* name) {
    of(r).remove(r, node_of(r, parent), name, true);
  };
  ops.symlink = [](fuse_req_t r, const char* target, fuse_ino_t parent, const char* name) {
    of(r).make_symlink(r, target, node_of(r, parent), name);
  };
  ops.rename = [](fuse_req_t r, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
                  const char* new_name, unsigned flags) {
    of(r).rename(r, node_of(r, parent), name, node_of(r, new_parent), new_name, flags);
  };
  ops.link = [](fuse_req_t r, fuse_ino_t number, fuse_ino_t parent, const char* name) {
    of(r).link(r, node_of(r, number), node_of(r, parent), name);
  };
  ops.create = [](fuse_req_t r, fuse_ino_t parent, const char* name, mode_t mode,
                  fuse_file_info* info) { of(r).create(r, node_of(r, parent), name, mode, *info); };
  ops.open = [](fuse_req_t r, fuse_ino_t number, fuse_file_info* info) {
    of(r).open(r, node_of(r, number), *info);
  };
  ops.release = [](fuse_req_t r, fuse_ino_t /*number*/, fuse_file_info* info) {
    of(r).release(r, open_file(info));
  };
  ops.read = [](fuse_req_t r, fuse_ino_t /*number*/, std::size_t size, off_t offset,
                fuse_file_info* info) {
    of(r).read(r, *open_file(info), size, static_cast<std::uint64_t>(offset), *info);
  };
  ops.write = [](fuse_req_t r, fuse_ino_t /*number*/, const char* bytes, std::size_t size,
                 off_t offset, fuse_file_info* info) {
    of(r).write(r, *open_file(info), std::as_bytes(std::span(bytes, size)),
                static_cast<std::uint64_t>(offset), *info);
  };
  // close(2) waits for nothing: what is unwritten stays with the daemon, and a later open sees it.
  ops.flush = [](fuse_req_t r, fuse_ino_t /*number*/, fuse_file_info* /*info*/) {
    fuse_reply_err(r, 0);
  };
  ops.fsync = [](fuse_req_t r, fuse_ino_t /*number*/, int data_only, fuse_file_info* info) {
    of(r).fsync(r, *open_file(info), data_only != 0);
  };
  ops.fallocate = [](fuse_req_t r, fuse_ino_t /*number*/, int mode, off_t offset, off_t length,
                     fuse_file_info* info) {
    of(r).allocate(r, *open_file(info), mode, static_cast<std::uint64_t>(offset),
                   static_cast<std::uint64_t>(length));
  };
  ops.lseek = [](fuse_req_t r, fuse_ino_t /*number*/, off_t offset, int whence,
                 fuse_file_info* info) {
    of(r).seek(r, *open_file(info), static_cast<std::uint64_t>(offset), whence);
  };
  ops.copy_file_range = [](fuse_req_t r, fuse_ino_t /*from*/, off_t from_offset,
                           fuse_file_info* from_info, fuse_ino_t /*to*/, off_t to_offset,
                           fuse_file_info* to_info, std::size_t length, int /*flags*/) {
    of(r).copy_range(r, *open_file(from_info), static_cast<std::uint64_t>(from_offset),
                     *open_file(to_info), static_cast<std::uint64_t>(to_offset), length);
  };
  ops.opendir = [](fuse_req_t r, fuse_ino_t number, fuse_file_info* info) {
    of(r).open_directory(r, node_of(r, number), *info);
  };
  ops.readdir = [](fuse_req_t r, fuse_ino_t /*number*/, std::size_t size, off_t offset,
                   fuse_file_info* info) {
    of(r).read_directory(r, *open_directory(info), size, offset, false);
  };
  ops.readdirplus = [](fuse_req_t r, fuse_ino_t /*number*/, std::size_t size, off_t offset,
                       fuse_file_info* info) {
    of(r).read_directory(r, *open_directory(info), size, offset, true);
  };
  ops.releasedir = [](fuse_req_t r, fuse_ino_t /*number*/, fuse_file_info* info) {
    of(r).release_directory(r, open_directory(info));
  };
  ops.fsyncdir = [](fuse_req_t r, fuse_ino_t number, int data_only, fuse_file_info* /*info*/) {
    of(r).sync_directory(r, node_of(r, number), data_only != 0);
  };
  ops.statfs = [](fuse_req_t r, fuse_ino_t /*number*/) { of(r).statfs(r); };
  ops.setxattr = [](fuse_req_t r, fuse_ino_t number, const char* name, const char* value,
                    std::size_t size, int flags) {
    of(r).set_xattr(r, node_of(r, number), name, std::as_bytes(std::span(value, size)), flags);
  };
  ops.getxattr = [](fuse_req_t r, fuse_ino_t number, const char* name, std::size_t size) {
    of(r).get_xattr(r, node_of(r, number), name, size);
  };
  ops.listxattr = [](fuse_req_t r, fuse_ino_t number, std::size_t size) {
    of(r).list_xattrs(r, node_of(r, number), size);
  };
  ops.removexattr = [](fuse_req_t r, fuse_ino_t number, const char* name) {
    of(r).remove_xattr(r, node_of(r, number), name);
  };
  ops.ioctl = [](fuse_req_t r, fuse_ino_t number, unsigned command, void* /*argument*/,
                 fuse_file_info* info, unsigned /*flags*/, const void* in, std::size_t in_size,
                 std::size_t /*out_size*/) {
    OpenFile* const open = node_of(r, number).is_regular() ? open_file(info) : nullptr;
    of(r).control(r, open, command, {static_cast<const std::byte*>(in), in_size});
  };
  return ops;
}

}  // namespace

const fuse_lowlevel_ops& FileSystem::operations() {
  static const fuse_lowlevel_ops table = make_operations();
  return table;
}

}  // namespace quire::mount
