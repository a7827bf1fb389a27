#include "sync/resize_file.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace quire::sync {

std::error_code resize_file(int fd, std::uint64_t bytes) noexcept {
  sigset_t exceeded;
  sigemptyset(&exceeded);
  sigaddset(&exceeded, SIGXFSZ);
  sigset_t before;
  ::pthread_sigmask(SIG_BLOCK, &exceeded, &before);
  // One that waits already is the program's. None does where it was not blocked.
  sigset_t pending;
  sigemptyset(&pending);
  if (sigismember(&before, SIGXFSZ) == 1) ::sigpending(&pending);
  const int error = ::ftruncate(fd, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
  if (error == EFBIG && sigismember(&pending, SIGXFSZ) == 0) {
    // It was sent to this thread alone; to none, if it is ignored.
    const timespec at_once = {};
    while (::sigtimedwait(&exceeded, nullptr, &at_once) < 0 && errno == EINTR) {
    }
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return {error, std::generic_category()};
}

}  // namespace quire::sync
