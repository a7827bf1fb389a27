// Session: the connection to the kernel: the mount itself, and libfuse's side of it.
//
// The reply to the kernel's first request is changed on its way out: Debian 12's libfuse (3.14) cannot ask
// for FUSE_DIRECT_IO_ALLOW_MMAP (Linux 6.6), with which files can be mapped shared though every read(2) and
// write(2) comes to the daemon. init_reply.h does that.
//
// Who calls: the server, from one thread, but for read(), serve() and fd(), which any thread may call.
#ifndef QUIRE_MOUNT_SESSION_H_
#define QUIRE_MOUNT_SESSION_H_

#include <fuse3/fuse_lowlevel.h>

#include <cstddef>
#include <memory>
#include <string>

#include "mount/init_reply.h"
#include "quire/result.h"

namespace quire::mount {

class Session {
 public:
  struct Options {
    std::string source;  // shown by mount(8)
    std::string mountpoint;
    bool allow_other = false;
    bool shared_mmap = true;
  };
  // `filesystem`: what the operations get as their user data. Mounts, and serves the first request. Errors:
  // EACCES, ENODEV and the like, with what to do; what libfuse or fusermount3 had to say.
  static Result<std::unique_ptr<Session>> mount(const Options& options,
                                                const fuse_lowlevel_ops& operations,
                                                void* filesystem);
  // Unmounts, if it is mounted still.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  fuse_session* raw() const noexcept { return session_; }
  // The kernel agreed to shared mappings.
  bool shared_mmap() const noexcept { return init_.granted(); }
  std::size_t request_bytes_max() const noexcept;

  // One request; 0 when the connection has ended.
  std::size_t read(std::byte* memory, std::size_t capacity);
  void serve(std::byte* request, std::size_t size);
  // Detaches the mount point. Programs that have files open keep the connection alive. 0 or an errno:
  // EADDRINUSE if something else is mounted over it, which stays.
  int detach(bool lazy);
  // Ends the connection whatever programs have open, through the kernel's control file system. Where that is
  // not mounted it cannot: false, and the connection ends when the last program closes its last file.
  bool cut_off();
  // The device that the mount shows, MAJOR:MINOR, by which its connection is known.
  void set_device(std::string device) { device_ = std::move(device); }

 private:
  Session(const Options& options);
  // Unmounting by path would end another mount.
  bool is_covered() const;

  const std::string mountpoint_;
  std::string device_;
  InitReply init_;
  fuse_session* session_ = nullptr;
  bool mounted_ = false;
};

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_SESSION_H_
