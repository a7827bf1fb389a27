#include "mapping_bench/bare_userfault.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>

#include "host_bench/data.h"
#include "host_bench/row.h"

namespace quire::bench {
namespace {

// Which of the two calls answers, and whether it answers at all, is the thread's to say: a failed one is seen as a
// fault that never ends.
void show_pages(int fd, std::uint64_t at, std::uint64_t bytes) noexcept {
  uffdio_continue show{.range = {at, bytes}, .mode = 0, .mapped = 0};
  (void)::ioctl(fd, UFFDIO_CONTINUE, &show);
}

void set_protected(int fd, std::uint64_t at, std::uint64_t bytes, bool is) noexcept {
  uffdio_writeprotect change{.range = {at, bytes},
                             .mode = is ? std::uint64_t{UFFDIO_WRITEPROTECT_MODE_WP} : 0};
  (void)::ioctl(fd, UFFDIO_WRITEPROTECT, &change);
}

}  // namespace

BareUserfault::BareUserfault(std::size_t bytes)
    : bytes_(bytes),
      memory_(::memfd_create("bare-userfault", MFD_CLOEXEC)),
      fd_(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK))),
      end_(::eventfd(0, EFD_CLOEXEC)) {
  uffdio_api api{.api = UFFD_API,
                 .features = UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_PAGEFAULT_FLAG_WP |
                             UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
                 .ioctls = 0};
  void* plain = MAP_FAILED;
  void* view = MAP_FAILED;
  if (memory_ >= 0 && fd_ >= 0 && end_ >= 0 && ::ioctl(fd_, UFFDIO_API, &api) == 0 &&
      ::ftruncate(memory_, static_cast<off_t>(bytes)) == 0) {
    plain = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_, 0);
    view = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_, 0);
  }
  if (plain != MAP_FAILED) {
    std::memset(plain, 1, bytes);
    ::munmap(plain, bytes);
  }
  if (view != MAP_FAILED) view_ = static_cast<std::byte*>(view);
  uffdio_register range{.range = {reinterpret_cast<std::uintptr_t>(view_), bytes},
                        .mode = UFFDIO_REGISTER_MODE_MINOR | UFFDIO_REGISTER_MODE_WP,
                        .ioctls = 0};
  if (view_ == nullptr || ::ioctl(fd_, UFFDIO_REGISTER, &range) != 0) {
    close();
    throw NotMeasured("userfaultfd with minor faults and write protection");
  }
  thread_ = std::jthread([this] { answer(); });
}

BareUserfault::~BareUserfault() {
  const std::uint64_t one = 1;
  (void)!::write(end_, &one, sizeof one);
  thread_.join();
  close();
}

void BareUserfault::close() noexcept {
  if (view_ != nullptr) ::munmap(view_, bytes_);
  for (const int fd : {memory_, fd_, end_}) {
    if (fd >= 0) ::close(fd);
  }
}

void BareUserfault::hide() const {
  ::madvise(view_, bytes_, MADV_DONTNEED);
}

void BareUserfault::show(std::size_t at, std::size_t bytes) const {
  show_pages(fd_, reinterpret_cast<std::uintptr_t>(view_ + at), bytes);
}

void BareUserfault::protect() const {
  set_protected(fd_, reinterpret_cast<std::uintptr_t>(view_), bytes_, true);
}

void BareUserfault::answer() const noexcept {
  std::array<pollfd, 2> fds = {pollfd{.fd = fd_, .events = POLLIN, .revents = 0},
                               pollfd{.fd = end_, .events = POLLIN, .revents = 0}};
  while (::poll(fds.data(), fds.size(), -1) > 0 && (fds[1].revents & POLLIN) == 0) {
    uffd_msg message = {};
    if (::read(fd_, &message, sizeof message) != sizeof message) continue;
    const std::uint64_t page = message.arg.pagefault.address & ~std::uint64_t{kPage - 1};
    if ((message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) != 0) {
      set_protected(fd_, page, kPage, false);
    } else {
      show_pages(fd_, page, kPage);
    }
  }
}

}  // namespace quire::bench
