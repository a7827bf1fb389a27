#include "map/userfault.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "map/userfault_abi.h"
#include "quire/limits.h"
#include "sync/check.h"
#include "sync/resize_file.h"

namespace quire::map {
namespace {

constexpr std::size_t kMessagesMax = 16;  // read at once
constexpr int kOpenFlags = O_CLOEXEC | O_NONBLOCK;

constexpr std::uint64_t kNeeded = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_MISSING_SHMEM |
                                  UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_WP_HUGETLBFS_SHMEM;

std::error_code code_of(int error) {
  return {error, std::generic_category()};
}

// The bytes of a range as the kernel takes them.
uffdio_range kernel_range(std::span<std::byte> range) {
  QUIRE_DCHECK(!range.empty() && range.size() % limits::kPageBytes == 0);
  QUIRE_DCHECK(reinterpret_cast<std::uintptr_t>(range.data()) % limits::kPageBytes == 0);
  return {reinterpret_cast<std::uintptr_t>(range.data()), range.size()};
}

// A descriptor, or an errno below zero.
int open_once(Userfault::Origin origin) {
  if (origin != Userfault::Origin::kDevice) {
    const int mode = origin == Userfault::Origin::kUserMode ? UFFD_USER_MODE_ONLY : 0;
    const long fd = ::syscall(SYS_userfaultfd, kOpenFlags | mode);
    return fd < 0 ? -errno : static_cast<int>(fd);
  }
  const int device = ::open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
  if (device < 0) return -errno;
  const int fd = ::ioctl(device, USERFAULTFD_IOC_NEW, kOpenFlags);
  const int error = errno;
  ::close(device);
  return fd < 0 ? -error : fd;
}

// The features of the kernel, as a bit set; asked of a descriptor of its own, since a descriptor answers once.
Result<std::uint64_t> features_offered(Userfault::Origin origin) {
  const int fd = open_once(origin);
  if (fd < 0) return Error(code_of(-fd), "userfaultfd");
  uffdio_api api{.api = UFFD_API, .features = 0, .ioctls = 0};
  const int error = ::ioctl(fd, UFFDIO_API, &api) == 0 ? 0 : errno;
  ::close(fd);
  if (error != 0) return Error(code_of(error), "userfaultfd: UFFDIO_API");
  return std::uint64_t{api.features};
}

}  // namespace

// `moved` is what the kernel says of the bytes that it did, or an error.
Done Userfault::done(int error, std::int64_t moved, std::size_t wanted) {
  const std::size_t bytes = moved > 0 ? static_cast<std::size_t>(moved) : 0;
  switch (error) {
    case 0:
      return {wanted, Stop::kNothing};
    case EAGAIN:
      return {bytes, Stop::kPartly};
    case EFAULT:
      return {bytes, Stop::kHole};
    case EEXIST:
      return {bytes, Stop::kMapped};
    case EINVAL:
      return {bytes, Stop::kPastEnd};
    case ENOENT:
    case ESRCH:
      return {bytes, Stop::kGone};
    case ENOMEM:
      return {bytes, Stop::kNoMemory};
    case EIO:
      return {bytes, Stop::kLost};
    default:
      break;
  }
  QUIRE_CHECK(!"userfaultfd answers with an error that it does not document");
  return {};
}

namespace {

Fault fault_of(const uffd_msg& message) {
  const std::uint64_t flags = message.arg.pagefault.flags;
  // Exact addresses are not asked for; without that the kernel gives the page's.
  const std::uint64_t page = message.arg.pagefault.address;
  Fault fault;
  fault.page = reinterpret_cast<std::byte*>(page);
  if ((flags & UFFD_PAGEFAULT_FLAG_WP) != 0) {
    fault.kind = Fault::Kind::kProtected;
  } else if ((flags & UFFD_PAGEFAULT_FLAG_MINOR) != 0) {
    fault.kind = Fault::Kind::kMinor;
  }
  fault.store = (flags & (UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP)) != 0;
  fault.thread = static_cast<pid_t>(message.arg.pagefault.feat.ptid);
  return fault;
}

}  // namespace

std::string how_to_allow_userfault(const OpenErrors& errors) {
  if (errors.user_mode == EMFILE || errors.user_mode == ENFILE) {
    return "raise the limit of open files: ulimit -n, or LimitNOFILE= of systemd";
  }
  if (errors.by_call == ENOSYS && errors.user_mode == ENOSYS) {
    return "run a kernel with CONFIG_USERFAULTFD; in a container, permit userfaultfd in the "
           "seccomp profile";
  }
  if (errors.user_mode == EINVAL) return "run Linux 5.19 or later";
  // No right is needed for faults of user mode alone: it is not the kernel that refuses.
  return fmt::format(
      "in a container, permit userfaultfd in the seccomp profile; else look for a security module "
      "that denies it{}",
      errors.by_device == EACCES ? "; or, as root: chmod o+rw /dev/userfaultfd" : "");
}

std::string how_to_allow_kernel_faults() {
  return "as root: sysctl vm.unprivileged_userfaultfd=1, or chmod o+rw /dev/userfaultfd, or setcap "
         "cap_sys_ptrace+ep on the program; in a container: --cap-add SYS_PTRACE";
}

Result<std::unique_ptr<Userfault>> Userfault::open(const Options& options) {
  OpenErrors errors{EPERM, EPERM, EPERM};
  for (const auto& [origin, error] : {std::pair{Origin::kSystemCall, &errors.by_call},
                                      std::pair{Origin::kDevice, &errors.by_device},
                                      std::pair{Origin::kUserMode, &errors.user_mode}}) {
    if (options.refuse.has(Feature::kUserfault)) continue;
    if (origin != Origin::kUserMode && options.refuse.has(Feature::kKernelFaults)) continue;
    const int fd = open_once(origin);
    if (fd < 0) {
      *error = -fd;
      continue;
    }
    std::unique_ptr<Userfault> opened(new Userfault(origin, fd));
    const Result<std::uint64_t> offered = features_offered(origin);
    if (!offered) return offered.error();
    if (Status agreed = opened->negotiate(options, *offered); !agreed) return agreed.error();
    return opened;
  }
  return Error(code_of(errors.user_mode),
               "userfaultfd is refused: " + how_to_allow_userfault(errors));
}

Userfault::~Userfault() {
  QUIRE_CHECK(views_.load() == 0);
  if (empty_file_ >= 0) ::close(empty_file_);
  ::close(fd_);
}

Status Userfault::negotiate(const Options& options, std::uint64_t offered) {
  const auto allowed = [&](Feature feature, std::uint64_t bits) {
    return !options.refuse.has(feature) && (offered & bits) == bits;
  };
  if (!allowed(Feature::kMinor, kNeeded)) {
    return Error(
        std::errc::not_supported,
        "userfaultfd lacks minor faults or write protection of shared memory: run Linux 5.19 or "
        "later, with CONFIG_HAVE_ARCH_USERFAULTFD_MINOR and _WP");
  }
  uffdio_api api{.api = UFFD_API, .features = kNeeded, .ioctls = 0};
  // Since Linux 4.14.
  if (options.in_thread) api.features |= UFFD_FEATURE_SIGBUS;
  features_ = {Feature::kUserfault, Feature::kMinor};
  if (origin_ != Origin::kUserMode) features_.add(Feature::kKernelFaults);
  const auto ask_for = [&](Feature feature, std::uint64_t bits) {
    if (!allowed(feature, bits)) return;
    features_.add(feature);
    if (feature != Feature::kAsyncStores || options.async_stores) api.features |= bits;
  };
  ask_for(Feature::kThreadId, UFFD_FEATURE_THREAD_ID);
  ask_for(Feature::kPoison, abi::kFeaturePoison);
  ask_for(Feature::kAsyncStores, abi::kFeatureWpAsync);
  if (options.async_stores && !has(Feature::kAsyncStores)) {
    return Error(
        std::errc::not_supported,
        "userfaultfd cannot admit stores by itself (async_stores): run Linux 6.7 or later");
  }
  if (::ioctl(fd_, UFFDIO_API, &api) != 0) return Error(code_of(errno), "userfaultfd: UFFDIO_API");

  empty_file_ = ::memfd_create("quire-empty", MFD_CLOEXEC);
  if (empty_file_ < 0) return Error(code_of(errno), "memfd_create");
  if (options.async_stores) {
    Result<std::unique_ptr<StoreMarks>> marks = StoreMarks::open();
    if (!marks) return std::move(marks).error();
    store_marks_ = std::move(*marks);
  }
  if (options.refuse.has(Feature::kResolveProtected)) return {};
  const Result<bool> protects = resolves_protected();
  if (!protects) return protects.error();
  // Where nobody is asked of stores, nothing can be shown for loads alone.
  if (*protects && !options.async_stores) features_.add(Feature::kResolveProtected);
  return {};
}

Result<bool> Userfault::resolves_protected() {
  if (const std::error_code error = sync::resize_file(empty_file_, limits::kPageBytes)) {
    return Error(error, "ftruncate of a memfd");
  }
  void* const address = ::mmap(nullptr, limits::kPageBytes, PROT_READ, MAP_SHARED, empty_file_, 0);
  if (address == MAP_FAILED) return Error(code_of(errno), "mmap of a memfd");
  const std::span<std::byte> page(static_cast<std::byte*>(address), limits::kPageBytes);
  const Status enrolled = enroll(page);
  // Over a hole: a kernel that knows the mode says so (EFAULT), one that does not says EINVAL.
  uffdio_continue request{.range = kernel_range(page), .mode = abi::kContinueModeWp, .mapped = 0};
  const bool known = ::ioctl(fd_, UFFDIO_CONTINUE, &request) != 0 && errno == EFAULT;
  QUIRE_CHECK(::munmap(address, limits::kPageBytes) == 0);
  if (!enrolled) return enrolled.error();
  if (const std::error_code error = sync::resize_file(empty_file_, 0)) {
    return Error(error, "ftruncate of a memfd");
  }
  return known;
}

Status Userfault::enroll(std::span<std::byte> range) {
  count(Call::kEnroll);
  uffdio_register request{
      .range = kernel_range(range),
      .mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR | UFFDIO_REGISTER_MODE_WP,
      .ioctls = 0};
  if (::ioctl(fd_, UFFDIO_REGISTER, &request) == 0) return {};
  return Error(code_of(errno), "userfaultfd: UFFDIO_REGISTER");
}

Status Userfault::leave(std::span<std::byte> range) {
  count(Call::kLeave);
  uffdio_range request = kernel_range(range);
  if (::ioctl(fd_, UFFDIO_UNREGISTER, &request) == 0) return {};
  return Error(code_of(errno), "userfaultfd: UFFDIO_UNREGISTER");
}

Done Userfault::resolve(std::span<std::byte> range, Grant grant, Wake wake) {
  const bool loads = grant == Grant::kLoads;
  if (loads && !has(Feature::kResolveProtected)) return {0, Stop::kUnsupported};
  const bool marked = grant == Grant::kMarkedStores;
  QUIRE_CHECK(!marked || store_marks_ != nullptr);
  count(Call::kResolve);
  uffdio_continue request{.range = kernel_range(range), .mode = 0, .mapped = 0};
  if (loads || marked) request.mode |= abi::kContinueModeWp;
  if (wake == Wake::kNo) request.mode |= UFFDIO_CONTINUE_MODE_DONTWAKE;
  const int error = ::ioctl(fd_, UFFDIO_CONTINUE, &request) == 0 ? 0 : errno;
  return done(error, request.mapped, range.size());
}

Done Userfault::protect(std::span<std::byte> range) {
  count(Call::kProtect);
  uffdio_writeprotect request{.range = kernel_range(range), .mode = UFFDIO_WRITEPROTECT_MODE_WP};
  const int error = ::ioctl(fd_, UFFDIO_WRITEPROTECT, &request) == 0 ? 0 : errno;
  return done(error, 0, range.size());
}

Done Userfault::unprotect(std::span<std::byte> range, Wake wake) {
  count(Call::kUnprotect);
  uffdio_writeprotect request{.range = kernel_range(range), .mode = 0};
  if (wake == Wake::kNo) request.mode |= UFFDIO_WRITEPROTECT_MODE_DONTWAKE;
  const int error = ::ioctl(fd_, UFFDIO_WRITEPROTECT, &request) == 0 ? 0 : errno;
  return done(error, 0, range.size());
}

Done Userfault::poison(std::span<std::byte> range, Wake wake) {
  if (!has(Feature::kPoison)) return {0, Stop::kUnsupported};
  count(Call::kPoison);
  abi::Poison request{.range = kernel_range(range), .mode = 0, .updated = 0};
  if (wake == Wake::kNo) request.mode |= abi::kPoisonModeDontWake;
  const int error = ::ioctl(fd_, abi::kPoison, &request) == 0 ? 0 : errno;
  // It needs no page of the memfd, but says the same of an offset that is beyond its size.
  return done(error == EFAULT ? EINVAL : error, request.updated, range.size());
}

void Userfault::wake(std::span<std::byte> range) {
  count(Call::kWake);
  uffdio_range request = kernel_range(range);
  QUIRE_CHECK(::ioctl(fd_, UFFDIO_WAKE, &request) == 0);
}

std::size_t Userfault::next(std::span<Fault> faults) {
  std::array<uffd_msg, kMessagesMax> messages;
  const std::size_t wanted = std::min(faults.size(), messages.size());
  count(Call::kRead);
  const ssize_t got = ::read(fd_, messages.data(), wanted * sizeof(uffd_msg));
  if (got < 0) {
    QUIRE_CHECK(errno == EAGAIN || errno == EINTR);
    return 0;
  }
  const std::size_t read = static_cast<std::size_t>(got) / sizeof(uffd_msg);
  std::size_t taken = 0;
  for (const uffd_msg& message : std::span(messages).first(read)) {
    // Other events have to be asked for.
    if (message.event == UFFD_EVENT_PAGEFAULT) faults[taken++] = fault_of(message);
  }
  return taken;
}

}  // namespace quire::map
