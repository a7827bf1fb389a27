#include "tool/detach.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>

#include "tool/bounded_call.h"
#include "tool/units.h"

namespace quire::tool {

namespace {

// The kernel writes mapped pages back while it unmounts.
constexpr std::chrono::seconds kDetachMax{60};
constexpr std::size_t kSaidMaxBytes = 2048;

int by_umount(const Mount& mount) {
  return ::umount2(mount.mountpoint.c_str(), UMOUNT_NOFOLLOW) == 0 ? 0 : errno;
}

// `said` takes what fusermount3 wrote to its standard error.
int by_fusermount(const Mount& mount, std::span<std::byte> said) {
  std::array<int, 2> ends = {};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno;
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  std::array<std::string, 4> words = {"fusermount3", "-u", "--", mount.mountpoint};
  const std::array<char*, 5> arguments = {words[0].data(), words[1].data(), words[2].data(),
                                          words[3].data(), nullptr};
  pid_t child = -1;
  const int error =
      ::posix_spawnp(&child, "fusermount3", &actions, nullptr, arguments.data(), ::environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (error != 0) return error;
  std::size_t length = 0;
  while (length + 1 < said.size()) {
    const ssize_t got = ::read(ends[0], said.data() + length, said.size() - 1 - length);
    if (got == 0 || (got < 0 && errno != EINTR)) break;
    if (got > 0) length += static_cast<std::size_t>(got);
  }
  ::close(ends[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  const void* const text = said.data();
  return detach_error({static_cast<const char*>(text), length});
}

bool is_there(const Mount& mount) {
  const auto found = find_quire_mount(mount.mountpoint);
  return found && found->id == mount.id;
}

Status detach_failed(const Mount& mount, int error, std::string_view said) {
  if (error == EINVAL && !is_there(mount)) return {};
  const std::string where = printable(mount.mountpoint);
  const std::error_code code = store::errno_code(error);
  switch (error) {
    case EBUSY:
      return Error(code,
                   fmt::format("programs still use {0}, which stays mounted: end them or let them "
                               "leave it, and try again; fuser -vm {0} lists them",
                               where));
    case ETIMEDOUT:
      return Error(code, fmt::format("unmounting {} does not end. {}", where, how_to_abort(mount)));
    case ENOENT:
      return Error(code,
                   fmt::format("cannot unmount {0}: there is no fusermount3 (Debian's package "
                               "fuse3); as root: umount {0}",
                               where));
    default:
      return Error(code, fmt::format("cannot unmount {}: {}", where,
                                     said.empty() ? code.message() : printable(said)));
  }
}

}  // namespace

int detach_error(std::string_view fusermount_said) {
  const auto contains = [&](std::string_view part) {
    return fusermount_said.find(part) != std::string_view::npos;
  };
  if (contains("busy")) return EBUSY;
  return contains("not mounted") || contains("not found in") ? EINVAL : EPERM;
}

Status detach(const Mount& mount) {
  auto call = BoundedCall::start(kSaidMaxBytes, [&](std::span<std::byte> said) {
    if (::geteuid() == 0) {
      if (const int error = by_umount(mount); error != EPERM) return error;
    }
    // An error leaves no answer but itself; what was said is worth more.
    const int error = by_fusermount(mount, said.subspan(sizeof(int)));
    std::memcpy(said.data(), &error, sizeof(error));
    return 0;
  });
  if (!call) return call.error();
  if (!call->wait(kDetachMax)) return detach_failed(mount, ETIMEDOUT, "");
  if (call->error() != 0) return detach_failed(mount, call->error(), "");
  int error = 0;
  std::memcpy(&error, call->answer().data(), sizeof(error));
  if (error == 0) return {};
  const void* const text = call->answer().data() + sizeof(error);
  std::string said = static_cast<const char*>(text);
  while (!said.empty() && said.back() == '\n') said.pop_back();
  return detach_failed(mount, error, said);
}

}  // namespace quire::tool
