// without_userfaultfd COMMAND [ARGUMENT...]: runs a command as if on a machine that refuses userfaultfd(2): the system
// call, and the request of /dev/userfaultfd for a new one, fail with EPERM, for it and for all that it starts. Whoever
// is root stays so in every other respect. Exit status 125: the machine cannot be made to refuse.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)  // Linux 6.1
#endif

namespace {

#if defined(__x86_64__)
constexpr unsigned kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr unsigned kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "what does the kernel call this architecture?"
#endif
constexpr unsigned kRefuse = SECCOMP_RET_ERRNO | EPERM;

constexpr sock_filter load(std::size_t offset) {
  return {BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<__u32>(offset)};
}
// Skips so many instructions if what was loaded is, or is not, this.
constexpr sock_filter skip_if(unsigned value, unsigned char is, unsigned char is_not) {
  return {BPF_JMP | BPF_JEQ | BPF_K, is, is_not, value};
}
constexpr sock_filter answer(unsigned action) {
  return {BPF_RET | BPF_K, 0, 0, action};
}

bool refuse() {
  // The lower half of an argument lies first, on both architectures.
  std::array filter = {
      load(offsetof(seccomp_data, arch)),
      skip_if(kArchitecture, 0, 5),
      load(offsetof(seccomp_data, nr)),
      skip_if(SYS_userfaultfd, 4, 0),
      skip_if(SYS_ioctl, 0, 2),
      load(offsetof(seccomp_data, args) + sizeof(__u64)),
      skip_if(USERFAULTFD_IOC_NEW, 1, 0),
      answer(SECCOMP_RET_ALLOW),
      answer(kRefuse),
  };
  const sock_fprog program{.len = filter.size(), .filter = filter.data()};
  // Root need not give up that programs with more rights get them, which fusermount3 is.
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0) return true;
  return errno == EACCES && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

bool is_refused() {
  for (const long mode : {0L, static_cast<long>(UFFD_USER_MODE_ONLY)}) {
    if (::syscall(SYS_userfaultfd, O_CLOEXEC | mode) >= 0 || errno != EPERM) return false;
  }
  const int device = ::open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
  if (device < 0) return true;
  const bool refused = ::ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC) < 0 && errno == EPERM;
  ::close(device);
  return refused;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: without_userfaultfd COMMAND [ARGUMENT...]\n");
    return 2;
  }
  if (!refuse() || !is_refused()) {
    std::fprintf(stderr, "without_userfaultfd: it cannot be refused: %s\n", std::strerror(errno));
    return 125;
  }
  ::execvp(argv[1], argv + 1);
  std::fprintf(stderr, "without_userfaultfd: %s: %s\n", argv[1], std::strerror(errno));
  return 127;
}
