// Transfer: the progress of one read or write of a host file, as a sequence of system calls. Both
// engines and the calling thread run the same one; they differ in who makes the calls.
//
//   Transfer transfer(file, Transfer::Kind::kRead, offset, buffers);
//   Transfer::Step step;
//   while (transfer.next(step)) transfer.took(make_the_call(step));
//   done.io_done(transfer.error(), transfer.bytes());
//
// What is decided here:
//  1. A request whose offset, memory and inner lengths are aligned goes by direct IO up to its last
//     whole page. The rest, at most one page, is the tail of the file and goes through the kernel's
//     cache: by direct IO it would have to be padded, and the padding would grow the file. The size
//     of the file is never past the end of what was written. (docs/decisions/005-tail-of-a-file.md)
//  2. What is not aligned goes through the kernel's cache as a whole. It is slow and right.
//  3. Short results are continued until everything has moved or the file has ended. Interrupted
//     calls are repeated.
//  4. EINVAL from direct IO that was aligned means that the file system cannot do it after all: the
//     file goes on through the kernel's cache.
//  5. A read asks for nothing past limits::kFileSizeMaxBytes; there it ends as at the end of a file.
//
// Thread-safety: one thread at a time.
#ifndef QUIRE_STORE_TRANSFER_H_
#define QUIRE_STORE_TRANSFER_H_

#include <sys/types.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>

#include "quire/limits.h"
#include "quire/store.h"
#include "store/host_file.h"

namespace quire::store {

class Transfer {
 public:
  enum class Kind { kRead, kWrite };
  // One call: preadv or pwritev of pieces[0, count) at `offset`.
  struct Step {
    int fd = -1;
    const iovec* pieces = nullptr;
    unsigned count = 0;
    std::uint64_t offset = 0;
  };

  Transfer(HostFile& file, std::uint64_t offset, std::span<const Store::Buffer> buffers) noexcept;
  Transfer(HostFile& file, std::uint64_t offset,
           std::span<const Store::ConstBuffer> buffers) noexcept;

  Kind kind() const { return kind_; }
  // The next call to make. False: the transfer has ended.
  bool next(Step& step) noexcept;
  // What the call answered: bytes, or a negative errno.
  void took(ssize_t result) noexcept;

  std::error_code error() const { return error_; }
  std::size_t bytes() const { return moved_bytes_; }

 private:
  Transfer(HostFile& file, Kind kind, std::uint64_t offset) noexcept
      : file_(file), kind_(kind), start_(offset), offset_(offset) {}

  template <class Buffers>
  void plan(const Buffers& buffers) noexcept;
  void fail(int number) noexcept;
  void finish() noexcept;
  void advance(std::size_t count) noexcept;
  bool at_end_of_file() const noexcept;

  HostFile& file_;
  const Kind kind_;
  bool ended_ = false;
  bool direct_ = false;  // pieces_ go by direct IO
  bool wrote_buffered_ = false;
  int repeats_left_ = 16;  // of calls that answer EAGAIN
  const std::uint64_t start_;
  std::uint64_t offset_;
  std::size_t moved_bytes_ = 0;
  std::error_code error_;
  unsigned first_ = 0;  // pieces_[first_, count_) are left
  unsigned count_ = 0;
  iovec tail_ = {nullptr, 0};  // follows pieces_, through the kernel's cache
  // Filled as far as count_ says; not initialised, for it is 4 KiB on a caller's stack.
  std::array<iovec, limits::kStoreIoMaxPieces> pieces_;
};

// Makes the calls of `transfer` in this thread.
void run_inline(Transfer& transfer) noexcept;

}  // namespace quire::store

#endif  // QUIRE_STORE_TRANSFER_H_
