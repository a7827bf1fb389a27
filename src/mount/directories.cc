// Reading directories. filesystem.h says what is where.
//
// An entry's offset is the one that the source's file system gives the entry after it, so that a program may
// seek, and read on after names have come and gone.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "mount/filesystem.h"
#include "mount/limits.h"
#include "mount/reply_buffer.h"

namespace quire::mount {

struct OpenDirectory {
  OpenDirectory(DIR* opened, Node& its_node) : stream(opened), node(its_node) {}
  ~OpenDirectory() { ::closedir(stream); }
  OpenDirectory(const OpenDirectory&) = delete;
  OpenDirectory& operator=(const OpenDirectory&) = delete;

  DIR* const stream;
  Node& node;
  sync::Mutex mutex;  // programs may share an open directory
  // Where the stream is, and the entry there if it was read and did not fit.
  off_t at = 0;
  const dirent* next = nullptr;
  std::list<OpenDirectory*>::iterator place;
};

void FileSystem::open_directory(fuse_req_t request, Node& node, fuse_file_info& info) {
  auto fd = open_node(node, O_RDONLY | O_DIRECTORY);
  if (!fd) {
    fuse_reply_err(request, fd.error());
    return;
  }
  DIR* const stream = ::fdopendir(fd->get());
  if (stream == nullptr) {
    fuse_reply_err(request, errno);
    return;
  }
  (void)fd->release();
  auto directory = std::make_unique<OpenDirectory>(stream, node);
  {
    sync::MutexLock lock(mutex_);
    directory->place = open_directories_.insert(open_directories_.end(), directory.get());
  }
  info.fh = reinterpret_cast<std::uintptr_t>(directory.get());
  OpenDirectory* const given = directory.release();
  if (fuse_reply_open(request, &info) == 0) return;
  sync::MutexLock lock(mutex_);
  open_directories_.erase(given->place);
  delete given;
}

void FileSystem::read_directory(fuse_req_t request, OpenDirectory& directory, std::size_t size,
                                off_t offset, bool plus) {
  char* const buffer = reinterpret_cast<char*>(reply_buffer());
  size = std::min(size, limits::kRequestMaxBytes);
  std::size_t used = 0;
  int number = 0;
  std::vector<Node*> entered;
  {
    NamesGuard names(parts_.nodes, sync::RangeMode::kShared);
    sync::MutexLock lock(directory.mutex);
    if (offset != directory.at) {
      ::seekdir(directory.stream, offset);
      directory.at = offset;
      directory.next = nullptr;
    }
    for (;;) {
      if (directory.next == nullptr) {
        errno = 0;
        directory.next = ::readdir(directory.stream);
        if (directory.next == nullptr) {
          number = errno;
          break;
        }
      }
      const dirent& found = *directory.next;
      const std::string_view name = found.d_name;
      const bool is_dot = name == "." || name == "..";
      std::size_t needed = 0;
      if (!plus) {
        struct stat s = {};
        s.st_ino = found.d_ino;
        s.st_mode = DTTOIF(found.d_type);
        needed =
            fuse_add_direntry(request, buffer + used, size - used, found.d_name, &s, found.d_off);
      } else if (fuse_add_direntry_plus(request, nullptr, 0, found.d_name, nullptr, 0) >
                 size - used) {
        break;  // before a lookup is counted that the kernel would not hear of
      } else {
        Entry entry = {};
        entry.param.attr.st_ino = found.d_ino;
        entry.param.attr.st_mode = DTTOIF(found.d_type);
        if (!is_dot) {
          const auto stat = parts_.tree.stat(::dirfd(directory.stream), found.d_name);
          // Gone since, or a mount: named, without attributes, and the kernel will look it up.
          if (stat) {
            entry = enter(directory.node, name, *stat);
            entered.push_back(entry.node);
          }
        }
        needed = fuse_add_direntry_plus(request, buffer + used, size - used, found.d_name,
                                        &entry.param, found.d_off);
      }
      if (needed > size - used) break;
      used += needed;
      directory.at = found.d_off;
      directory.next = nullptr;
    }
  }
  if (number != 0 && used == 0) {
    fuse_reply_err(request, number);
  } else if (fuse_reply_buf(request, buffer, used) != 0) {
    for (Node* node : entered) parts_.nodes.forget(*node, 1);
  }
}

void FileSystem::release_directory(fuse_req_t request, OpenDirectory* directory) {
  {
    sync::MutexLock lock(mutex_);
    open_directories_.erase(directory->place);
  }
  delete directory;
  fuse_reply_err(request, 0);
}

void FileSystem::sync_directory(fuse_req_t request, Node& node, bool data_only) {
  const auto fd = open_node(node, O_RDONLY | O_DIRECTORY);
  if (!fd) {
    fuse_reply_err(request, fd.error());
    return;
  }
  const int synced = data_only ? ::fdatasync(fd->get()) : ::fsync(fd->get());
  fuse_reply_err(request, synced == 0 ? 0 : errno);
}

FileSystem::FileSystem(Parts parts) : parts_(std::move(parts)) {}

FileSystem::~FileSystem() {
  for (OpenDirectory* directory : open_directories_) delete directory;
}

}  // namespace quire::mount
