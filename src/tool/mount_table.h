// The mount table of this process (/proc/self/mountinfo): what is mounted where, without touching what
// is mounted. A dead or hung daemon cannot stop anybody from reading it.
//
// Thread-safety: pure functions of their arguments and the mount table.
#ifndef QUIRE_TOOL_MOUNT_TABLE_H_
#define QUIRE_TOOL_MOUNT_TABLE_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quire/result.h"

namespace quire::tool {

// The type under which the kernel lists Quire's mounts.
inline constexpr std::string_view kMountType = "fuse.quire";

struct Mount {
  std::uint64_t id = 0;
  unsigned minor = 0;  // of the device number; of a FUSE mount also the number of its connection
  std::string mountpoint;  // absolute
  std::string type;
  std::string source;
  std::optional<uid_t> owner_uid;  // of a FUSE mount: who may enter
  std::optional<gid_t> owner_gid;
};

// In the order of mounting. Lines that make no sense are left out.
std::vector<Mount> parse_mounts(std::string_view mountinfo);
std::vector<Mount> mounts();

// The absolute path of what may be a mount point: links are followed, but what is mounted there is
// asked nothing.
Result<std::string> resolve_mountpoint(const std::string& path);

// Quire's mount at `path`. Errors say what is there instead.
Result<Mount> find_quire_mount(const std::string& path);

// Mount points below the directory, an absolute path without links.
std::vector<std::string> mounts_below(const std::vector<Mount>& mounts,
                                      const std::string& directory);

// How to end a mount whose daemon does not answer, in words.
std::string how_to_abort(const Mount& mount);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_MOUNT_TABLE_H_
