// FileSystem: the operations that the kernel asks for, one function each, over the source's tree and the
// engine's files. Names and attributes go to the source's own file system by system calls; file data goes
// through the engine and nowhere else.
//
//   operations.cc    the table of libfuse, and from it to the functions below
//   attributes.cc    lookup, forget, getattr, setattr, statfs
//   names.cc         mknod, mkdir, symlink, link, unlink, rmdir, rename, readlink, create
//   data.cc          open, release, read, write, fsync, lseek, copy_file_range
//   cuts.cc          fallocate, and what setattr and ioctl do to a file's size and bytes
//   directories.cc   opendir, readdir, readdirplus, releasedir, fsyncdir
//   xattrs.cc        getxattr, listxattr, setxattr, removexattr
//   control.cc       ioctl: what the tool asks for
//
// Not here, because the kernel does it for a mount on one machine: permissions (default_permissions, with
// ACLs), and locks, both kinds; a lock that blocks never reaches the daemon.
//
// Each function answers its request exactly once, except write and copy_file_range where the notifier
// answers. Any worker's thread may call any function; nothing is held on entry.
#ifndef QUIRE_MOUNT_FILESYSTEM_H_
#define QUIRE_MOUNT_FILESYSTEM_H_

#include <fuse3/fuse_lowlevel.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "file/cache_impl.h"
#include "file/inode.h"
#include "mount/answer.h"
#include "mount/control.h"
#include "mount/node_table.h"
#include "mount/notifier.h"
#include "mount/open_files.h"
#include "mount/tree.h"
#include "quire/log.h"
#include "sync/atomic.h"
#include "sync/mutex.h"

namespace quire::mount {

class Interruptible;

// One open of a file by a program: what the kernel passes back as a file handle.
struct OpenFile {
  OpenFile(FileUse&& base, std::unique_ptr<FileImpl> own, Node& its_node)
      : use(std::move(base)), file(std::move(own)), node(its_node) {}

  FileUse use;                     // keeps the node's file open
  std::unique_ptr<FileImpl> file;  // with a readahead of its own
  Node& node;
  std::list<OpenFile*>::iterator place;
};

// One open of a directory.
struct OpenDirectory;

class FileSystem {
 public:
  struct Parts {
    CacheImpl& cache;
    NodeTable& nodes;
    const Tree& tree;
    OpenFiles& files;
    LogFunction log;
    bool shared_mmap = false;
  };
  // What `quire stats` shows of the daemon beyond the engine's numbers.
  using Describe = std::function<void(control::Stats&)>;

  explicit FileSystem(Parts parts);
  ~FileSystem();
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;

  static const fuse_lowlevel_ops& operations();
  // Once the kernel has said what it can do, and before anything but INIT is served.
  void begin(Notifier& notifier, bool shared_mmap, Describe describe);
  // Gives back what programs had open when the connection ended. REQUIRES: no request is served any more.
  void close_handles();
  // Asks the kernel for what it holds of mapped files, so that their dirty pages come back as writes; waits
  // for at most limits::kRecallMax. False if that passed.
  bool recall();
  // The socket to which the end is to be told; empty if nobody asked.
  std::string end_socket() const;
  bool discards() const { return discards_.load(); }

