#include "tool/mount_table.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <system_error>

#include "tool/parse_number.h"
#include "tool/text_file.h"
#include "tool/units.h"

namespace quire::tool {

namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// The kernel writes blanks, tabs, newlines and backslashes as \ooo.
std::string unescape(std::string_view text) {
  const auto octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) && octal(text[i + 2]) &&
        octal(text[i + 3])) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

template <class Number>
std::optional<Number> option(std::string_view options, std::string_view name) {
  for (const std::string_view one : split(options, ',')) {
    if (one.substr(0, name.size()) == name) return parse_number<Number>(one.substr(name.size()));
  }
  return std::nullopt;
}

// "ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS OPTIONAL... - TYPE SOURCE OPTIONS"
std::optional<Mount> parse_line(std::string_view line) {
  const std::vector<std::string_view> fields = split(line, ' ');
  const auto dash = std::find(fields.begin() + std::min<std::ptrdiff_t>(6, std::ssize(fields)),
                              fields.end(), "-");
  if (fields.end() - dash < 4) return std::nullopt;
  const std::size_t colon = fields[2].find(':');
  const auto id = parse_number<std::uint64_t>(fields[0]);
  if (!id || colon == std::string_view::npos) return std::nullopt;
  const auto minor = parse_number<unsigned>(fields[2].substr(colon + 1));
  if (!minor) return std::nullopt;
  return Mount{*id,
               *minor,
               unescape(fields[4]),
               std::string(dash[1]),
               unescape(dash[2]),
               option<uid_t>(dash[3], "user_id="),
               option<gid_t>(dash[3], "group_id=")};
}

Result<std::string> absolute(const std::string& path) {
  struct Free {
    void operator()(char* text) const { std::free(text); }
  };
  const std::unique_ptr<char, Free> resolved(::realpath(path.c_str(), nullptr));
  if (resolved != nullptr) return std::string(resolved.get());
  const std::error_code code(errno, std::generic_category());
  return Error(code, fmt::format("{}: {}", printable(path), code.message()));
}

// What is mounted last hides what was mounted there before.
const Mount* mounted_at(const std::vector<Mount>& all, const std::string& path) {
  const auto found = std::find_if(all.rbegin(), all.rend(),
                                  [&](const Mount& mount) { return mount.mountpoint == path; });
  return found == all.rend() ? nullptr : &*found;
}

}  // namespace

std::vector<Mount> parse_mounts(std::string_view mountinfo) {
  std::vector<Mount> mounts;
  for (const std::string_view line : split(mountinfo, '\n')) {
    if (auto mount = parse_line(line)) mounts.push_back(std::move(*mount));
  }
  return mounts;
}

std::vector<Mount> mounts() {
  return parse_mounts(text_of_file("/proc/self/mountinfo"));
}

Result<std::string> resolve_mountpoint(const std::string& path) {
  // Its name is looked up in the directory above; only if that is no mount point it may be a link.
  std::string plain = path;
  while (plain.size() > 1 && plain.back() == '/') plain.pop_back();
  const std::size_t slash = plain.rfind('/');
  const std::string name = slash == std::string::npos ? plain : plain.substr(slash + 1);
  if (!name.empty() && name != "." && name != "..") {
    const std::string above = slash == std::string::npos ? "." : plain.substr(0, slash + 1);
    if (auto directory = absolute(above)) {
      std::string candidate = (*directory == "/" ? "" : *directory) + '/' + name;
      if (mounted_at(mounts(), candidate) != nullptr) return candidate;
    }
  }
  return absolute(path);
}

Result<Mount> find_quire_mount(const std::string& path) {
  const auto mountpoint = resolve_mountpoint(path);
  if (!mountpoint) return mountpoint.error();
  const std::vector<Mount> all = mounts();
  const Mount* const mount = mounted_at(all, *mountpoint);
  if (mount == nullptr) {
    return Error(std::errc::invalid_argument,
                 fmt::format("nothing is mounted on {}", printable(*mountpoint)));
  }
  if (mount->type != kMountType) {
    return Error(std::errc::invalid_argument,
                 fmt::format("{} is a mount of type {}, not one of Quire's", printable(*mountpoint),
                             printable(mount->type)));
  }
  return *mount;
}

std::vector<std::string> mounts_below(const std::vector<Mount>& mounts,
                                      const std::string& directory) {
  const std::string prefix = directory == "/" ? directory : directory + '/';
  std::vector<std::string> below;
  for (const Mount& mount : mounts) {
    if (mount.mountpoint.size() > prefix.size() &&
        mount.mountpoint.compare(0, prefix.size(), prefix) == 0) {
      below.push_back(mount.mountpoint);
    }
  }
  std::sort(below.begin(), below.end());
  below.erase(std::unique(below.begin(), below.end()), below.end());
  return below;
}

std::string how_to_abort(const Mount& mount) {
  return fmt::format(
      "To end a mount whose daemon does not answer: echo 1 >/sys/fs/fuse/connections/{}/abort (if "
      "that is not there: mount -t fusectl none /sys/fs/fuse/connections), then umount {}. Data "
      "that "
      "was not synced is lost.",
      mount.minor, printable(mount.mountpoint));
}

}  // namespace quire::tool
