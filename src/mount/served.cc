#include "mount/served.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include "quire/error.h"
#include "store/fd.h"

namespace quire::mount {
namespace {

constexpr int kDepthMax = 4096;

using Identity = std::pair<dev_t, ino_t>;

std::optional<Identity> identity(int fd) {
  struct stat s = {};
  if (::fstat(fd, &s) != 0) return std::nullopt;
  return Identity(s.st_dev, s.st_ino);
}

// "\040" and its like.
std::string unescaped(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](std::size_t at) {
      return at < text.size() && text[at] >= '0' && text[at] <= '7' ? text[at] - '0' : -1;
    };
    if (text[i] == '\\' && digit(i + 1) >= 0 && digit(i + 2) >= 0 && digit(i + 3) >= 0) {
      result += static_cast<char>(digit(i + 1) * 64 + digit(i + 2) * 8 + digit(i + 3));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

}  // namespace

std::vector<MountLine> parse_mounts(const std::string& table) {
  std::vector<MountLine> result;
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    // id parent device root MOUNTPOINT options [optional...] - TYPE SOURCE superoptions
    std::istringstream words(line);
    std::vector<std::string> all;
    for (std::string word; words >> word;) all.push_back(word);
    std::size_t dash = 6;
    while (dash < all.size() && all[dash] != "-") ++dash;
    if (all.size() < 5 || dash + 2 >= all.size()) continue;
    result.push_back({all[2], unescaped(all[4]), all[dash + 1], unescaped(all[dash + 2])});
  }
  return result;
}

Result<std::vector<MountLine>> mounts() {
  std::ifstream file("/proc/self/mountinfo");
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return Error(std::errc::io_error, "reading /proc/self/mountinfo");
  return parse_mounts(text.str());
}

bool lies_in(const std::string& inner, const std::string& outer) {
  constexpr int how = O_PATH | O_DIRECTORY | O_CLOEXEC;
  const store::Fd target(::open(outer.c_str(), how));
  store::Fd at(::open(inner.c_str(), how));
  if (!target.ok() || !at.ok()) return false;
  const auto wanted = identity(target.get());
  for (int depth = 0; depth < kDepthMax; ++depth) {
    const auto here = identity(at.get());
    if (!here || !wanted) return false;
    if (*here == *wanted) return true;
    store::Fd up(::openat(at.get(), "..", how));
    if (!up.ok()) return false;
    const auto above = identity(up.get());
    if (!above || *above == *here) return false;
    at = std::move(up);
  }
  return false;
}

Status check_served(const std::string& source, const std::string& mountpoint,
                    const std::vector<MountLine>& table, const std::string& except) {
  if (except.empty() && lies_in(mountpoint, source)) {
    return Error(std::errc::invalid_argument,
                 fmt::format("{} lies in {}, which it would hide from itself; choose a mount point "
                             "outside of the source",
                             mountpoint, source));
  }
  struct stat s = {};
  const std::string device = ::stat(source.c_str(), &s) == 0
                                 ? fmt::format("{}:{}", major(s.st_dev), minor(s.st_dev))
                                 : std::string();
  for (const MountLine& line : table) {
    if (line.type != "fuse.quire") continue;
    if (line.mountpoint == mountpoint) {
      if (mountpoint == except) continue;
      return Error(Errc::kInUse, fmt::format("{} is mounted on {} already; unmount it first: quire "
                                             "unmount {}",
                                             line.source, mountpoint, mountpoint));
    }
    const char* how = nullptr;
    if (line.device == device) {
      how = "lies in what is mounted on";
    } else if (lies_in(source, line.source)) {
      how = lies_in(line.source, source) ? "is" : "lies in";
    } else if (lies_in(line.source, source)) {
      how = "contains";
    }
    if (how == nullptr) continue;
    return Error(
        Errc::kInUse,
        fmt::format("{} {} {}, which Quire serves on {}; unmount that first (quire unmount "
                    "{}), or use it",
                    source, how, line.device == device ? line.mountpoint : line.source,
                    line.mountpoint, line.mountpoint));
  }
  return {};
}

std::vector<std::string> submounts(const std::string& source, const std::vector<MountLine>& table) {
  std::vector<std::string> result;
  for (const MountLine& line : table) {
    // A mount has its own "..": what lies above it tells.
    if (line.mountpoint == "/" || line.mountpoint == source) continue;
    const std::string above = line.mountpoint.substr(0, line.mountpoint.rfind('/') + 1);
    if (lies_in(above, source)) result.push_back(line.mountpoint);
  }
  return result;
}

}  // namespace quire::mount
