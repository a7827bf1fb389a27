// Mounted: a directory served by a daemon of one kind, in a process of its own, for as long as the object lives.
//
// However it ends, the mount goes: the destructor has the daemon unmount, and where that takes too long cuts
// the connection through the kernel's control file system, detaches the mount point and kills the daemon.
// A daemon whose benchmark dies unmounts by itself. RowTimeout does the same for a row that hangs.
#ifndef QUIRE_BENCH_MOUNT_BENCH_MOUNTED_H_
#define QUIRE_BENCH_MOUNT_BENCH_MOUNTED_H_

#include <sys/types.h>

#include <cstddef>
#include <string>

namespace quire::bench {

struct MountSettings {
  enum class Daemon { kQuire, kNothing };
  Daemon daemon = Daemon::kQuire;
  std::string source;     // made if it is not there
  std::string in_memory;  // do-nothing daemon: see do_nothing.h
  unsigned threads = 2;   // do-nothing daemon
  // Quire: 0 for its defaults.
  std::size_t memory_bytes = 0;
  std::size_t dirty_max_bytes = 0;
  bool write_when_old = true;  // false: nothing is written back for its age alone

  // As the table prints them.
  std::string text() const;
};

class Mounted {
 public:
  // Mounts on SOURCE.mounted. Throws NotMeasured, saying what is in the way.
  // REQUIRES: this process has one thread.
  explicit Mounted(const MountSettings& settings);
  ~Mounted();
  Mounted(const Mounted&) = delete;
  Mounted& operator=(const Mounted&) = delete;

  const std::string& path() const { return path_; }
  // User and system time of the daemon so far, in seconds.
  double cpu_seconds() const;

 private:
  const std::string path_;
  pid_t daemon_ = -1;
  int slot_ = -1;  // among what RowTimeout would cut off
};

// Cuts off every mount that is there once the time is over, so that whoever waits in one gets an error.
class RowTimeout {
 public:
  explicit RowTimeout(unsigned seconds);
  ~RowTimeout();
  RowTimeout(const RowTimeout&) = delete;
  RowTimeout& operator=(const RowTimeout&) = delete;
};

}  // namespace quire::bench

#endif  // QUIRE_BENCH_MOUNT_BENCH_MOUNTED_H_
