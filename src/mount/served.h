// What must not be served: a source that is, contains or lies in one that is served already, and a source that
// contains its own mount point.
//
// No other mount is entered to find out: a daemon that hangs would hang this one. Directories are compared by what they
// are, not by their paths: from each upwards to the root, through mounts. Other Quires are found in the table of mounts
// that this process sees; one in another mount namespace is not, but for the lock on the directory itself
// (store/host_directory.h).
//
// Who calls: the server, before it mounts and again after, so that of two that begin together at least one
// gives way. Functions of the file system alone.
#ifndef QUIRE_MOUNT_SERVED_H_
#define QUIRE_MOUNT_SERVED_H_

#include <string>
#include <vector>

#include "quire/result.h"

namespace quire::mount {

// A line of /proc/self/mountinfo, as far as it matters here.
struct MountLine {
  std::string device;  // MAJOR:MINOR
  std::string mountpoint;
  std::string type;
  std::string source;
};

// Reads the table of mounts: lines of proc_pid_mountinfo(5), whose octal escapes are undone.
std::vector<MountLine> parse_mounts(const std::string& table);
Result<std::vector<MountLine>> mounts();

// True if `inner` is the directory `outer` or lies below it, wherever names and mounts lead.
bool lies_in(const std::string& inner, const std::string& outer);

// Errors: Errc::kInUse, EINVAL, each saying what is in the way. `except`: the mount point of our own.
Status check_served(const std::string& source, const std::string& mountpoint,
                    const std::vector<MountLine>& table, const std::string& except = {});
// What is mounted below the source, which the mount will not show.
std::vector<std::string> submounts(const std::string& source, const std::vector<MountLine>& table);

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_SERVED_H_
