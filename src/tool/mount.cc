#include "tool/mount.h"

#include <fmt/format.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "mount/server.h"
#include "tool/daemon.h"
#include "tool/end_signals.h"
#include "tool/log.h"
#include "tool/message.h"
#include "tool/mount_table.h"
#include "tool/units.h"

namespace quire::tool {

namespace {

using mount::Ended;
using mount::Options;
using mount::Server;

Result<Options> options_of(const MountArguments& arguments) {
  const auto source = resolve_mountpoint(arguments.source);
  if (!source) return source.error();
  const auto mountpoint = resolve_mountpoint(arguments.mountpoint);
  if (!mountpoint) return mountpoint.error();
  Options options;
  options.source = *source;
  options.mountpoint = *mountpoint;
  options.memory_bytes = arguments.memory_bytes;
  options.dirty_max_bytes = arguments.dirty_max_bytes;
  options.engine = arguments.engine;
  options.locking = arguments.locking;
  options.allow_other = arguments.allow_other;
  options.shared_mmap = arguments.shared_mmap;
  return options;
}

void prepare_process() {
  EndSignals::block();
  // The kernel has taken the caller's umask into account already.
  ::umask(0);
  struct rlimit files = {};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
}

int report_end(Log& log, const Options& options, const Ended& ended) {
  for (const std::string& line : ended.lost) {
    log.write(LogLevel::kError, fmt::format("lost: {}", printable(line)));
  }
  if (ended.lost.empty()) return kSuccess;
  log.write(LogLevel::kError,
            fmt::format("the data of {} did not reach {}", counted(ended.lost.size(), "file"),
                        printable(options.source)));
  return kUnwritten;
}

// Mounts and serves. `mounted` is told once it is there; false from it ends the mount again.
int serve(Options options, Log& log, const std::function<bool(std::string_view)>& mounted) {
  options.log = [&log](LogLevel level, std::string_view text) { log.write(level, text); };
  auto server = Server::start(options);
  if (!server) {
    log.write(LogLevel::kError, server.error().message());
    return kFailure;
  }
  auto signals = EndSignals::start([&](int number) {
    log.write(LogLevel::kInfo,
              fmt::format("SIG{}: writing everything back", ::sigabbrev_np(number)));
    (*server)->stop();
  });
  if (!signals) {
    log.write(LogLevel::kError, signals.error().message());
    (*server)->stop();
    report_end(log, options, (*server)->run());
    return kFailure;
  }
  const bool wanted = mounted(
      fmt::format("{} is mounted on {}", printable(options.source), printable(options.mountpoint)));
  log.stop_copying();
  if (!wanted) (*server)->stop();
  return report_end(log, options, (*server)->run());
}

int serve_in_foreground(const Options& options) {
  prepare_process();
  Log log(Log::Place::kStandardError);
  return serve(options, log, [](std::string_view text) {
    static_cast<void>(put(std::string(text) + '\n'));
    return true;
  });
}

int serve_as_daemon(const Options& options) {
  const int status = Daemon::fork_and_run([&](Daemon& daemon) {
    prepare_process();
    Log log(Log::Place::kSyslog);
    log.copy_to([&](std::string_view text) { daemon.note(text); });
    return serve(options, log, [&](std::string_view text) {
      log.stop_copying();
      return daemon.ready(text);
    });
  });
  return status >= 0 ? status
                     : fail(fmt::format("cannot start a process: {}",
                                        std::generic_category().message(errno)));
}

}  // namespace

int mount(const MountArguments& arguments) {
  const auto options = options_of(arguments);
  if (!options) return fail(options.error().context);
  return arguments.foreground ? serve_in_foreground(*options) : serve_as_daemon(*options);
}

}  // namespace quire::tool
