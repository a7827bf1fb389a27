// HostDirectory: the root of a host store: the open directory, the lock that makes it ours, and
// what its file system can do.
//
// One Quire owns a tree: the directory is locked with flock(2) until this object is destroyed in the
// process that opened it. The lock belongs to the open directory, which a child of a fork shares: so
// it is given back by name, whatever children have left open, and a child that destroys its copy
// takes nothing from the owner. If the owner ends without that, the kernel gives the lock back once
// every child has ended or called exec. A second store on a directory above or below is not noticed.
//
// Thread-safety: immutable once open.
#ifndef QUIRE_STORE_HOST_DIRECTORY_H_
#define QUIRE_STORE_HOST_DIRECTORY_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "quire/result.h"
#include "quire/store.h"
#include "store/beneath.h"
#include "store/fd.h"

namespace quire::store {

class HostDirectory {
 public:
  // Errors: ENOENT, ENOTDIR, EACCES, Errc::kInUse.
  static Result<HostDirectory> open(const std::string& path);
  HostDirectory(HostDirectory&&) noexcept = default;
  HostDirectory& operator=(HostDirectory&&) = delete;
  // In the process that opened it: gives the lock back.
  ~HostDirectory();

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  BeneathMethod method() const { return method_; }
  // Whether fallocate() allocates space that a later write cannot fail to find.
  bool reserves_space() const { return reserves_space_; }
  // The kinds of Cut that fallocate() does here, as StoreTraits::cuts.
  std::uint32_t cuts() const { return cuts_; }

 private:
  HostDirectory(Fd fd, std::string path);

  Fd fd_;
  pid_t owner_;
  std::string path_;
  BeneathMethod method_;
  bool reserves_space_ = false;
  std::uint32_t cuts_ = 0;
};

// Whether what fallocate() has allocated on this file system is there for good. Others (btrfs, ZFS) write to
// new places, and may find none. `fd`: anything that lies on it.
bool keeps_allocation(int fd);
// The mode of fallocate(2) for a kind of cut.
int fallocate_mode(Cut kind);

}  // namespace quire::store

#endif  // QUIRE_STORE_HOST_DIRECTORY_H_
