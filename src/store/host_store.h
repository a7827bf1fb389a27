// HostStore: a directory of ordinary files as a Store. What belongs to what:
//
//   host_directory   the root: its lock, what its file system can do
//   beneath, path    from a name to a file beneath the root, never to one outside
//   host_file        one open file: descriptors, direct IO or not
//   host_space       which pages of it have space, and taking and giving back space
//   transfer         a read or write as a sequence of system calls
//   uring_engine     ... made by io_uring
//   worker_pool      ... made by a few threads, as is everything that is no read or write
//
// With IoMode::kWait the calling thread makes the calls itself: no queue, no hand-over, no memory
// from the heap.
//
// An ObjectHandle is the address of its HostFile; the contract of Store says how long it is valid.
#ifndef QUIRE_STORE_HOST_STORE_H_
#define QUIRE_STORE_HOST_STORE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "quire/store_host.h"
#include "store/host_directory.h"
#include "store/host_file.h"
#include "store/uring_engine.h"
#include "store/worker_pool.h"
#include "sync/atomic.h"

namespace quire::store {

class HostStore final : public Store {
 public:
  // How the ring is started. UringEngine::start, but for tests of its refusal.
  using StartUring = Result<std::unique_ptr<UringEngine>> (*)(unsigned workers_max);

  // open_host_store(), which says what is returned.
  static Result<std::shared_ptr<Store>> open_directory(const std::string& directory,
                                                       const HostStoreOptions& options,
                                                       StartUring start_uring);

  // `uring`: null where threads do its work.
  HostStore(HostDirectory directory, const HostStoreOptions& options,
            std::unique_ptr<UringEngine> uring);
  ~HostStore() override;

  StoreTraits traits() const noexcept override;
  Result<OpenedObject> open(std::string_view path, OpenFlags flags, std::uint32_t mode) override;
  // As open(), of a file that the caller has opened itself: by a descriptor, so that no name is looked up
  // between what the caller saw and what is opened. The descriptor is the store's from here on, errors
  // included, and so are the flags that F_SETFL sets. `access`: what it was opened for, O_RDONLY,
  // O_WRONLY or O_RDWR. `name`: its path beneath the root, for messages; where the caller has `created`
  // the file, the name that its first sync makes durable. Blocks.
  // REQUIRES: the file lies beneath the root, on the same mount.
  // Errors: EBADF (no descriptor, or not of this access), EISDIR, EINVAL for what is no regular file,
  // those of a bad path.
  Result<OpenedObject> adopt(Fd fd, int access, std::string_view name, bool created);
  Status close(ObjectHandle object) override;
  Result<ObjectStat> stat(ObjectHandle object) override;
  void read(ObjectHandle object, std::uint64_t offset, std::span<const Buffer> buffers, IoMode mode,
            IoDone& done) noexcept override;
  void write(ObjectHandle object, std::uint64_t offset, std::span<const ConstBuffer> buffers,
             IoMode mode, IoDone& done) noexcept override;
  void truncate(ObjectHandle object, std::uint64_t size_bytes, IoDone& done) noexcept override;
  void sync(ObjectHandle object, SyncKind kind, IoDone& done) noexcept override;
  void cut(ObjectHandle object, Cut kind, std::uint64_t offset, std::uint64_t length,
           IoDone& done) noexcept override;
  void reserve(ObjectHandle object, std::uint64_t offset, std::uint64_t length,
               IoDone& done) noexcept override;
  void reserve_pages(ObjectHandle object, SpaceRequest& request, IoMode mode,
                     IoDone& done) noexcept override;
  void release(ObjectHandle object, std::uint64_t offset, std::uint64_t length,
               IoDone& done) noexcept override;
  Status set_times(ObjectHandle object, const TimeSpec* atime, const TimeSpec& mtime) override;
  Status sync_store() override;

 private:
  struct OpenedFd {
    Fd fd;
    bool created = false;
    std::error_code error;
  };
  // The object behind a descriptor, if it is a regular file. `name` as path.h has it.
  Result<OpenedObject> object_of(Fd fd, int access, const std::string& name, bool created,
                                 bool truncate);
  OpenedFd open_fd(const std::string& path, int access, OpenFlags flags, std::uint32_t mode) const;

  template <class Buffers>
  void transfer(ObjectHandle object, std::uint64_t offset, const Buffers& buffers, IoMode mode,
                IoDone& done) noexcept;
  // Runs `call`, which returns 0 or an errno, on the pool.
  template <class Call>
  void run_on_pool(IoDone& done, Call call) noexcept;

  const HostDirectory directory_;
  const bool direct_;
  sync::Atomic<std::uint64_t> open_objects_{0};
  WorkerPool pool_;
  const std::unique_ptr<UringEngine> uring_;
};

}  // namespace quire::store

#endif  // QUIRE_STORE_HOST_STORE_H_
