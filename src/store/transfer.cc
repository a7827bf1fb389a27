#include "store/transfer.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace quire::store {

namespace {

constexpr std::uint64_t kAlignMask = kDirectAlignmentBytes - 1;

bool aligned(const void* memory) {
  return (reinterpret_cast<std::uintptr_t>(memory) & kAlignMask) == 0;
}

void* writable(std::byte* memory) {
  return memory;
}
// iovec has one type of pointer for both directions; pwritev does not write.
void* writable(const std::byte* memory) {
  return const_cast<std::byte*>(memory);
}

}  // namespace

Transfer::Transfer(HostFile& file, std::uint64_t offset,
                   std::span<const Store::Buffer> buffers) noexcept
    : Transfer(file, Kind::kRead, offset) {
  plan(buffers);
}

Transfer::Transfer(HostFile& file, std::uint64_t offset,
                   std::span<const Store::ConstBuffer> buffers) noexcept
    : Transfer(file, Kind::kWrite, offset) {
  plan(buffers);
}

template <class Buffers>
void Transfer::plan(const Buffers& buffers) noexcept {
  const bool allowed = kind_ == Kind::kRead ? file_.readable() : file_.writable();
  if (!allowed) return fail(EBADF);
  if (buffers.size() > pieces_.size()) return fail(EINVAL);

  std::uint64_t asked = 0;
  for (const auto& buffer : buffers) asked += buffer.size();
  if (asked > limits::kStoreIoMaxBytes) return fail(EINVAL);
  const bool reads = kind_ == Kind::kRead;
  if (offset_ > limits::kFileSizeMaxBytes) return fail(reads ? EINVAL : EFBIG);
  const std::uint64_t room = limits::kFileSizeMaxBytes - offset_;
  if (!reads && asked > room) return fail(EFBIG);

  std::uint64_t total = 0;
  bool all_aligned = (offset_ & kAlignMask) == 0;
  for (const auto& buffer : buffers) {
    // The last page of the largest file lacks its last byte, and the kernel refuses to be asked for it.
    const std::uint64_t size = std::min<std::uint64_t>(buffer.size(), room - total);
    if (size == 0) continue;
    // Every piece but the last must be whole pages: look at where this one begins in the request.
    all_aligned = all_aligned && aligned(buffer.data()) && (total & kAlignMask) == 0;
    pieces_[count_++] = {writable(buffer.data()), size};
    total += size;
  }
  if (total == 0) return finish();

  direct_ = all_aligned && file_.direct();
  if (!direct_) return;
  const std::size_t tail_bytes = total & kAlignMask;
  if (tail_bytes == 0) return;
  iovec& last = pieces_[count_ - 1];
  last.iov_len -= tail_bytes;
  tail_ = {static_cast<std::byte*>(last.iov_base) + last.iov_len, tail_bytes};
  if (last.iov_len == 0) --count_;
}

bool Transfer::next(Step& step) noexcept {
  if (!ended_ && first_ == count_ && tail_.iov_len != 0) {
    pieces_[0] = tail_;
    tail_ = {nullptr, 0};
    first_ = 0;
    count_ = 1;
    direct_ = false;
  }
  if (!ended_ && first_ == count_) finish();
  if (ended_) return false;
  step.fd = direct_ ? file_.fd() : file_.buffered_fd();
  step.pieces = &pieces_[first_];
  step.count = count_ - first_;
  step.offset = offset_;
  return true;
}

void Transfer::took(ssize_t result) noexcept {
  if (result < 0) {
    const int number = static_cast<int>(-result);
    if (number == EINTR) return;
    if (number == EAGAIN && repeats_left_-- > 0) return;
    if (number == EINVAL && direct_) {
      file_.give_up_direct();
      direct_ = false;
      return;
    }
    return fail(number);
  }
  if (result == 0) {
    // A write that makes no progress and gives no reason must not be repeated for ever.
    if (kind_ == Kind::kWrite) return fail(EIO);
    return finish();
  }
  wrote_buffered_ = wrote_buffered_ || (kind_ == Kind::kWrite && !direct_);
  advance(static_cast<std::size_t>(result));
  if (first_ == count_ || !direct_ || (offset_ & kAlignMask) == 0) return;
  // Direct IO ended within a page: at the end of the file, or at a sector that it cannot pass. It
  // cannot be continued there, but the kernel's cache can.
  if (kind_ == Kind::kRead && at_end_of_file()) return finish();
  direct_ = false;
}

void Transfer::advance(std::size_t count) noexcept {
  moved_bytes_ += count;
  offset_ += count;
  while (count > 0) {
    iovec& piece = pieces_[first_];
    if (count < piece.iov_len) {
      piece.iov_base = static_cast<std::byte*>(piece.iov_base) + count;
      piece.iov_len -= count;
      return;
    }
    count -= piece.iov_len;
    ++first_;
  }
}

bool Transfer::at_end_of_file() const noexcept {
  struct stat stat = {};
  return ::fstat(file_.fd(), &stat) == 0 && static_cast<std::uint64_t>(stat.st_size) <= offset_;
}

void Transfer::fail(int number) noexcept {
  error_ = errno_code(number);
  finish();
}

void Transfer::finish() noexcept {
  ended_ = true;
  if (moved_bytes_ > 0) file_.transferred(start_, moved_bytes_, wrote_buffered_);
}

void run_inline(Transfer& transfer) noexcept {
  Transfer::Step step;
  while (transfer.next(step)) {
    const auto offset = static_cast<off_t>(step.offset);
    const auto count = static_cast<int>(step.count);
    const ssize_t result = transfer.kind() == Transfer::Kind::kRead
                               ? ::preadv(step.fd, step.pieces, count, offset)
                               : ::pwritev(step.fd, step.pieces, count, offset);
    transfer.took(result < 0 ? -errno : result);
  }
}

// Used by the constructors in the header.
template void Transfer::plan(const std::span<const Store::Buffer>& buffers) noexcept;
template void Transfer::plan(const std::span<const Store::ConstBuffer>& buffers) noexcept;

}  // namespace quire::store