  // attributes.cc
  void lookup(fuse_req_t request, Node& parent, const char* name);
  void forget(Node& node, std::uint64_t count);
  void getattr(fuse_req_t request, Node& node);
  void setattr(fuse_req_t request, Node& node, const struct stat& wanted, int what, OpenFile* open);
  void statfs(fuse_req_t request);
  // names.cc
  void make_node(fuse_req_t request, Node& parent, const char* name, mode_t mode, dev_t device);
  void make_directory(fuse_req_t request, Node& parent, const char* name, mode_t mode);
  void make_symlink(fuse_req_t request, const char* target, Node& parent, const char* name);
  void link(fuse_req_t request, Node& node, Node& parent, const char* name);
  void remove(fuse_req_t request, Node& parent, const char* name, bool directory);
  void rename(fuse_req_t request, Node& parent, const char* name, Node& new_parent,
              const char* new_name, unsigned flags);
  void readlink(fuse_req_t request, Node& node);
  void create(fuse_req_t request, Node& parent, const char* name, mode_t mode,
              fuse_file_info& info);
  // data.cc
  void open(fuse_req_t request, Node& node, fuse_file_info& info);
  void release(fuse_req_t request, OpenFile* open);
  void read(fuse_req_t request, OpenFile& open, std::size_t size, std::uint64_t offset,
            const fuse_file_info& info);
  void write(fuse_req_t request, OpenFile& open, std::span<const std::byte> bytes,
             std::uint64_t offset, const fuse_file_info& info);
  void fsync(fuse_req_t request, OpenFile& open, bool data_only);
  void seek(fuse_req_t request, OpenFile& open, std::uint64_t offset, int whence);
  void copy_range(fuse_req_t request, OpenFile& from, std::uint64_t from_offset, OpenFile& to,
                  std::uint64_t to_offset, std::uint64_t length);
  // cuts.cc
  void allocate(fuse_req_t request, OpenFile& open, int mode, std::uint64_t offset,
                std::uint64_t length);
  // directories.cc
  void open_directory(fuse_req_t request, Node& node, fuse_file_info& info);
  void read_directory(fuse_req_t request, OpenDirectory& directory, std::size_t size, off_t offset,
                      bool plus);
  void release_directory(fuse_req_t request, OpenDirectory* directory);
  void sync_directory(fuse_req_t request, Node& node, bool data_only);
  // xattrs.cc
  void get_xattr(fuse_req_t request, Node& node, const char* name, std::size_t size);
  void list_xattrs(fuse_req_t request, Node& node, std::size_t size);
  void set_xattr(fuse_req_t request, Node& node, const char* name, std::span<const std::byte> value,
                 int flags);
  void remove_xattr(fuse_req_t request, Node& node, const char* name);
  // control.cc. `open`: of a file; null for a directory.
  void control(fuse_req_t request, OpenFile* open, unsigned command, std::span<const std::byte> in);

  NodeTable& nodes() noexcept { return parts_.nodes; }

 private:
  struct Entry {
    fuse_entry_param param;
    Node* node;
  };

  // A descriptor of a node, as Tree::reach(), and a node opened, as Tree::open(): by the names that it has now.
  Answer<SharedFd> reach(Node& node) const;
  Answer<store::Fd> open_node(Node& node, int flags) const;
  // What programs shall see of a node: what its source has, and for a file the engine's size and stamps.
  struct stat shown(const struct statx& stat, bool* dirty) const;
  Answer<struct stat> attributes(Node& node, bool* dirty) const;
  // One lookup more of `name`, which is what `stat` says.
  Entry enter(Node& parent, std::string_view name, const struct statx& stat);
  // Looks up what was just made, and answers with it.
  void answer_entry(fuse_req_t request, Node& parent, const char* name);
  void answer_attributes(fuse_req_t request, Node& node);

  // Makes `name` as the caller would have, and answers with it.
  template <class Make>
  void make_entry(fuse_req_t request, Node& parent, const char* name, const Make& make);

  // Makes a change to the attributes of a node by `call`, which gets a path that leads to it and returns 0 or
  // -1 with errno. The engine is told if it is a regular file. 0 or an errno.
  int change(Node& node, file::Inode::Attribute what, const std::function<int(const char*)>& call);
  int set_owner_and_mode(Node& node, const struct stat& wanted, int what);
  int set_times(Node& node, const struct stat& wanted, int what);
  int set_size(fuse_req_t request, Node& node, std::uint64_t size, OpenFile* open);

