#include "tool/write_back.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <span>

#include "quire/limits.h"
#include "sync/clock.h"
#include "tool/ask_mount.h"
#include "tool/message.h"
#include "tool/units.h"

namespace quire::tool {

namespace {

using mount::control::Stats;
using mount::control::WriteBack;

constexpr std::chrono::seconds kLookEvery{5};
// Longer than the daemon takes to give a store up that does not answer.
constexpr std::chrono::seconds kStandstillMax{120};
static_assert(kStandstillMax > 2 * limits::kStoreSilenceMax);

// What changes while a daemon writes.
std::array<std::uint64_t, 6> progress(const Stats& stats) {
  return {stats.written_pages, stats.write_requests,  stats.writeback_errors,
          stats.dirty_pages,   stats.writeback_pages, stats.kernel_recalls};
}

// False if the daemon got no further for too long.
bool wait_while_it_gets_on(const Mount& mount, BoundedCall& call) {
  std::array<std::uint64_t, 6> last = {};
  auto moved = sync::Clock::now();
  while (!call.wait(kLookEvery)) {
    const auto stats = ask_stats(mount);
    if (stats) {
      say(fmt::format(
          "{} still to be written",
          human_bytes((stats->dirty_pages + stats->writeback_pages) * limits::kPageBytes)));
      if (progress(*stats) != last) {
        last = progress(*stats);
        moved = sync::Clock::now();
      }
    } else {
      say(fmt::format("still waiting; {}", stats.error().context));
    }
    if (sync::Clock::now() - moved > kStandstillMax) return call.wait({});
  }
  return true;
}

}  // namespace

Result<std::unique_ptr<WriteBack>> write_back(const Mount& mount, bool discard,
                                              const std::string& socket) {
  auto question = std::make_unique<WriteBack>();
  question->version = mount::control::kVersion;
  question->flags = mount::control::kUnmounting | (discard ? mount::control::kDiscard : 0);
  question->length = static_cast<std::uint32_t>(socket.size());
  std::ranges::copy(socket, std::begin(question->text));

  auto call = start_asking(mount, mount::control::kWriteBack,
                           std::as_bytes(std::span(question.get(), 1)), true);
  if (!call) return call.error();
  if (!wait_while_it_gets_on(mount, *call)) {
    return Error(std::errc::timed_out,
                 fmt::format("the daemon of {} has written nothing for two minutes; nothing was "
                             "unmounted. {}",
                             printable(mount.mountpoint), how_to_abort(mount)));
  }
  if (call->error() != 0) return ask_error(mount, call->error());
  *question = answer_as<WriteBack>(*call);
  if (auto version = check_version(mount, question->version); !version) return version.error();
  return question;
}

}  // namespace quire::tool
