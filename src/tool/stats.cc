#include "tool/stats.h"

#include <signal.h>
#include <time.h>

#include <optional>
#include <string>
#include <system_error>

#include "tool/ask_mount.h"
#include "tool/format_stats.h"
#include "tool/message.h"
#include "tool/mount_table.h"

namespace quire::tool {

namespace {

constexpr int kLinesUnderHeading = 20;

int write_out(const std::string& text) {
  return put(text) ? kSuccess : fail("cannot write to standard output");
}

// The signals that end --watch, blocked: a second is waited for by waiting for one of them.
class Second {
 public:
  Second() {
    ::sigemptyset(&ends_);
    ::sigaddset(&ends_, SIGINT);
    ::sigaddset(&ends_, SIGTERM);
    ::sigaddset(&ends_, SIGHUP);
    ::sigprocmask(SIG_BLOCK, &ends_, nullptr);
  }
  // False if a signal asked for the end.
  bool wait() const {
    const struct timespec second = {1, 0};
    return ::sigtimedwait(&ends_, nullptr, &second) < 0;
  }

 private:
  sigset_t ends_;
};

int watch(const Mount& mount, mount::control::Stats before) {
  const Second second;
  for (int line = 0;; ++line) {
    const bool heading = line % kLinesUnderHeading == 0;
    if (!second.wait()) return kSuccess;
    const auto now = ask_stats(mount);
    if (!now) {
      // Unmounted, and perhaps mounted again.
      const auto there = find_quire_mount(mount.mountpoint);
      if (!there || there->id != mount.id || now.code() == std::errc::not_connected) {
        say("no longer mounted");
        return kSuccess;
      }
      return fail(now.error().context);
    }
    const int status = write_out((heading ? watch_heading() : "") + watch_line(before, *now));
    if (status != kSuccess) return status;
    before = *now;
  }
}

}  // namespace

int stats(const StatsArguments& arguments) {
  const auto mount = find_quire_mount(arguments.mountpoint);
  if (!mount) return fail(mount.error().context);
  const auto numbers = ask_stats(*mount);
  if (!numbers) return fail(numbers.error().context);
  if (arguments.watch) return watch(*mount, *numbers);

  MountReport report{mount->source, mount->mountpoint, *numbers, std::nullopt};
  if (arguments.prometheus) return write_out(stats_prometheus(report));
  if (const auto files = ask_files(*mount)) {
    report.dirty = MountReport::Dirty{parse_unwritten(text_of(*files)), files->total};
  }
  return write_out(arguments.json ? stats_json(report) : stats_text(report));
}

}  // namespace quire::tool
