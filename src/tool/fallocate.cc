#include "tool/fallocate.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>

#include "mount/control.h"
#include "store/fd.h"
#include "tool/message.h"
#include "tool/units.h"

namespace quire::tool {

namespace {

namespace control = mount::control;

bool shifts(Cut kind) {
  return kind == Cut::kInsert || kind == Cut::kCollapse;
}

std::string_view to_do(Cut kind) {
  switch (kind) {
    case Cut::kPunch:
      return "punch a hole into";
    case Cut::kZero:
      return "zero a part of";
    case Cut::kInsert:
      return "insert into";
    case Cut::kCollapse:
      return "collapse a part of";
  }
  return "cut";
}

// 0 or an errno.
int cut(int fd, const FallocateArguments& asked) {
  if (shifts(asked.kind)) {
    // FUSE has no way for these modes of fallocate(2).
    control::Shift shift = {};
    shift.version = control::kVersion;
    shift.kind = asked.kind == Cut::kInsert ? control::kInsert : control::kCollapse;
    shift.offset = asked.offset;
    shift.length = asked.length_bytes;
    return ::ioctl(fd, control::kShift, &shift) < 0 ? errno : 0;
  }
  const int mode = asked.kind == Cut::kPunch ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
                   : asked.keep_size         ? FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE
                                             : FALLOC_FL_ZERO_RANGE;
  return ::fallocate(fd, mode, static_cast<off_t>(asked.offset),
                     static_cast<off_t>(asked.length_bytes)) < 0
             ? errno
             : 0;
}

std::string why(int error, const FallocateArguments& asked, int fd) {
  struct stat stat = {};
  const bool known = fd >= 0 && ::fstat(fd, &stat) == 0;
  if (fd >= 0) {
    switch (error) {
      case ENOTTY:
      case ENOSYS:
        return "it does not lie in a mount of Quire";
      case EPROTONOSUPPORT:
        return "the daemon of its mount is of another version of Quire; use the quire that mounted "
               "it";
      case EOPNOTSUPP:
        return "the file system of the mount's source cannot do that; nothing was changed";
      case EBUSY:
        return "a program uses a mapping of it just now; nothing was changed, try again";
      case EINVAL:
        if (!shifts(asked.kind) || !known) break;
        return fmt::format(
            "OFFSET and LENGTH must be multiples of 4096, or of the source's block if that is "
            "larger, and "
            "{} before the end of the file, which has {} bytes; nothing was changed",
            asked.kind == Cut::kInsert ? "OFFSET" : "OFFSET + LENGTH", stat.st_size);
      case EIO:
        if (!shifts(asked.kind)) break;
        return "the source failed; if that was while it moved the bytes, every use of the file "
               "fails until "
               "all programs have closed it: look then what it holds";
      default:
        break;
    }
  }
  return store::errno_code(error).message();
}

}  // namespace

int fallocate(const FallocateArguments& arguments) {
  const std::string name = printable(arguments.file);
  const store::Fd file(::open(arguments.file.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
  if (!file.ok()) return fail(fmt::format("cannot open {}: {}", name, why(errno, arguments, -1)));
  if (const int error = cut(file.get(), arguments); error != 0) {
    return fail(fmt::format("cannot {} {}: {}", to_do(arguments.kind), name,
                            why(error, arguments, file.get())));
  }
  // So that the kernel knows the new size at once, and mappings with it.
  struct stat stat = {};
  static_cast<void>(::fstat(file.get(), &stat));
  return kSuccess;
}

}  // namespace quire::tool
