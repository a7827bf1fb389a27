#include "store/host_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "store/beneath.h"

namespace quire::store {

namespace {

// Whether the file system says that aligned requests are enough for direct IO. Kernels before 6.1
// and some file systems do not say; then trying decides.
bool may_do_direct(const struct statx& stat) {
  if ((stat.stx_mask & STATX_DIOALIGN) == 0) return true;
  return stat.stx_dio_offset_align != 0 && stat.stx_dio_offset_align <= kDirectAlignmentBytes &&
         stat.stx_dio_mem_align <= kDirectAlignmentBytes;
}

// The open directory in which `file` is known by the last name of `path`; none if it is not there, or
// that cannot be seen.
Fd directory_of(const HostDirectory& root, const std::string& path, const struct stat& file) {
  const std::size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  Fd directory =
      slash == std::string::npos
          ? Fd(::openat(root.fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC))
          : open_beneath(root.method(), root.fd(), path.substr(0, slash), O_RDONLY | O_DIRECTORY, 0)
                .fd;
  struct stat there = {};
  const bool found = directory.ok() &&
                     ::fstatat(directory.get(), name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
                     there.st_dev == file.st_dev && there.st_ino == file.st_ino;
  return found ? std::move(directory) : Fd();
}

}  // namespace

int sync_name(const HostDirectory& root, const std::string& path, int file, NameSync& way) {
  struct stat stat = {};
  if (::fstat(file, &stat) != 0) return errno;
  way = NameSync::kGone;
  if (stat.st_nlink == 0) return 0;
  const Fd directory = directory_of(root, path, stat);
  way = directory.ok() ? NameSync::kDirectory : NameSync::kStore;
  int result = -1;
  do {
    result = directory.ok() ? ::fsync(directory.get()) : ::syncfs(root.fd());
  } while (result != 0 && errno == EINTR);
  // Some file systems cannot sync a directory, and say so by EINVAL.
  if (result != 0 && errno == EINVAL && directory.ok()) {
    way = NameSync::kStore;
    result = ::syncfs(root.fd());
  }
  return result == 0 ? 0 : errno;
}

HostFile::HostFile(Fd fd, int access, const struct statx& stat, bool direct)
    : fd_(std::move(fd)), access_(access) {
  static_assert(kReadOnly == O_RDONLY && kWriteOnly == O_WRONLY);
  // Opened with O_NONBLOCK, lest a FIFO block; io_uring would take that to mean "answer EAGAIN".
  direct_ = direct && may_do_direct(stat) && ::fcntl(fd_.get(), F_SETFL, O_DIRECT) == 0;
  if (!direct_) {
    ::fcntl(fd_.get(), F_SETFL, 0);
    // The cache above reads ahead; the kernel's own would read everything twice.
    ::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_RANDOM);
  }
}

HostFile::~HostFile() {
  static_cast<void>(close());
}

int HostFile::buffered_fd() noexcept {
  if (!direct()) return fd();
  if (const int fd = buffered_.load(); fd >= 0) return fd;
  sync::MutexLock lock(mutex_);
  if (buffered_ < 0) {
    // O_DIRECT belongs to an open file description, so another one is needed, of the same object
    // whatever its name is by now.
    std::array<char, 32> name;
    std::snprintf(name.data(), name.size(), "/proc/self/fd/%d", fd());
    const int opened = ::open(name.data(), access_ | O_CLOEXEC);
    if (opened < 0) {
      // No /proc, no descriptors left, or a mode that its creator could open only once.
      give_up_direct();
      return fd();
    }
    ::posix_fadvise(opened, 0, 0, POSIX_FADV_RANDOM);
    buffered_ = opened;
  }
  return buffered_;
}

void HostFile::give_up_direct() noexcept {
  ::fcntl(fd(), F_SETFL, 0);
  ::posix_fadvise(fd(), 0, 0, POSIX_FADV_RANDOM);
  direct_ = false;
}

void HostFile::transferred(std::uint64_t offset, std::uint64_t length,
                           bool buffered_write) noexcept {
  if (!direct()) {
    ::posix_fadvise(fd(), static_cast<off_t>(offset), static_cast<off_t>(length),
                    POSIX_FADV_DONTNEED);
  }
  // Dirty pages are not dropped by that advice: the next sync makes up for it.
  if (buffered_write && !cached_.load()) cached_ = true;
}

void HostFile::synced() noexcept {
  if (!cached_.load() || !cached_.exchange(false)) return;
  ::posix_fadvise(fd(), 0, 0, POSIX_FADV_DONTNEED);
}

int HostFile::sync_name(const HostDirectory& root) noexcept {
  if (!name_unsynced_.load()) return 0;
  NameSync way = NameSync::kGone;
  const int number = quire::store::sync_name(root, made_at_, fd(), way);
  if (number == 0) name_unsynced_ = false;
  return number;
}

bool HostFile::enter_ring(sync::GateToken& token) noexcept {
  if (!size_gate_.try_enter(sync::GateSide::kAdd)) return false;
  token = sync::GateToken::adopt(size_gate_, sync::GateSide::kAdd);
  token.hand_over();
  return true;
}

sync::GateToken HostFile::enter_truncate() noexcept {
  static_cast<void>(size_gate_.enter(sync::GateSide::kBlock));
  return sync::GateToken::adopt(size_gate_, sync::GateSide::kBlock);
}

std::error_code HostFile::close() noexcept {
  std::error_code error;
  if (const int buffered = buffered_.exchange(-1); buffered >= 0 && ::close(buffered) != 0) {
    error = errno_code(errno);
  }
  if (fd_.ok() && ::close(fd_.release()) != 0 && !error) error = errno_code(errno);
  // The descriptor is gone after EINTR too.
  return error == std::errc::interrupted ? std::error_code() : error;
}

}  // namespace quire::store
