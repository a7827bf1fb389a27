#include "tool/unmount.h"

#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include "mount/control.h"
#include "tool/ask_mount.h"
#include "tool/detach.h"
#include "tool/last_word.h"
#include "tool/message.h"
#include "tool/mount_table.h"
#include "tool/units.h"
#include "tool/unwritten.h"
#include "tool/write_back.h"

namespace quire::tool {

namespace {

using mount::control::Ended;
using mount::control::WriteBack;

constexpr std::chrono::seconds kSayEvery{10};
constexpr int kEndAttemptsMax = 30;
// How long the daemon may take to end after its last word.
constexpr std::chrono::seconds kGoneWaitMax{10};

void list(std::string_view text, std::uint64_t total) {
  const std::string lines = describe_unwritten(parse_unwritten(text), total);
  std::fwrite(lines.data(), 1, lines.size(), stderr);
}

int refuse(const Mount& mount, const WriteBack& written) {
  const std::string where = printable(mount.mountpoint);
  if (written.total == 0) {
    say(fmt::format("not everything can be written: {}",
                    std::generic_category().message(written.error)));
  } else {
    say(fmt::format("{} cannot be written to {}:", counted(written.total, "file"),
                    printable(mount.source)));
    list(text_of(written), written.total);
  }
  return fail(
      fmt::format("nothing was unmounted; to give this data up: quire unmount --discard {}", where),
      kUnwritten);
}

// The daemon is gone, or goes: until it has said what it could not write.
int wait_for_the_end(const Mount& mount, LastWord& word, std::uint32_t daemon) {
  const auto ended = std::make_unique<Ended>();
  for (int i = 0; i < kEndAttemptsMax; ++i) {
    switch (word.wait(kSayEvery, *ended)) {
      case LastWord::Outcome::kTold:
        // So that what comes next may mount the source again.
        (void)word.wait_gone(kGoneWaitMax);
        if (ended->lost == 0) return kSuccess;
        say(fmt::format(
            "{} unmounted; the data of {} did not reach {}:", printable(mount.mountpoint),
            counted(ended->lost, "file"), printable(mount.source)));
        list(text_of(*ended), ended->lost);
        return kUnwritten;
      case LastWord::Outcome::kGone:
        return fail(fmt::format("{} is unmounted, but its daemon (process {}) ended without saying "
                                "that all was written; what was written to it since the last sync "
                                "may be lost",
                                printable(mount.mountpoint), daemon),
                    kUnwritten);
      case LastWord::Outcome::kWaiting:
        say(fmt::format(
            "{} is unmounted; waiting for its daemon (process {}) to write what is left",
            printable(mount.mountpoint), daemon));
    }
  }
  return fail(fmt::format("gave up waiting for process {}; do not use {} until it has ended",
                          daemon, printable(mount.source)));
}

}  // namespace

int unmount(const UnmountArguments& arguments) {
  const auto mount = find_quire_mount(arguments.mountpoint);
  if (!mount) return fail(mount.error().context);
  auto word = LastWord::listen();
  if (!word) return fail(word.error().context);

  const auto written = write_back(*mount, arguments.discard, word->name());
  const bool dead =
      written.code() == std::errc::not_connected || written.code() == std::errc::connection_aborted;
  if (!written && !dead) return fail(written.error().context);
  if (written && ((*written)->total > 0 || (*written)->error != 0) && !arguments.discard) {
    return refuse(*mount, **written);
  }

  if (written) word->watch(static_cast<pid_t>((*written)->daemon_pid));
  if (const auto detached = detach(*mount); !detached) return fail(detached.error().context);
  if (dead) {
    say(
        fmt::format("{} is unmounted; its daemon had ended before, and what it had not written is "
                    "lost",
                    printable(mount->mountpoint)));
    return kSuccess;
  }
  return wait_for_the_end(*mount, *word, (*written)->daemon_pid);
}

}  // namespace quire::tool
