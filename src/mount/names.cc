// What changes names. filesystem.h says what is where.
//
// The kernel holds the directories of such a request locked, so that two of them never meet in one name;
// the names lock keeps the daemon's own picture of the names in step with the source's.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <optional>

#include "file/attribute_change.h"
#include "mount/caller.h"
#include "mount/filesystem.h"
#include "mount/object_stat.h"

namespace quire::mount {
namespace {

// An object whose links are about to change, seen before and told to the engine after.
class Linked {
 public:
  // `name` in a directory; nothing there is fine.
  Linked(NodeTable& nodes, file::InodeTable& inodes, const Tree& tree, int directory,
         const char* name)
      : inodes_(inodes) {
    const auto stat = tree.stat(directory, name);
    if (!stat) {
      error_ = stat.error();
      return;
    }
    fd_ = std::make_shared<const store::Fd>(
        ::openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    const auto opened = fd_->ok() ? stat_descriptor(fd_->get()) : std::nullopt;
    if (!opened || id_of(*opened) != id_of(*stat)) {
      error_ = fd_->ok() ? ESTALE : errno;
      return;
    }
    before_ = *opened;
    found_.emplace(nodes, nodes.find(id_of(*opened)));
    begin();
  }
  // A node that is known.
  Linked(file::InodeTable& inodes, SharedFd fd) : inodes_(inodes), fd_(std::move(fd)) {
    const auto opened = stat_descriptor(fd_->get());
    if (!opened) {
      error_ = EIO;
      return;
    }
    before_ = *opened;
    begin();
  }

  bool there() const { return error_ == 0; }
  int error() const { return error_; }
  const SharedFd& fd() const { return fd_; }
  const struct statx& before() const { return before_; }
  // The daemon's node, if the kernel knows it.
  Node* node() const { return found_ ? found_->get() : nullptr; }
  bool is_directory() const { return S_ISDIR(before_.stx_mode); }
  bool is_regular() const { return S_ISREG(before_.stx_mode); }

  // The links have changed, or could not be. True if none is left.
  bool done() {
    const auto now = stat_descriptor(fd_->get());
    if (now && change_) change_->done(object_stat(*now));
    change_.reset();
    return now && (now->stx_nlink == 0 || (is_directory() && now->stx_nlink < 2));
  }

 private:
  void begin() {
    if (is_regular()) change_.emplace(inodes_, id_of(before_));
  }

  file::InodeTable& inodes_;
  std::optional<NodeHold> found_;
  SharedFd fd_;
  struct statx before_ = {};
  std::optional<file::AttributeChange> change_;
  int error_ = 0;
};

}  // namespace

// `make` gets the parent's descriptor and who to be, and returns 0 or -1 with errno.
template <class Make>
void FileSystem::make_entry(fuse_req_t request, Node& parent, const char* name, const Make& make) {
  int number = 0;
  {
    NamesGuard names(parts_.nodes, sync::RangeMode::kShared);
    const auto directory = parts_.tree.directory(parent);
    if (!directory) {
      number = directory.error();
    } else {
      const fuse_ctx& caller = *fuse_req_ctx(request);
      const ActAs as(caller.uid, caller.gid, caller.umask);
      number = as.error();
      if (number == 0 && make((*directory)->get(), as) != 0) number = errno;
    }
  }
  if (number != 0) {
    fuse_reply_err(request, number);
  } else {
    answer_entry(request, parent, name);
  }
}

void FileSystem::make_node(fuse_req_t request, Node& parent, const char* name, mode_t mode,
                           dev_t device) {
  make_entry(request, parent, name, [&](int directory, const ActAs& as) {
    return ::mknodat(directory, name, as.creation_mode(mode), device);
  });
}

void FileSystem::make_directory(fuse_req_t request, Node& parent, const char* name, mode_t mode) {
  make_entry(request, parent, name, [&](int directory, const ActAs& as) {
    return ::mkdirat(directory, name, as.creation_mode(mode));
  });
}

void FileSystem::make_symlink(fuse_req_t request, const char* target, Node& parent,
                              const char* name) {
  make_entry(request, parent, name, [&](int directory, const ActAs& /*as*/) {
    return ::symlinkat(target, directory, name);
  });
}

void FileSystem::link(fuse_req_t request, Node& node, Node& parent, const char* name) {
  int number = 0;
  {
    NamesGuard names(parts_.nodes, sync::RangeMode::kShared);
    const auto directory = parts_.tree.directory(parent);
    const auto fd = parts_.tree.reach(node);
    if (!directory || !fd) {
      number = directory ? fd.error() : directory.error();
    } else {
      Linked object(parts_.cache.inodes(), *fd);
      number = object.error();
      if (number == 0 && ::linkat(AT_FDCWD, proc_path((*fd)->get()).c_str(), (*directory)->get(),
                                  name, AT_SYMLINK_FOLLOW) != 0) {
        number = errno;
      }
      if (object.there()) object.done();
    }
  }
  if (number != 0) {
    fuse_reply_err(request, number);
  } else {
    answer_entry(request, parent, name);
  }
}

void FileSystem::remove(fuse_req_t request, Node& parent, const char* name, bool directory) {
  int number = 0;
  Node* gone = nullptr;
  {
    NamesGuard names(parts_.nodes, sync::RangeMode::kExclusive);
    const auto in = parts_.tree.directory(parent);
    if (!in) {
      fuse_reply_err(request, in.error());
      return;
    }
    Linked object(parts_.nodes, parts_.cache.inodes(), parts_.tree, (*in)->get(), name);
    number = object.error();
    if (number == 0 && ::unlinkat((*in)->get(), name, directory ? AT_REMOVEDIR : 0) != 0) {
      number = errno;
    }
    if (object.there()) {
      const bool last = object.done() && number == 0;
      if (number == 0 && object.node() != nullptr) {
        parts_.nodes.drop_name(*object.node(), parent, name, last, object.fd());
        if (last && object.is_regular()) {
          gone = object.node();
          parts_.nodes.hold(*gone);
        }
      }
    }
  }
  if (gone != nullptr) {
    const NodeHold held(parts_.nodes, gone);
    parts_.files.unlinked(*gone);
  }
  fuse_reply_err(request, number);
}

void FileSystem::rename(fuse_req_t request, Node& parent, const char* name, Node& new_parent,
                        const char* new_name, unsigned flags) {
  // Whoever renames over a file counts on finding the old data or the new after a crash: the new data
  // goes first.
  {
    Node* source = nullptr;
    bool replaces = false;
    {
      NamesGuard names(parts_.nodes, sync::RangeMode::kShared);
      const auto from = parts_.tree.directory(parent);
      const auto to = parts_.tree.directory(new_parent);
      if (from && to) {
        replaces = parts_.tree.stat((*to)->get(), new_name).has_value();
        const auto stat = parts_.tree.stat((*from)->get(), name);
        if (replaces && stat && S_ISREG(stat->stx_mode)) source = parts_.nodes.find(id_of(*stat));
      }
    }
    const NodeHold held(parts_.nodes, source);
    if (source != nullptr) {
      if (FileImpl* const open = parts_.files.use_if_open(*source)) {
        const FileUse use(parts_.files, *source, open);
        const Status written = open->write_back({});
        if (!written.ok()) {
          fuse_reply_err(request, errno_of(written.code()));
          return;
        }
      }
    }
  }

  int number = 0;
  Node* gone = nullptr;
  {
    NamesGuard names(parts_.nodes, sync::RangeMode::kExclusive);
    const auto from = parts_.tree.directory(parent);
    const auto to = parts_.tree.directory(new_parent);
    if (!from || !to) {
      fuse_reply_err(request, from ? to.error() : from.error());
      return;
    }
    Linked moved(parts_.nodes, parts_.cache.inodes(), parts_.tree, (*from)->get(), name);
    if (!moved.there()) {
      fuse_reply_err(request, moved.error());
      return;
    }
    Linked replaced(parts_.nodes, parts_.cache.inodes(), parts_.tree, (*to)->get(), new_name);
    if (!replaced.there() && replaced.error() != ENOENT) {
      fuse_reply_err(request, replaced.error());
      return;
    }
    if (::renameat2((*from)->get(), name, (*to)->get(), new_name, flags) != 0) number = errno;
    moved.done();
    const bool last = replaced.there() && replaced.done();
    const bool same = replaced.there() && id_of(replaced.before()) == id_of(moved.before());
    if (number == 0 && !same) {
      if ((flags & RENAME_EXCHANGE) != 0) {
        if (replaced.node() != nullptr) {
          parts_.nodes.move_name(*replaced.node(), new_parent, new_name, parent, name);
        }
      } else if (replaced.node() != nullptr) {
        parts_.nodes.drop_name(*replaced.node(), new_parent, new_name, last, replaced.fd());
        if (last && replaced.is_regular()) {
          gone = replaced.node();
          parts_.nodes.hold(*gone);
        }
      }
      if (moved.node() != nullptr) {
        parts_.nodes.move_name(*moved.node(), parent, name, new_parent, new_name);
      }
    }
  }
  if (gone != nullptr) {
    const NodeHold held(parts_.nodes, gone);
    parts_.files.unlinked(*gone);
  }
  fuse_reply_err(request, number);
}

void FileSystem::readlink(fuse_req_t request, Node& node) {
  std::array<char, PATH_MAX + 1> target{};
  const auto fd = reach(node);
  if (!fd) {
    fuse_reply_err(request, fd.error());
  } else if (::readlinkat((*fd)->get(), "", target.data(), target.size() - 1) < 0) {
    fuse_reply_err(request, errno);
  } else {
    fuse_reply_readlink(request, target.data());
  }
}

void FileSystem::create(fuse_req_t request, Node& parent, const char* name, mode_t mode,
                        fuse_file_info& info) {
  if (const int full = parts_.files.make_room(); full != 0) {
    fuse_reply_err(request, full);
    return;
  }
  int number = 0;
  Entry entry = {};
  store::Fd fd;
  std::string path;
  {
    NamesGuard names(parts_.nodes, sync::RangeMode::kShared);
    const auto directory = parts_.tree.directory(parent);
    if (!directory) {
      fuse_reply_err(request, directory.error());
      return;
    }
    constexpr int how = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_RDWR;
    {
      const fuse_ctx& caller = *fuse_req_ctx(request);
      const ActAs as(caller.uid, caller.gid, caller.umask);
      number = as.error();
      if (number == 0) {
        fd = store::Fd(::openat((*directory)->get(), name, how | O_CREAT | O_EXCL,
                                as.creation_mode(mode & 07777)));
        if (!fd.ok()) number = errno;
      }
    }
    // Made in the source since the kernel looked: it looks again, and opens it like any other file, with its
    // own checks of permissions, and O_TRUNC.
    if (number == EEXIST && (info.flags & O_EXCL) == 0) number = ESTALE;
    if (number == 0) {
      const auto made = stat_descriptor(fd.get());
      const auto stat = parts_.tree.stat((*directory)->get(), name);
      if (!stat) {
        number = stat.error();
      } else if (!made || id_of(*made) != id_of(*stat)) {
        number = ESTALE;
      } else {
        entry = enter(parent, name, *stat);
        path = parts_.nodes.path(*entry.node);
      }
    }
  }
  if (number != 0) {
    fuse_reply_err(request, number);
    return;
  }
  Node& node = *entry.node;
  auto open = opened(node, parts_.files.use_created(node, std::move(fd), path), info.flags);
  if (!open) {
    parts_.nodes.forget(node, 1);
    fuse_reply_err(request, open.error());
    return;
  }
  node.file().set_may_have_privileges((mode & (S_ISUID | S_ISGID)) != 0);
  answer_open(request, std::move(*open), info, &entry);
}

}  // namespace quire::mount
