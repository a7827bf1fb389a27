// HostFile: an open file of a host store: its descriptors, and whether they do direct IO.
//
// Up to two descriptors. The first, opened with the file, does direct IO where the file system
// allows that. The second goes through the kernel's cache; it is opened when first needed, by
// requests off alignment and by the tail of a file whose size is not a multiple of a page
// (store/transfer.h). The kernel keeps the two coherent: direct IO first writes back and drops the
// pages that it touches. Where direct IO is refused, the first descriptor does all the work.
//
// What stays in the kernel's cache through us is dropped again: after each transfer where there is
// no direct IO, after each sync where only tails went there.
//
// A file that this store made has a name that is not durable yet; its first sync makes it so
// (sync_name).
//
// Thread-safety: all calls from any thread; destruction needs the file to itself.
//
// Invariants:
//  1. direct() changes at most once, from true to false (when the file system refuses after all, or
//     when there is no second descriptor to be had); transfers under way then stay correct.
//  2. fd() is valid and refers to the same object for as long as the HostFile lives.
#ifndef QUIRE_STORE_HOST_FILE_H_
#define QUIRE_STORE_HOST_FILE_H_

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

#include "quire/store.h"
#include "store/fd.h"
#include "store/host_directory.h"
#include "sync/atomic.h"
#include "sync/gate.h"
#include "sync/mutex.h"

namespace quire::store {

// What direct IO is aligned to: offsets, lengths and memory. No device asks for more than a page,
// and everything above a page is left to the buffered descriptor.
inline constexpr std::size_t kDirectAlignmentBytes = 4096;

// How a name was made durable.
enum class NameSync {
  kGone,       // the file has no name left
  kDirectory,  // by a sync of the directory it was made in, where it still is
  kStore,      // by a sync of the file system: it was moved, made through a link, or out of reach
};

// Makes the name of `file`, which was made at `path`, durable. 0 or an errno; says how in `way`.
int sync_name(const HostDirectory& root, const std::string& path, int file, NameSync& way);

class HostFile {
 public:
  // `fd`: freshly opened on a regular file with `access` (O_RDONLY, O_WRONLY, O_RDWR); flags set by
  // F_SETFL are replaced. `stat`: of the file, with STATX_DIOALIGN asked for. `direct`: whether to
  // try direct IO at all.
  HostFile(Fd fd, int access, const struct statx& stat, bool direct);
  ~HostFile();
  HostFile(const HostFile&) = delete;
  HostFile& operator=(const HostFile&) = delete;

  int fd() const { return fd_.get(); }
  bool readable() const { return access_ != kWriteOnly; }
  bool writable() const { return access_ != kReadOnly; }
  bool direct() const { return direct_.load(); }

  // A descriptor for what is not aligned: the second one, or fd() if that does no direct IO.
  int buffered_fd() noexcept EXCLUDES(mutex_);
  // Direct IO failed here: go through the kernel's cache from now on.
  void give_up_direct() noexcept;

  // After a transfer of [offset, offset + length).
  void transferred(std::uint64_t offset, std::uint64_t length, bool buffered_write) noexcept;
  // After a successful sync.
  void synced() noexcept;

  // The file was made at `path`, in the form of store/path.h. Before the file is used.
  void set_made_at(std::string path) {
    made_at_ = std::move(path);
    name_unsynced_ = true;
  }
  // Makes the name that the file was made under durable, if it was made and that has not been done.
  // After a sync of the file itself. 0 or an errno; after an error the next call tries again.
  int sync_name(const HostDirectory& root) noexcept;
  bool name_unsynced() const { return name_unsynced_.load(); }

  // While a write is io_uring's the file is not truncated; see size_gate_. False if it is being truncated,
  // or somebody waits to do it: then the write must be made by a synchronous call.
  bool enter_ring(sync::GateToken& token) noexcept;
  // Waits for those writes, and keeps others out.
  sync::GateToken enter_truncate() noexcept;
  // For tests.
  const sync::Gate& size_gate() const { return size_gate_; }

  // Closes the descriptors and reports what close(2) does. Nothing but destruction may follow.
  std::error_code close() noexcept;

 private:
  static constexpr int kReadOnly = 0;
  static constexpr int kWriteOnly = 1;

  Fd fd_;
  const int access_;
  // Read by every transfer; see invariant 1.
  sync::Atomic<bool> direct_{false};
  // Something of the file may be in the kernel's cache through us.
  sync::Atomic<bool> cached_{false};

  std::string made_at_;
  sync::Atomic<bool> name_unsynced_{false};

  // XFS (Linux 6.18) loses an asynchronous direct write beyond the end of the file that is under way when
  // ftruncate makes the file longer: it zeroes from the end that it saw before it waited for the write.
  // Synchronous writes keep ftruncate waiting.
  sync::Gate size_gate_{sync::Rank::kStoreInternals};

  sync::Mutex mutex_;
  sync::Atomic<int> buffered_{-1};  // written under mutex_, read without
};

}  // namespace quire::store

#endif  // QUIRE_STORE_HOST_FILE_H_
