// The host store: the files of an ordinary directory, in the form that every other program reads.
//
// Files are opened for direct IO where the file system allows it, so that bytes are cached once, in
// Quire; where it does not, they are read and written through the kernel's cache and dropped there.
// One Quire owns a directory tree at a time: a second one is refused with Errc::kInUse. The lock is
// on the directory itself, so a store on a directory above or below it is not noticed.
//
// Paths lead to regular files beneath the directory, through symbolic links too as long as those stay
// beneath it; Errc::kPathEscapes otherwise. What is mounted below the directory, bind mounts included,
// does not belong to the store: EXDEV. Open a store of its own on it. Directories are not made.
//
// What a file needs: Quire reads partial pages before it writes them, so a file that is opened with
// kWrite alone needs permission to be read as well.
//
// Durability of names: the first sync of a file through the open that made it makes its name durable
// too, wherever it has been moved by then. A file that was closed before its first sync, and names that
// other programs made, are left to Cache::sync() and Cache::close(), which sync the file system.
//
// File descriptors: one for the directory, two for the engine. For each open file one, two once a
// request has begun or ended off a multiple of 4096 bytes (the tail of most files); twice as many for
// one that was opened for reading first and for writing later. One more while a new file's name is
// synced.
//
// Threads: "quire-uring" with io_uring (and the kernel's own workers on its behalf, at most `threads`
// of either kind); "quire-io-0" and on, up to `threads`, when they are first needed.
#ifndef QUIRE_STORE_HOST_H_
#define QUIRE_STORE_HOST_H_

#include <memory>
#include <string>

#include "quire/export.h"
#include "quire/log.h"
#include "quire/store.h"

namespace quire {

struct HostStoreOptions {
  enum class Engine {
    kAuto,     // io_uring where the kernel allows it, else threads
    kUring,    // io_uring, or fail
    kThreads,  // a small pool of threads with preadv and pwritev
  };
  Engine engine = Engine::kAuto;
  // Threads of the pool, which syncs, truncates and cuts with either engine. 1 to 64.
  unsigned threads = 4;
  // Direct IO where the file system allows it. Off: always through the kernel's cache.
  bool direct = true;
  LogFunction log = {};
};

// Opens `directory`. Blocks. Errors: ENOENT, ENOTDIR, EACCES, Errc::kInUse, EINVAL for options out of
// range, ENOSYS for Engine::kUring where the kernel refuses it.
QUIRE_EXPORT Result<std::shared_ptr<Store>> open_host_store(const std::string& directory,
                                                            const HostStoreOptions& options = {});

}  // namespace quire

#endif  // QUIRE_STORE_HOST_H_
