#include "mount_bench/do_nothing.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <unordered_map>
#include <vector>

#include "host_bench/data.h"
#include "host_bench/row.h"
#include "mount/filesystem.h"
#include "mount/limits.h"
#include "mount/session.h"

namespace quire::bench {
namespace {

namespace limits = mount::limits;

struct Node {
  std::string path;  // beneath the source
  std::uint64_t lookups = 0;
};

// What the operations share. Node 1 is the source itself.
class Nothing {
 public:
  explicit Nothing(const DoNothingOptions& options)
      : source_(options.source, O_RDONLY | O_DIRECTORY | O_CLOEXEC) {
    nodes_.emplace(".", &root_);
    if (!options.in_memory.empty()) load(options.in_memory);
  }

  int source() const { return source_.get(); }
  std::span<std::byte> memory() const { return memory_; }
  bool is_in_memory(const std::string& path) const {
    return memory_block_ != nullptr && path == name_;
  }

  // Paths change only by a rename, which the kernel does not let overlap with other requests on the name.
  const std::string& path(fuse_ino_t number) const {
    return number == FUSE_ROOT_ID ? root_.path : reinterpret_cast<const Node*>(number)->path;
  }
  std::string child(fuse_ino_t parent, const char* name) const {
    return parent == FUSE_ROOT_ID ? std::string(name) : path(parent) + "/" + name;
  }
  fuse_ino_t look_up(const std::string& path) {
    const std::lock_guard lock(mutex_);
    Node*& node = nodes_[path];
    if (node == nullptr) node = new Node{path};
    ++node->lookups;
    return reinterpret_cast<fuse_ino_t>(node);
  }
  void forget(fuse_ino_t number, std::uint64_t count) {
    if (number == FUSE_ROOT_ID) return;
    const std::lock_guard lock(mutex_);
    auto* const node = reinterpret_cast<Node*>(number);
    node->lookups -= count;
    if (node->lookups > 0) return;
    const auto it = nodes_.find(node->path);
    if (it != nodes_.end() && it->second == node) nodes_.erase(it);
    delete node;
  }
  void gone(const std::string& path) {
    const std::lock_guard lock(mutex_);
    nodes_.erase(path);
  }
  void renamed(const std::string& from, const std::string& to) {
    const std::lock_guard lock(mutex_);
    nodes_.erase(to);
    auto moved = nodes_.extract(from);
    if (moved.empty()) return;
    moved.key() = to;
    moved.mapped()->path = to;
    nodes_.insert(std::move(moved));
  }

 private:
  void load(const std::string& name) {
    name_ = name;
    const Fd file(fmt::format("/proc/self/fd/{}/{}", source_.get(), name), O_RDONLY);
    struct stat s = {};
    ::fstat(file.get(), &s);
    const auto bytes = static_cast<std::size_t>(s.st_size);
    memory_block_ = std::make_unique<Region>(bytes, Region::Kind::kHugePages);
    memory_ = {memory_block_->data(), bytes};
    for (std::size_t at = 0; at < bytes;) {
      const ssize_t got =
          ::pread(file.get(), memory_.data() + at, bytes - at, static_cast<off_t>(at));
      if (got <= 0) throw NotMeasured("reading " + name);
      at += static_cast<std::size_t>(got);
    }
  }

