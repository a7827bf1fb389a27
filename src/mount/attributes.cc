// Lookup and attributes. filesystem.h says what is where.
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "file/attribute_change.h"
#include "mount/filesystem.h"
#include "mount/limits.h"
#include "mount/object_stat.h"
#include "mount/request.h"

namespace quire::mount {
namespace {

timespec time_of(const statx_timestamp& time) {
  timespec result = {};
  result.tv_sec = time.tv_sec;
  result.tv_nsec = static_cast<long>(time.tv_nsec);
  return result;
}

timespec time_of(const TimeSpec& time) {
  timespec result = {};
  result.tv_sec = time.seconds;
  result.tv_nsec = static_cast<long>(time.nanoseconds);
  return result;
}

double attribute_timeout(bool dirty) {
  return dirty ? limits::kDirtyAttributeTimeoutSeconds : limits::kAttributeTimeoutSeconds;
}

}  // namespace

Answer<SharedFd> FileSystem::reach(Node& node) const {
  const NamesGuard names(parts_.nodes, sync::RangeMode::kShared);
  return parts_.tree.reach(node);
}

Answer<store::Fd> FileSystem::open_node(Node& node, int flags) const {
  const NamesGuard names(parts_.nodes, sync::RangeMode::kShared);
  return parts_.tree.open(node, flags);
}

struct stat FileSystem::shown(const struct statx& stat, bool* dirty) const {
  struct stat s = {};
  s.st_dev = ::makedev(stat.stx_dev_major, stat.stx_dev_minor);
  s.st_ino = stat.stx_ino;
  s.st_mode = stat.stx_mode;
  s.st_nlink = stat.stx_nlink;
  s.st_uid = stat.stx_uid;
  s.st_gid = stat.stx_gid;
  s.st_rdev = ::makedev(stat.stx_rdev_major, stat.stx_rdev_minor);
  s.st_size = static_cast<off_t>(stat.stx_size);
  s.st_blksize = static_cast<blksize_t>(stat.stx_blksize);
  s.st_blocks = static_cast<blkcnt_t>(stat.stx_blocks);
  s.st_atim = time_of(stat.stx_atime);
  s.st_mtim = time_of(stat.stx_mtime);
  s.st_ctim = time_of(stat.stx_ctime);
  *dirty = false;
  if (!S_ISREG(stat.stx_mode)) return s;
  const ObjectStat host = object_stat(stat);
  const auto known = parts_.cache.known(id_of(stat), &host);
  if (!known) return s;
  // Blocks on the source grow when data gets there.
  *dirty = known->stamps.mtime != host.mtime || known->size_bytes != host.size_bytes;
  s.st_size = static_cast<off_t>(known->size_bytes);
  s.st_mtim = time_of(known->stamps.mtime);
  s.st_ctim = time_of(known->stamps.ctime);
  return s;
}

Answer<struct stat> FileSystem::attributes(Node& node, bool* dirty) const {
  NamesGuard names(parts_.nodes, sync::RangeMode::kShared);
  const auto stat = parts_.tree.stat(node);
  if (!stat) return fails(stat.error());
  return shown(*stat, dirty);
}

FileSystem::Entry FileSystem::enter(Node& parent, std::string_view name, const struct statx& stat) {
  Entry entry = {};
  bool dirty = false;
  entry.param.attr = shown(stat, &dirty);
  entry.node = &parts_.nodes.look_up(id_of(stat), stat.stx_mode, parent, name);
  entry.param.ino = parts_.nodes.number(*entry.node);
  // By which the kernel rejects a file handle (open_by_handle_at) of a node that it has forgotten since.
  entry.param.generation = entry.node->generation();
  entry.param.attr_timeout = attribute_timeout(dirty);
  entry.param.entry_timeout = limits::kNameTimeoutSeconds;
  return entry;
}

void FileSystem::answer_entry(fuse_req_t request, Node& parent, const char* name) {
  Entry entry = {};
  int number = 0;
  {
    NamesGuard names(parts_.nodes, sync::RangeMode::kShared);
    const auto directory = parts_.tree.directory(parent);
    if (!directory) {
      number = directory.error();
    } else if (const auto stat = parts_.tree.stat((*directory)->get(), name); !stat) {
      number = stat.error();
    } else {
      entry = enter(parent, name, *stat);
    }
  }
  if (number != 0) {
    fuse_reply_err(request, number);
  } else if (fuse_reply_entry(request, &entry.param) != 0) {
    parts_.nodes.forget(*entry.node, 1);  // the program was killed meanwhile
  }
}

void FileSystem::lookup(fuse_req_t request, Node& parent, const char* name) {
  answer_entry(request, parent, name);
}

void FileSystem::forget(Node& node, std::uint64_t count) {
  parts_.nodes.forget(node, count);
}

void FileSystem::answer_attributes(fuse_req_t request, Node& node) {
  bool dirty = false;
  const auto stat = attributes(node, &dirty);
  if (stat) {
    fuse_reply_attr(request, &*stat, attribute_timeout(dirty));
  } else {
    fuse_reply_err(request, stat.error());
  }
}

void FileSystem::getattr(fuse_req_t request, Node& node) {
  answer_attributes(request, node);
}

int FileSystem::change(Node& node, file::Inode::Attribute what,
                       const std::function<int(const char*)>& call) {
  const auto fd = reach(node);
  if (!fd) return fd.error();
  const std::string path = proc_path((*fd)->get());
  if (!node.is_regular()) return call(path.c_str()) == 0 ? 0 : errno;
  file::AttributeChange changing(parts_.cache.inodes(), node.id());
  const int number = call(path.c_str()) == 0 ? 0 : errno;
  if (const auto now = stat_descriptor((*fd)->get())) changing.done(object_stat(*now), what);
  return number;
}

int FileSystem::set_owner_and_mode(Node& node, const struct stat& wanted, int what) {
  if ((what & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0) {
    const uid_t user = (what & FUSE_SET_ATTR_UID) != 0 ? wanted.st_uid : static_cast<uid_t>(-1);
    const gid_t group = (what & FUSE_SET_ATTR_GID) != 0 ? wanted.st_gid : static_cast<gid_t>(-1);
    if (const int number = change(node, file::Inode::Attribute::kOther,
                                  [&](const char* path) { return ::chown(path, user, group); });
        number != 0) {
      return number;
    }
  }
  if ((what & FUSE_SET_ATTR_MODE) != 0) {
    const int number = change(node, file::Inode::Attribute::kOther, [&](const char* path) {
      return ::chmod(path, wanted.st_mode & 07777);
    });
    // After the change: a write meanwhile may have looked before it.
    if (node.is_regular()) node.file().set_may_have_privileges(true);
    return number;
  }
  return 0;
}

int FileSystem::set_times(Node& node, const struct stat& wanted, int what) {
  std::array<timespec, 2> times = {};
  times[0].tv_nsec = times[1].tv_nsec = UTIME_OMIT;
  if ((what & FUSE_SET_ATTR_ATIME) != 0) times[0] = wanted.st_atim;
  if ((what & FUSE_SET_ATTR_MTIME) != 0) times[1] = wanted.st_mtim;
  if ((what & FUSE_SET_ATTR_ATIME_NOW) != 0) times[0] = {0, UTIME_NOW};
  if ((what & FUSE_SET_ATTR_MTIME_NOW) != 0) times[1] = {0, UTIME_NOW};
  if (node.is_regular()) {
    if (FileImpl* const open = parts_.files.use_if_open(node)) {
      // Data of it may be unwritten, whose own stamps must not come later.
      const FileUse use(parts_.files, node, open);
      const TimeSpec now = sync::Clock::wall();
      const auto given = [&](const timespec& time) {
        return time.tv_nsec == UTIME_NOW
                   ? now
                   : TimeSpec{time.tv_sec, static_cast<std::uint32_t>(time.tv_nsec)};
      };
      const TimeSpec atime = given(times[0]);
      const TimeSpec mtime = given(times[1]);
      const Status set = open->set_times(times[0].tv_nsec == UTIME_OMIT ? nullptr : &atime,
                                         times[1].tv_nsec == UTIME_OMIT ? nullptr : &mtime);
      return set.ok() ? 0 : errno_of(set.code());
    }
  }
  return change(node, file::Inode::Attribute::kTimes,
                [&](const char* path) { return ::utimensat(AT_FDCWD, path, times.data(), 0); });
}

int FileSystem::set_size(fuse_req_t request, Node& node, std::uint64_t size, OpenFile* open) {
  if (!node.is_regular()) return EINVAL;
  const Interruptible interruptible(request);
  int number = 0;
  if (open != nullptr && open->file->ready(OpenFlags::kWrite)) {
    number = resize(node, *open->file, size, interruptible);
  } else {
    const auto file = parts_.files.use(node, true);
    if (!file) return file.error();
    const FileUse use(parts_.files, node, *file);
    number = resize(node, *use, size, interruptible);
  }
  if (number != 0) return number;
  drop_privileges(request, node);
  return 0;
}

void FileSystem::setattr(fuse_req_t request, Node& node, const struct stat& wanted, int what,
                         OpenFile* open) {
  constexpr int times =
      FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW;
  int number = set_owner_and_mode(node, wanted, what);
  if (number == 0 && (what & FUSE_SET_ATTR_SIZE) != 0) {
    number = set_size(request, node, static_cast<std::uint64_t>(wanted.st_size), open);
  }
  if (number == 0 && (what & times) != 0) number = set_times(node, wanted, what);
  if (number != 0) {
    fuse_reply_err(request, number);
  } else {
    answer_attributes(request, node);
  }
}

void FileSystem::statfs(fuse_req_t request) {
  const auto root = parts_.tree.directory(parts_.nodes.root());
  struct statvfs s = {};
  if (!root) {
    fuse_reply_err(request, root.error());
  } else if (::fstatvfs((*root)->get(), &s) != 0) {
    fuse_reply_err(request, errno);
  } else {
    fuse_reply_statfs(request, &s);
  }
}

}  // namespace quire::mount