  Answer<std::unique_ptr<OpenFile>> opened(Node& node, Answer<FileImpl*> base, int flags);
  // Answers OPEN or CREATE; `entry` for the latter.
  void answer_open(fuse_req_t request, std::unique_ptr<OpenFile> open, fuse_file_info& info,
                   const Entry* entry);
  // A write by somebody without CAP_FSETID takes set-id bits away, and by anybody capabilities. The kernel
  // is told to look again.
  void drop_privileges(fuse_req_t request, Node& node);
  void write_from_kernel(fuse_req_t request, OpenFile& open, std::span<const std::byte> bytes,
                         std::uint64_t offset);
  // What a write came to. The kernel must drop `drop` before the answer, unless `ticket` is 0.
  struct Written {
    int error = 0;
    ByteRange bytes = {0, 0};
    ByteRange drop = {0, 0};
    std::uint64_t ticket = 0;
  };
  // Writes for a program, at `offset` or file::kAtEnd.
  Written write_through(OpenFile& open, std::span<const std::byte> bytes, std::uint64_t offset,
                        const Interruptible& interruptible);
  // Inserts or collapses. 0 or an errno; EBUSY while the kernel uses pages of the file. REQUIRES: `open` is for
  // writing.
  int shift(fuse_req_t request, OpenFile& open, Cut kind, std::uint64_t offset,
            std::uint64_t length, const Interruptible& interruptible);
  // The kernel has written back and dropped what it held of the file when this was called. False if it would
  // not, or not within limits::kRecallMax. Blocks.
  bool recall(Node& node);
  // Says in the log why direct IO was refused: the program learns no more than EINVAL.
  void note_refusal(IoPath path, const Error& error);
  // Sets the size of a file. 0 or an errno.
  int resize(Node& node, FileImpl& file, std::uint64_t size, const Interruptible& interruptible);
  void answer_written(fuse_req_t request, Node& node, const Written& written);
  // Answers after the kernel has dropped what it holds of `bytes`, if there is a ticket for that. A template, so
  // that a write of which the kernel holds nothing allocates nothing for its answer.
  template <class Reply>
  void drop_then(Node& node, ByteRange bytes, std::uint64_t ticket, const Reply& reply);
  void finish_open(OpenFile* open) noexcept;

  void control_stats(fuse_req_t request, std::span<const std::byte> in);
  void control_files(fuse_req_t request, std::span<const std::byte> in);
  void control_write_back(fuse_req_t request, std::span<const std::byte> in);
  void control_shift(fuse_req_t request, OpenFile* open, std::span<const std::byte> in);

  Parts parts_;
  Notifier* notifier_ = nullptr;
  Describe describe_;
  sync::Atomic<bool> discards_{false};
  // Shifts that wait for the kernel. Bounded, since it needs workers to write back by.
  sync::Atomic<unsigned> recalling_{0};
  // Bytes of write-backs that would have undone a later write.
  sync::Atomic<std::uint64_t> kernel_bytes_kept_{0};

  sync::Atomic<bool> direct_refused_{false};  // and logged

  mutable sync::Mutex mutex_;
  std::list<OpenFile*> opens_ GUARDED_BY(mutex_);
  std::list<OpenDirectory*> open_directories_ GUARDED_BY(mutex_);
  std::string end_socket_ GUARDED_BY(mutex_);
};

template <class Reply>
void FileSystem::drop_then(Node& node, ByteRange bytes, std::uint64_t ticket, const Reply& reply) {
  if (ticket == 0) {
    reply();
    return;
  }
  notifier_->drop(parts_.nodes.number(node), bytes,
                  [&pages = node.file().kernel_pages(), bytes, ticket, reply](int number) {
                    // Answered after: until then the kernel keeps the node.
                    pages.dropped(bytes, ticket, number == 0 || number == ENOENT);
                    reply();
                  });
}

// The text of control::Files and its like.
std::size_t format_failures(const std::vector<OpenFiles::Failure>& failures, char* text,
                            std::size_t size);

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_FILESYSTEM_H_
