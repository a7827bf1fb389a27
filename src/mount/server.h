// Server: a mounted directory and the daemon's side of it, from the checks before the mount to the last
// byte written back.
//
//   start() --> serving --+-- unmounted by somebody -----------------------> ended
//                         +-- stop(): recall, write back, detach ----------> ended
//
// Who calls: the tool, and tests. start() and run() in one thread; stop() from any.
#ifndef QUIRE_MOUNT_SERVER_H_
#define QUIRE_MOUNT_SERVER_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "quire/limits.h"
#include "quire/log.h"
#include "quire/options.h"
#include "quire/result.h"
#include "quire/store_host.h"

namespace quire::mount {

struct Options {
  std::string source;
  std::string mountpoint;
  std::size_t memory_bytes = quire::limits::kMemoryDefaultBytes;
  // Where writers wait. 0: the cache's own default.
  std::size_t dirty_max_bytes = 0;
  HostStoreOptions::Engine engine = HostStoreOptions::Engine::kAuto;
  // Which lock every file uses.
  Locking locking = CacheOptions().locking;
  // Other users may enter; the kernel checks permissions. Off: only who mounted, not even root.
  bool allow_other = false;
  // Files can be mapped shared, where the kernel can (6.6 and later).
  bool shared_mmap = true;
  // Unwritten data is written when it gets this old.
  std::chrono::milliseconds dirty_age = quire::limits::kDirtyAgeDefault;
  LogFunction log = {};
  // For tests: called with each request as the kernel sent it, by the worker that is about to serve it.
  std::function<void(std::span<const std::byte>)> on_request = {};
};

// Why a mount ended, and what it could not bring to the source.
struct Ended {
  bool stopped = false;           // by stop()
  std::vector<std::string> lost;  // a line for each file: its path and the error
};

class Server {
 public:
  // Mounts. Everything that can be wrong is said here, before or after the mount is made; then nothing is
  // left mounted. No thread has been started before: a program that wants to be a daemon forks before it
  // calls this. Blocks signals in the threads that it starts.
  static Result<std::unique_ptr<Server>> start(const Options& options);
  // REQUIRES: run() has returned, or was never called.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Serves until the mount has ended, and everything is written back that can be.
  Ended run();
  // Ends the mount: what the kernel holds is recalled, all is written back, the mount point is detached.
  // Returns at once; run() returns when it is done. Programs that still have files open there get ENOTCONN.
  void stop();

  // Files can be mapped shared.
  bool shared_mmap() const;

  class Impl;

 private:
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_SERVER_H_
