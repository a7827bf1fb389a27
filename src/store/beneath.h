// Opens files beneath a directory and nowhere else, whatever symbolic links and concurrent renames
// say.
//
// Two ways give the same answers: openat2(2) with RESOLVE_BENEATH, one system call; and where that
// is refused (kernels before 5.6, strict seccomp filters) a walk that opens one component at a time
// without following links, and follows them itself. Links may point anywhere beneath the root; one
// that is absolute or climbs out is an escape.
//
// What is mounted beneath the root is not entered, bind mounts included: EXDEV. A file there belongs to
// a file system that a sync of the root's does not reach, and perhaps to another owner. (The walk on
// kernels before 5.8 tells mounts apart by their device alone.)
//
// Thread-safety: pure functions of the file system.
#ifndef QUIRE_STORE_BENEATH_H_
#define QUIRE_STORE_BENEATH_H_

#include <sys/types.h>

#include <string>
#include <system_error>

#include "store/fd.h"

namespace quire::store {

enum class BeneathMethod { kOpenat2, kWalk };

// What this kernel allows. `root`: an open directory.
BeneathMethod beneath_method(int root);

struct BeneathResult {
  Fd fd;
  std::error_code error;  // zero, an errno (EXDEV: a mount is in the way), or Errc::kPathEscapes
};

// As openat(root, path, flags, mode). REQUIRES: `path` is relative and normal (store/path.h);
// `flags` does not contain O_NOFOLLOW, O_PATH or O_TMPFILE.
BeneathResult open_beneath(BeneathMethod method, int root, const std::string& path, int flags,
                           mode_t mode);

}  // namespace quire::store

#endif  // QUIRE_STORE_BENEATH_H_
