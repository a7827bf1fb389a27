// The do-nothing daemon: what a FUSE mount costs when nothing is behind it. Same kernel mode as Quire's (its
// INIT, direct IO with shared mappings, its timeouts and sizes), no cache, no locks of its own on the way of
// a READ or WRITE, and for each request on names the fewest system calls that serve it.
//
// Each of its threads reads a request and serves it; nothing is queued.
//
// It is a yardstick and no file system: nodes are paths beneath the source, so a directory that is renamed
// takes nothing with it; hard links, locks and the like are not served.
#ifndef QUIRE_BENCH_MOUNT_BENCH_DO_NOTHING_H_
#define QUIRE_BENCH_MOUNT_BENCH_DO_NOTHING_H_

#include <cstddef>
#include <functional>
#include <string>

namespace quire::bench {

struct DoNothingOptions {
  std::string source;
  std::string mountpoint;
  unsigned threads = 2;
  // A file of the source's root whose bytes are held in memory: its READs are answered from there, without
  // a copy of the daemon's own, and its WRITEs go there. "": the data of all files goes to the source.
  std::string in_memory;
};

// Mounts, calls `mounted` with what detaches the mount again, and serves until that. "" or what went wrong.
std::string serve_nothing(const DoNothingOptions& options,
                          const std::function<void(std::function<void()> end)>& mounted);

}  // namespace quire::bench

#endif  // QUIRE_BENCH_MOUNT_BENCH_DO_NOTHING_H_
