// File data. filesystem.h says what is where, kernel_pages.h what mapped files need.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "file/buffered.h"
#include "mount/caller.h"
#include "mount/dispatcher.h"
#include "mount/filesystem.h"
#include "mount/kernel_order.h"
#include "mount/limits.h"
#include "mount/object_stat.h"
#include "mount/reply_buffer.h"
#include "mount/request.h"
#include "quire/limits.h"

namespace quire::mount {
namespace {

constexpr std::uint64_t kEnd = ~std::uint64_t{0};
constexpr const char* kCapabilities = "security.capability";

// 0, or why not all of it could be written: what the kernel gives back it forgets.
int write_all_stored(FileImpl& file, std::span<const std::byte> bytes, std::uint64_t offset,
                     const CallOptions& call) {
  while (!bytes.empty()) {
    const auto written = file.write_stored(bytes, offset, call);
    if (!written.ok()) return errno_of(written.code());
    if (*written == 0) return EIO;
    bytes = bytes.subspan(*written);
    offset += *written;
  }
  return 0;
}

// As the program has the file open now: O_DIRECT comes and goes with fcntl(2).
IoPath io_path(const fuse_file_info& info) {
  return (info.flags & O_DIRECT) != 0 ? IoPath::kDirect : IoPath::kCached;
}

OpenFlags open_flags(int flags) {
  return (flags & O_ACCMODE) == O_RDONLY ? OpenFlags::kRead : OpenFlags::kReadWrite;
}

}  // namespace

Answer<std::unique_ptr<OpenFile>> FileSystem::opened(Node& node, Answer<FileImpl*> base,
                                                     int flags) {
  if (!base) return fails(base.error());
  FileUse use(parts_.files, node, *base);
  auto own = use->reopen(open_flags(flags));
  if (!own.ok()) return fails(errno_of(own.code()));
  auto open = std::make_unique<OpenFile>(std::move(use), std::move(*own), node);
  sync::MutexLock lock(mutex_);
  open->place = opens_.insert(opens_.end(), open.get());
  return open;
}

void FileSystem::finish_open(OpenFile* open) noexcept {
  const std::unique_ptr<OpenFile> owned(open);
  {
    sync::MutexLock lock(mutex_);
    opens_.erase(owned->place);
  }
  owned->file->leave();
}

void FileSystem::answer_open(fuse_req_t request, std::unique_ptr<OpenFile> open,
                             fuse_file_info& info, const Entry* entry) {
  info.fh = reinterpret_cast<std::uintptr_t>(open.get());
  info.direct_io = 1;
  info.keep_cache = 1;  // what is mapped elsewhere stays; each change is told
  OpenFile* const given = open.release();
  const int answered = entry != nullptr ? fuse_reply_create(request, &entry->param, &info)
                                        : fuse_reply_open(request, &info);
  if (answered == 0) return;
  // The program was killed meanwhile, and nothing will be released.
  finish_open(given);
  if (entry != nullptr) parts_.nodes.forget(*entry->node, 1);
}

void FileSystem::open(fuse_req_t request, Node& node, fuse_file_info& info) {
  if (!node.is_regular()) {
    fuse_reply_err(request, node.is_directory() ? EISDIR : ENXIO);
    return;
  }
  auto open =
      opened(node, parts_.files.use(node, (info.flags & O_ACCMODE) != O_RDONLY), info.flags);
  if (!open) {
    fuse_reply_err(request, open.error());
    return;
  }
  answer_open(request, std::move(*open), info, nullptr);
}

void FileSystem::release(fuse_req_t request, OpenFile* open) {
  finish_open(open);
  fuse_reply_err(request, 0);
}

void FileSystem::close_handles() {
  std::vector<OpenFile*> left;
  {
    sync::MutexLock lock(mutex_);
    left.assign(opens_.begin(), opens_.end());
  }
  for (OpenFile* open : left) finish_open(open);
}

void FileSystem::note_refusal(IoPath path, const Error& error) {
  if (path != IoPath::kDirect || error.code != std::errc::invalid_argument) return;
  if (direct_refused_.exchange(true)) return;
  parts_.cache.log(LogLevel::kWarning, error.message() + " (O_DIRECT; said once)");
}

void FileSystem::read(fuse_req_t request, OpenFile& open, std::size_t size, std::uint64_t offset,
                      const fuse_file_info& info) {
  std::byte* const buffer = reply_buffer();
  size = std::min(size, limits::kRequestMaxBytes);
  std::size_t moved = 0;
  int number = 0;
  // Only a program's own read carries a lock owner: the others fill the kernel's cache for a mapping.
  const bool grants = info.lock_owner == 0;
  const IoPath path = grants ? IoPath::kCached : io_path(info);
  // What is in the cache waits for nothing, and there is nothing to interrupt.
  if (!grants && path == IoPath::kCached) moved = open.file->read_hits({buffer, size}, offset);
  if (grants || (moved < size && !file::met_the_end(offset, moved))) {
    const Interruptible interruptible(request, path);
    const auto read = [&] {
      const auto result =
          open.file->read({buffer + moved, size - moved}, offset + moved, interruptible.call());
      if (result.ok()) {
        moved += *result;
      } else if (moved == 0) {
        number = errno_of(result.code());
        note_refusal(path, result.error());
      }
    };
    if (!grants) {
      read();
    } else {
      const KernelOrder order(open.node, offset, size, sync::RangeMode::kExclusive,
                              interruptible.limit());
      number = order.error();
      if (number == 0) {
        open.node.file().kernel_pages().granted({offset, offset + size});
        read();
      }
    }
  }
  Dispatcher::answering();
  if (number != 0) {
    fuse_reply_err(request, number);
  } else {
    fuse_reply_buf(request, reinterpret_cast<const char*>(buffer), moved);
  }
}

void FileSystem::drop_privileges(fuse_req_t request, Node& node) {
  const uid_t user = fuse_req_ctx(request)->uid;
  NodeFile& file = node.file();
  if (!file.may_have_privileges()) return;
  // Before the look: whoever gives the file some meanwhile says so after it.
  file.set_may_have_privileges(false);
  const auto fd = reach(node);
  const auto stat = fd ? stat_descriptor((*fd)->get()) : std::nullopt;
  if (!stat) {
    file.set_may_have_privileges(true);
    return;
  }
  const std::string path = proc_path((*fd)->get());
  const bool capabilities = ::getxattr(path.c_str(), kCapabilities, nullptr, 0) >= 0;
  mode_t bits = stat->stx_mode & S_ISUID;
  // Set-group-id without the group's right to execute once meant mandatory locking, and stays if a member of
  // the group writes.
  if ((stat->stx_mode & S_ISGID) != 0 &&
      ((stat->stx_mode & S_IXGRP) != 0 || !is_in_group(request, stat->stx_gid))) {
    bits |= S_ISGID;
  }
  if (capabilities) {
    (void)change(node, file::Inode::Attribute::kOther,
                 [](const char* at) { return ::removexattr(at, kCapabilities); });
  }
  if (bits != 0 && user != 0) {
    const mode_t mode = stat->stx_mode & 07777 & ~bits;
    (void)change(node, file::Inode::Attribute::kOther,
                 [mode](const char* at) { return ::chmod(at, mode); });
  }
  if (capabilities || (bits != 0 && user != 0)) {
    notifier_->forget_attributes(parts_.nodes.number(node));
  }
  if ((stat->stx_mode & S_ISGID) != 0 || (bits != 0 && user == 0)) {
    file.set_may_have_privileges(true);
  }
}

void FileSystem::answer_written(fuse_req_t request, Node& node, const Written& written) {
  drop_then(node, written.drop, written.ticket,
            [request, error = written.error, count = written.bytes.end - written.bytes.begin] {
              Dispatcher::answering();
              if (error != 0) {
                fuse_reply_err(request, error);
              } else {
                fuse_reply_write(request, count);
              }
            });
}

void FileSystem::write_from_kernel(fuse_req_t request, OpenFile& open,
                                   std::span<const std::byte> bytes, std::uint64_t offset) {
  int number = 0;
  {
    const Interruptible interruptible(request);
    const KernelOrder order(open.node, offset, bytes.size(), sync::RangeMode::kExclusive,
                            interruptible.limit());
    number = order.error();
    if (number == 0) {
      // A store never makes a file longer. The kernel may not know yet that an ioctl made it shorter: a stat
      // tells it.
      const std::uint64_t end = std::min(offset + bytes.size(), open.file->size_bytes());
      if (end < offset + bytes.size()) {
        notifier_->forget_attributes(parts_.nodes.number(open.node));
      }
      std::vector<ByteRange> parts;
      if (offset < end) parts = open.node.file().kernel_pages().may_write({offset, end});
      std::uint64_t kept = end - std::min(offset, end);
      for (const ByteRange& part : parts) kept -= part.end - part.begin;
      if (kept > 0) kernel_bytes_kept_.fetch_add(kept);
      for (const ByteRange& part : parts) {
        number =
            write_all_stored(*open.file, bytes.subspan(part.begin - offset, part.end - part.begin),
                             part.begin, interruptible.call());
        if (number != 0) break;
      }
    }
  }
  if (number != 0) {
    fuse_reply_err(request, number);
  } else {
    fuse_reply_write(request, bytes.size());
  }
}

void FileSystem::write(fuse_req_t request, OpenFile& open, std::span<const std::byte> bytes,
                       std::uint64_t offset, const fuse_file_info& info) {
  if (info.writepage != 0) {
    write_from_kernel(request, open, bytes, offset);
    return;
  }
  drop_privileges(request, open.node);
  Written written;
  {
    const Interruptible interruptible(request, io_path(info));
    written = write_through(open, bytes, (info.flags & O_APPEND) != 0 ? file::kAtEnd : offset,
                            interruptible);
    if (written.error == 0 && (info.flags & (O_SYNC | O_DSYNC)) != 0) {
      const bool all = (info.flags & O_SYNC) == O_SYNC;
      const Status synced =
          open.file->sync(written.bytes.begin / quire::limits::kPageBytes,
                          (written.bytes.end - 1) / quire::limits::kPageBytes,
                          all ? SyncKind::kAll : SyncKind::kData, interruptible.call());
      if (!synced.ok()) written.error = errno_of(synced.code());
    }
  }
  answer_written(request, open.node, written);
}

FileSystem::Written FileSystem::write_through(OpenFile& open, std::span<const std::byte> bytes,
                                              std::uint64_t offset,
                                              const Interruptible& interruptible) {
  Written result;
  FileImpl& file = *open.file;
  KernelPages& pages = open.node.file().kernel_pages();
  const auto write = [&](std::uint64_t old_end) {
    std::uint64_t at = offset;
    const auto written = file.writev({&bytes, 1}, &at, interruptible.call());
    if (!written.ok()) {
      result.error = errno_of(written.code());
      // A program that is killed does not wait for the source, which may write all the same.
      const std::uint64_t begin = offset == file::kAtEnd ? old_end : offset;
      result.drop = {std::min(begin, old_end), begin + bytes.size()};
      result.ticket = pages.doubted(result.drop);
      note_refusal(interruptible.call().path, written.error());
      return;
    }
    result.bytes = {at, at + *written};
    result.ticket = pages.written(result.bytes);
    if (const ByteRange gap = tail_gap(old_end, at); gap.begin < gap.end) {
      result.drop = {gap.begin, result.bytes.end};
      if (const std::uint64_t ticket = pages.written(gap); ticket != 0) result.ticket = ticket;
    } else {
      result.drop = result.bytes;
    }
  };
  const std::uint64_t end = offset > kEnd - bytes.size() ? kEnd : offset + bytes.size();
  if (end <= file.size_bytes()) {
    const KernelOrder order(open.node, offset, bytes.size(), sync::RangeMode::kShared,
                            interruptible.limit());
    result.error = order.error();
    // Cut meanwhile, it extends the file after all: then below.
    if (result.error != 0 || end <= file.size_bytes()) {
      if (result.error == 0) write(kEnd);
      return result;
    }
  }
  const KernelOrder order(open.node, file, offset, interruptible.limit());
  result.error = order.error();
  if (result.error == 0) write(file.size_bytes());
  return result;
}

void FileSystem::fsync(fuse_req_t request, OpenFile& open, bool data_only) {
  int number = 0;
  {
    const Interruptible interruptible(request);
    const Status synced = open.file->sync(0, kEnd, data_only ? SyncKind::kData : SyncKind::kAll,
                                          interruptible.call());
    if (!synced.ok()) number = errno_of(synced.code());
  }
  fuse_reply_err(request, number);
}

void FileSystem::seek(fuse_req_t request, OpenFile& open, std::uint64_t offset, int whence) {
  if (whence != SEEK_DATA && whence != SEEK_HOLE) {
    fuse_reply_err(request, EINVAL);
    return;
  }
  // Only the source knows what is a hole, once it has everything.
  Status written;
  {
    const Interruptible interruptible(request);
    written = open.file->write_back(interruptible.call());
  }
  if (!written.ok()) {
    fuse_reply_err(request, errno_of(written.code()));
    return;
  }
  const auto fd = open_node(open.node, O_RDONLY);
  if (!fd) {
    fuse_reply_err(request, fd.error());
    return;
  }
  const off_t found = ::lseek(fd->get(), static_cast<off_t>(offset), whence);
  if (found < 0) {
    fuse_reply_err(request, errno);
  } else {
    fuse_reply_lseek(request, found);
  }
}

void FileSystem::copy_range(fuse_req_t request, OpenFile& from, std::uint64_t from_offset,
                            OpenFile& to, std::uint64_t to_offset, std::uint64_t length) {
  drop_privileges(request, to.node);
  std::byte* const buffer = reply_buffer();
  Written written;
  {
    const Interruptible interruptible(request);
    // One answer for at most so many bytes; the program asks again for the rest.
    const auto want =
        static_cast<std::size_t>(std::min<std::uint64_t>(length, limits::kRequestMaxBytes));
    const auto read = from.file->read({buffer, want}, from_offset, interruptible.call());
    if (!read.ok()) {
      written.error = errno_of(read.code());
    } else if (*read > 0) {
      written = write_through(to, {buffer, *read}, to_offset, interruptible);
    }
  }
  answer_written(request, to.node, written);
}

}  // namespace quire::mount
