#include "store/host_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

namespace quire::store {

namespace {

// Whether the file system says that aligned requests are enough for direct IO. Kernels before 6.1
// and some file systems do not say; then trying decides.
bool may_do_direct(const struct statx& stat) {
  if ((stat.stx_mask & STATX_DIOALIGN) == 0) return true;
  return stat.stx_dio_offset_align != 0 && stat.stx_dio_offset_align <= kDirectAlignmentBytes &&
         stat.stx_dio_mem_align <= kDirectAlignmentBytes;
}

}  // namespace

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
