// What statx(2) says, as the engine's stores say it.
#ifndef QUIRE_MOUNT_OBJECT_STAT_H_
#define QUIRE_MOUNT_OBJECT_STAT_H_

#include <fcntl.h>
#include <sys/stat.h>

#include <optional>

#include "quire/store.h"

namespace quire::mount {

inline ObjectStat object_stat(const struct statx& stat) {
  ObjectStat result;
  result.size_bytes = stat.stx_size;
  result.allocated_bytes = stat.stx_blocks * 512;
  result.atime = {stat.stx_atime.tv_sec, stat.stx_atime.tv_nsec};
  result.mtime = {stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec};
  result.ctime = {stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec};
  result.mode = stat.stx_mode;
  result.links = stat.stx_nlink;
  return result;
}

// Nothing if it fails, which it does not for an open descriptor of a file system that works.
inline std::optional<struct statx> stat_descriptor(int fd) {
  struct statx stat = {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stat) != 0) return std::nullopt;
  return stat;
}

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_OBJECT_STAT_H_
