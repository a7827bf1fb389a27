// The host store: the files of an ordinary directory, in the form that every other program reads.
//
// Files are opened for direct IO where the file system allows it, so that bytes are cached once, in
// Quire; where it does not, they are read and written through the kernel's cache and dropped there.
// One Quire owns a directory tree at a time: a second one is refused with Errc::kInUse.
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
  // Threads of the pool. 1 to 64.
  unsigned threads = 4;
  // Direct IO where the file system allows it. Off: always through the kernel's cache.
  bool direct = true;
  LogFunction log = {};
};

// Opens `directory`. Blocks. Errors: ENOENT, ENOTDIR, EACCES, Errc::kInUse, EINVAL for options out of
// range, ENOSYS for Engine::kUring where the kernel refuses it.
QUIRE_EXPORT Result<std::shared_ptr<Store>> open_host_store(const std::string& directory,
                                                            HostStoreOptions options = {});

}  // namespace quire

#endif  // QUIRE_STORE_HOST_H_
