#include "store/host_directory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "quire/error.h"
#include "store/path.h"

namespace quire::store {

namespace {

constexpr off_t kBlock = 4096;
constexpr long kXfsMagic = 0x58465342;

std::uint32_t bit(Cut kind) {
  return 1u << static_cast<unsigned>(kind);
}

struct Allocation {
  bool reserves = false;
  std::uint32_t cuts = 0;
};

// What fallocate() answers on a nameless file of this directory; nothing if none can be made.
Allocation probe_allocation(int directory) {
  Allocation found;
  const Fd file(::openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file.ok()) return found;
  found.reserves = ::fallocate(file.get(), FALLOC_FL_KEEP_SIZE, 0, 8 * kBlock) == 0;
  if (::ftruncate(file.get(), 8 * kBlock) != 0) return found;
  for (const Cut kind : {Cut::kPunch, Cut::kZero, Cut::kInsert, Cut::kCollapse}) {
    if (::fallocate(file.get(), fallocate_mode(kind), kBlock, kBlock) == 0) found.cuts |= bit(kind);
  }
  return found;
}

}  // namespace

bool keeps_allocation(int fd) {
  struct statfs fs = {};
  if (::fstatfs(fd, &fs) != 0) return false;
  return fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == kXfsMagic || fs.f_type == TMPFS_MAGIC;
}

int fallocate_mode(Cut kind) {
  switch (kind) {
    case Cut::kPunch:
      return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    case Cut::kZero:
      return FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
    case Cut::kInsert:
      return FALLOC_FL_INSERT_RANGE;
    case Cut::kCollapse:
      return FALLOC_FL_COLLAPSE_RANGE;
  }
  return -1;
}

HostDirectory::HostDirectory(Fd fd, std::string path)
    : fd_(std::move(fd)),
      owner_(::getpid()),
      path_(std::move(path)),
      method_(beneath_method(fd_.get())) {
  const Allocation allocation = probe_allocation(fd_.get());
  reserves_space_ = allocation.reserves && keeps_allocation(fd_.get());
  cuts_ = allocation.cuts;
}

HostDirectory::~HostDirectory() {
  if (fd_.ok() && owner_ == ::getpid()) ::flock(fd_.get(), LOCK_UN);
}

Result<HostDirectory> HostDirectory::open(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.ok()) return Error(errno_code(errno), "open the directory " + quote_path(path));
  int locked = -1;
  do {
    locked = ::flock(fd.get(), LOCK_EX | LOCK_NB);
  } while (locked != 0 && errno == EINTR);
  if (locked != 0 && errno == EWOULDBLOCK) {
    return Error(make_error_code(Errc::kInUse),
                 "another Quire owns " + quote_path(path) +
                     "; end the program that has it open, or use another directory");
  }
  if (locked != 0) return Error(errno_code(errno), "lock the directory " + quote_path(path));
  return HostDirectory(std::move(fd), path);
}

}  // namespace quire::store
