#include "tool/ask_mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "store/fd.h"
#include "tool/units.h"

namespace quire::tool {

namespace {

using mount::control::Files;
using mount::control::Stats;

int open_directory(const std::string& path) {
  return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

// In the child alone: there is no way back.
bool become(uid_t uid, gid_t gid) {
  return ::setgroups(0, nullptr) == 0 && ::setresgid(gid, gid, gid) == 0 &&
         ::setresuid(uid, uid, uid) == 0;
}

store::Fd open_root(const Mount& mount) {
  store::Fd root(open_directory(mount.mountpoint));
  if (!root.ok() && errno == EACCES && ::geteuid() == 0 && mount.owner_uid && mount.owner_gid &&
      become(*mount.owner_uid, *mount.owner_gid)) {
    return store::Fd(open_directory(mount.mountpoint));
  }
  return root;
}

template <class Answer>
Result<Answer> ask(const Mount& mount, unsigned long request) {
  const auto question = std::make_unique<Answer>();
  question->version = mount::control::kVersion;
  auto call = start_asking(mount, request, std::as_bytes(std::span(question.get(), 1)), false);
  if (!call) return call.error();
  if (!call->wait(kAnswerMax)) return ask_error(mount, ETIMEDOUT);
  if (call->error() != 0) return ask_error(mount, call->error());
  auto answer = answer_as<Answer>(*call);
  if (auto version = check_version(mount, answer.version); !version) return version.error();
  return answer;
}

}  // namespace

Result<BoundedCall> start_asking(const Mount& mount, unsigned long request,
                                 std::span<const std::byte> question, bool sync_first) {
  return BoundedCall::start(question.size(), [&](std::span<std::byte> answer) {
    const store::Fd root = open_root(mount);
    if (!root.ok()) return errno;
    // An error shows in the answer, with the file it belongs to.
    if (sync_first) static_cast<void>(::syncfs(root.get()));
    std::ranges::copy(question, answer.begin());
    return ::ioctl(root.get(), request, answer.data()) < 0 ? errno : 0;
  });
}

Error ask_error(const Mount& mount, int error) {
  const std::string where = printable(mount.mountpoint);
  const std::error_code code = store::errno_code(error);
  switch (error) {
    case ETIMEDOUT:
      return {code,
              fmt::format("the daemon of {} does not answer. {}", where, how_to_abort(mount))};
    case ENOTCONN:
    case ECONNABORTED:
      return {code, fmt::format("the daemon of {} has ended; unmount with: quire unmount {}", where,
                                where)};
    case EACCES:
    case EPERM:
      return {code, fmt::format("{} belongs to the user with the number {}, who alone may ask, and "
                                "root",
                                where, mount.owner_uid.value_or(0))};
    case EPROTO:
    case EPROTONOSUPPORT:
      return {code,
              fmt::format("the daemon of {} is of another version of Quire; use the quire that "
                          "mounted it",
                          where)};
    case ENOTTY:
    case ENOSYS:
      return {code, fmt::format("{} does not answer as a mount of Quire", where)};
    default:
      return {code, fmt::format("cannot ask the daemon of {}: {}", where, code.message())};
  }
}

Status check_version(const Mount& mount, std::uint32_t version) {
  if (version != mount::control::kVersion) return ask_error(mount, EPROTO);
  return {};
}

Result<Stats> ask_stats(const Mount& mount) {
  return ask<Stats>(mount, mount::control::kStats);
}

Result<Files> ask_files(const Mount& mount) {
  return ask<Files>(mount, mount::control::kFiles);
}

}  // namespace quire::tool
