// The numbers of a mount as text for people, as JSON and in Prometheus's text format.
//
// Thread-safety: pure functions.
#ifndef QUIRE_TOOL_FORMAT_STATS_H_
#define QUIRE_TOOL_FORMAT_STATS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mount/control.h"
#include "tool/unwritten.h"

namespace quire::tool {

// What there is to show of a mount.
struct MountReport {
  struct Dirty {
    std::vector<UnwrittenFile> files;
    std::uint64_t total = 0;  // also those that are not listed
  };

  std::string source;
  std::string mountpoint;
  mount::control::Stats stats = {};
  std::optional<Dirty> dirty;  // nothing: for the owner's eyes only
};

std::string stats_text(const MountReport& report);
std::string stats_json(const MountReport& report);
// Every sample has the label `mountpoint`, so that the texts of several mounts can be put together.
// Files are not in it.
std::string stats_prometheus(const MountReport& report);

// What `quire stats --watch` shows: a heading, and a line for the time between two looks.
std::string watch_heading();
std::string watch_line(const mount::control::Stats& before, const mount::control::Stats& now);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_FORMAT_STATS_H_