  const Fd source_;
  std::string name_;
  std::unique_ptr<Region> memory_block_;
  std::span<std::byte> memory_;
  Node root_{".", 1};
  std::mutex mutex_;
  std::unordered_map<std::string, Node*> nodes_;
};

Nothing& of(fuse_req_t request) {
  return *static_cast<Nothing*>(fuse_req_userdata(request));
}

// A file handle is a descriptor, or this.
constexpr std::uint64_t kInMemory = ~std::uint64_t{0};
int fd_of(const fuse_file_info* info) {
  return static_cast<int>(info->fh);
}

void answer(fuse_req_t request, bool fine) {
  fuse_reply_err(request, fine ? 0 : errno);
}

bool entry_of(Nothing& nothing, const std::string& path, fuse_entry_param& entry) {
  entry = {};
  if (::fstatat(nothing.source(), path.c_str(), &entry.attr, AT_SYMLINK_NOFOLLOW) != 0) {
    return false;
  }
  entry.ino = nothing.look_up(path);
  entry.attr_timeout = limits::kAttributeTimeoutSeconds;
  entry.entry_timeout = limits::kNameTimeoutSeconds;
  return true;
}

void answer_entry(fuse_req_t request, const std::string& path, bool fine = true) {
  fuse_entry_param entry;
  if (!fine || !entry_of(of(request), path, entry)) {
    fuse_reply_err(request, errno);
  } else {
    fuse_reply_entry(request, &entry);
  }
}

void answer_attributes(fuse_req_t request, fuse_ino_t number) {
  struct stat s = {};
  if (::fstatat(of(request).source(), of(request).path(number).c_str(), &s, AT_SYMLINK_NOFOLLOW) !=
      0) {
    fuse_reply_err(request, errno);
  } else {
    fuse_reply_attr(request, &s, limits::kAttributeTimeoutSeconds);
  }
}

void set_attributes(fuse_req_t request, fuse_ino_t number, struct stat* wanted, int what,
                    fuse_file_info* /*info*/) {
  const int source = of(request).source();
  const char* const path = of(request).path(number).c_str();
  bool fine = true;
  if ((what & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0) {
    fine = ::fchownat(source, path,
                      (what & FUSE_SET_ATTR_UID) != 0 ? wanted->st_uid : static_cast<uid_t>(-1),
                      (what & FUSE_SET_ATTR_GID) != 0 ? wanted->st_gid : static_cast<gid_t>(-1),
                      AT_SYMLINK_NOFOLLOW) == 0;
  }
  if (fine && (what & FUSE_SET_ATTR_MODE) != 0) {
    fine = ::fchmodat(source, path, wanted->st_mode & 07777, 0) == 0;
  }
  if (fine && (what & FUSE_SET_ATTR_SIZE) != 0) {
    const store::Fd fd(::openat(source, path, O_WRONLY | O_CLOEXEC));
    fine = fd.ok() && ::ftruncate(fd.get(), wanted->st_size) == 0;
  }
  std::array<timespec, 2> times = {};
  times[0].tv_nsec = times[1].tv_nsec = UTIME_OMIT;
  if ((what & FUSE_SET_ATTR_ATIME) != 0) times[0] = wanted->st_atim;
  if ((what & FUSE_SET_ATTR_MTIME) != 0) times[1] = wanted->st_mtim;
  if ((what & FUSE_SET_ATTR_ATIME_NOW) != 0) times[0].tv_nsec = UTIME_NOW;
  if ((what & FUSE_SET_ATTR_MTIME_NOW) != 0) times[1].tv_nsec = UTIME_NOW;
  if (fine && (times[0].tv_nsec != UTIME_OMIT || times[1].tv_nsec != UTIME_OMIT)) {
    fine = ::utimensat(source, path, times.data(), AT_SYMLINK_NOFOLLOW) == 0;
  }
  if (fine) {
    answer_attributes(request, number);
  } else {
    fuse_reply_err(request, errno);
  }
}

void open_file(fuse_req_t request, fuse_ino_t number, fuse_file_info* info) {
  Nothing& nothing = of(request);
  info->direct_io = 1;
  info->keep_cache = 1;
  if (nothing.is_in_memory(nothing.path(number))) {
    info->fh = kInMemory;
  } else {
    const int fd = ::openat(nothing.source(), nothing.path(number).c_str(),
                            (info->flags & ~(O_NOFOLLOW | O_APPEND | O_CREAT)) | O_CLOEXEC);
    if (fd < 0) {
      fuse_reply_err(request, errno);
      return;
    }
    info->fh = static_cast<std::uint64_t>(fd);
  }
  fuse_reply_open(request, info);
}

void create_file(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
                 fuse_file_info* info) {
  Nothing& nothing = of(request);
  const std::string path = nothing.child(parent, name);
  const int fd = ::openat(nothing.source(), path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
                          mode & ~fuse_req_ctx(request)->umask);
  fuse_entry_param entry;
  if (fd < 0 || !entry_of(nothing, path, entry)) {
    fuse_reply_err(request, errno);
    return;
  }
  info->direct_io = 1;
  info->keep_cache = 1;
  info->fh = static_cast<std::uint64_t>(fd);
  fuse_reply_create(request, &entry, info);
}

void read_file(fuse_req_t request, fuse_ino_t /*number*/, std::size_t size, off_t offset,
               fuse_file_info* info) {
  if (info->fh == kInMemory) {
    const std::span<std::byte> memory = of(request).memory();
    const std::size_t at = std::min(static_cast<std::size_t>(offset), memory.size());
    fuse_reply_buf(request, reinterpret_cast<const char*>(memory.data() + at),
                   std::min(size, memory.size() - at));
    return;
  }
  static thread_local const auto buffer =
      std::make_unique_for_overwrite<char[]>(limits::kRequestMaxBytes);
  const ssize_t got = ::pread(fd_of(info), buffer.get(), size, offset);
  if (got < 0) {
    fuse_reply_err(request, errno);
  } else {
    fuse_reply_buf(request, buffer.get(), static_cast<std::size_t>(got));
  }
}

void write_file(fuse_req_t request, fuse_ino_t /*number*/, const char* bytes, std::size_t size,
                off_t offset, fuse_file_info* info) {
  if (info->fh == kInMemory) {
    const std::span<std::byte> memory = of(request).memory();
    const std::size_t at = std::min(static_cast<std::size_t>(offset), memory.size());
    const std::size_t count = std::min(size, memory.size() - at);
    std::memcpy(memory.data() + at, bytes, count);
    fuse_reply_write(request, count);
    return;
  }
  const ssize_t put = ::pwrite(fd_of(info), bytes, size, offset);
  if (put < 0) {
    fuse_reply_err(request, errno);
  } else {
    fuse_reply_write(request, static_cast<std::size_t>(put));
  }
}

void open_directory(fuse_req_t request, fuse_ino_t number, fuse_file_info* info) {
  const int fd = ::openat(of(request).source(), of(request).path(number).c_str(),
                          O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const stream = fd < 0 ? nullptr : ::fdopendir(fd);
  if (stream == nullptr) {
    fuse_reply_err(request, errno);
    return;
  }
  info->fh = reinterpret_cast<std::uintptr_t>(stream);
  fuse_reply_open(request, info);
}

void read_directory(fuse_req_t request, fuse_ino_t number, std::size_t size, off_t offset,
                    fuse_file_info* info, bool plus) {
  Nothing& nothing = of(request);
  DIR* const stream = reinterpret_cast<DIR*>(static_cast<std::uintptr_t>(info->fh));
  std::vector<char> buffer(size);
  std::size_t used = 0;
  if (offset != ::telldir(stream)) ::seekdir(stream, offset);
  for (;;) {
    const off_t before = ::telldir(stream);
    const dirent* const found = ::readdir(stream);
    if (found == nullptr) break;
    fuse_entry_param entry = {};
    entry.attr.st_ino = found->d_ino;
    entry.attr.st_mode = static_cast<mode_t>(found->d_type) << 12;
    const std::string name = found->d_name;
    const bool enters = plus && name != "." && name != "..";
    if (enters && !entry_of(nothing, nothing.child(number, found->d_name), entry)) continue;
    const std::size_t needed =
        plus ? fuse_add_direntry_plus(request, buffer.data() + used, size - used, found->d_name,
                                      &entry, found->d_off)
             : fuse_add_direntry(request, buffer.data() + used, size - used, found->d_name,
                                 &entry.attr, found->d_off);
    if (needed > size - used) {
      if (enters) nothing.forget(entry.ino, 1);
      ::seekdir(stream, before);
      break;
    }
    used += needed;
  }
  fuse_reply_buf(request, buffer.data(), used);
}

fuse_lowlevel_ops make_operations() {
  fuse_lowlevel_ops ops = {};
  ops.init = mount::FileSystem::operations().init;
  ops.lookup = [](fuse_req_t r, fuse_ino_t parent, const char* name) {
    answer_entry(r, of(r).child(parent, name));
  };
  ops.forget = [](fuse_req_t r, fuse_ino_t number, std::uint64_t count) {
    of(r).forget(number, count);
    fuse_reply_none(r);
  };
  ops.forget_multi = [](fuse_req_t r, std::size_t count, fuse_forget_data* forgets) {
    for (const fuse_forget_data& one : std::span(forgets, count)) {
      of(r).forget(one.ino, one.nlookup);
    }
    fuse_reply_none(r);
  };
  ops.getattr = [](fuse_req_t r, fuse_ino_t number, fuse_file_info* /*info*/) {
    answer_attributes(r, number);
  };
  ops.setattr = set_attributes;
  ops.readlink = [](fuse_req_t r, fuse_ino_t number) {
    std::array<char, PATH_MAX + 1> target{};
    if (::readlinkat(of(r).source(), of(r).path(number).c_str(), target.data(), PATH_MAX) < 0) {
      fuse_reply_err(r, errno);
    } else {
      fuse_reply_readlink(r, target.data());
    }
  };
  ops.mkdir = [](fuse_req_t r, fuse_ino_t parent, const char* name, mode_t mode) {
    const std::string path = of(r).child(parent, name);
    answer_entry(r, path,
                 ::mkdirat(of(r).source(), path.c_str(), mode & ~fuse_req_ctx(r)->umask) == 0);
  };
  ops.symlink = [](fuse_req_t r, const char* target, fuse_ino_t parent, const char* name) {
    const std::string path = of(r).child(parent, name);
    answer_entry(r, path, ::symlinkat(target, of(r).source(), path.c_str()) == 0);
  };
  ops.unlink = [](fuse_req_t r, fuse_ino_t parent, const char* name) {
    const std::string path = of(r).child(parent, name);
    const bool fine = ::unlinkat(of(r).source(), path.c_str(), 0) == 0;
    if (fine) of(r).gone(path);
    answer(r, fine);
  };
  ops.rmdir = [](fuse_req_t r, fuse_ino_t parent, const char* name) {
    const std::string path = of(r).child(parent, name);
    const bool fine = ::unlinkat(of(r).source(), path.c_str(), AT_REMOVEDIR) == 0;
    if (fine) of(r).gone(path);
    answer(r, fine);
  };
  ops.rename = [](fuse_req_t r, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
                  const char* new_name, unsigned flags) {
    const std::string from = of(r).child(parent, name);
    const std::string to = of(r).child(new_parent, new_name);
    const int source = of(r).source();
    const bool fine = ::renameat2(source, from.c_str(), source, to.c_str(), flags) == 0;
    if (fine) of(r).renamed(from, to);
    answer(r, fine);
  };
  ops.open = open_file;
  ops.create = create_file;
  ops.release = [](fuse_req_t r, fuse_ino_t /*number*/, fuse_file_info* info) {
    if (info->fh != kInMemory) ::close(fd_of(info));
    fuse_reply_err(r, 0);
  };
  ops.read = read_file;
  ops.write = write_file;
  ops.fsync = [](fuse_req_t r, fuse_ino_t /*number*/, int /*data_only*/, fuse_file_info* info) {
    answer(r, info->fh == kInMemory || ::fsync(fd_of(info)) == 0);
  };
  ops.opendir = open_directory;
  ops.readdir = [](fuse_req_t r, fuse_ino_t number, std::size_t size, off_t offset,
                   fuse_file_info* info) { read_directory(r, number, size, offset, info, false); };
  ops.readdirplus = [](fuse_req_t r, fuse_ino_t number, std::size_t size, off_t offset,
                       fuse_file_info* info) {
    read_directory(r, number, size, offset, info, true);
  };
  ops.releasedir = [](fuse_req_t r, fuse_ino_t /*number*/, fuse_file_info* info) {
    ::closedir(reinterpret_cast<DIR*>(static_cast<std::uintptr_t>(info->fh)));
    fuse_reply_err(r, 0);
  };
  ops.statfs = [](fuse_req_t r, fuse_ino_t /*number*/) {
    struct statvfs s = {};
    ::fstatvfs(of(r).source(), &s);
    fuse_reply_statfs(r, &s);
  };
  // The kernel asks for ACLs, as it does of Quire.
  ops.getxattr = [](fuse_req_t r, fuse_ino_t number, const char* name, std::size_t size) {
    std::vector<char> value(size);
    const std::string path = fmt::format("/proc/self/fd/{}/{}", of(r).source(), of(r).path(number));
    const ssize_t got = ::lgetxattr(path.c_str(), name, value.data(), size);
    if (got < 0) {
      fuse_reply_err(r, errno);
    } else if (size == 0) {
      fuse_reply_xattr(r, static_cast<std::size_t>(got));
    } else {
      fuse_reply_buf(r, value.data(), static_cast<std::size_t>(got));
    }
  };
  return ops;
}

}  // namespace

std::string serve_nothing(const DoNothingOptions& options,
                          const std::function<void(std::function<void()> end)>& mounted) {
  ::umask(0);
  Nothing nothing(options);
  const fuse_lowlevel_ops operations = make_operations();
  auto session = mount::Session::mount({options.source, options.mountpoint}, operations, &nothing);
  if (!session.ok()) return session.error().message();
  mount::Session& serving = **session;
  mounted([&serving] {
    if (serving.detach(false) != 0) serving.detach(true);
  });
  std::vector<std::jthread> threads;
  for (unsigned t = 0; t < options.threads; ++t) {
    threads.emplace_back([&serving] {
      const std::size_t capacity = serving.request_bytes_max();
      const auto memory = std::make_unique_for_overwrite<std::byte[]>(capacity);
      while (const std::size_t size = serving.read(memory.get(), capacity)) {
        serving.serve(memory.get(), size);
      }
    });
  }
  return {};
}

}  // namespace quire::bench
