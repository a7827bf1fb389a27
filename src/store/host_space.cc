#include "store/host_space.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <new>

#include "quire/limits.h"

namespace quire::store {
namespace {

constexpr std::uint32_t kExtentsAtATime = 32;
constexpr std::uint64_t kLeftBytes = std::uint64_t{1} << 20;

// What the ioctl fills: a head, and extents behind it.
class Extents {
 public:
  Extents(std::uint64_t begin, std::uint64_t end)
      : head_(*std::launder(reinterpret_cast<fiemap*>(memory_.data()))) {
    head_.fm_start = begin;
    head_.fm_length = end - begin;
    head_.fm_extent_count = kExtentsAtATime;
  }
  Extents(const Extents&) = delete;
  Extents& operator=(const Extents&) = delete;

  fiemap* head() noexcept { return &head_; }
  std::uint32_t count() const noexcept { return head_.fm_mapped_extents; }
  fiemap_extent operator[](std::uint32_t i) const noexcept {
    fiemap_extent extent;
    std::memcpy(&extent, memory_.data() + sizeof(fiemap) + i * sizeof(extent), sizeof(extent));
    return extent;
  }

 private:
  alignas(fiemap)
      std::array<std::byte, sizeof(fiemap) + kExtentsAtATime * sizeof(fiemap_extent)> memory_{};
  fiemap& head_;
};

// Counts how many bytes of each page lie in extents, of any kind and of this file alone.
class Coverage {
 public:
  explicit Coverage(const SpaceRequest& request)
      : begin_(request.offset), end_(request.offset + request.pages * limits::kPageBytes) {}

  void add(const fiemap_extent& extent) noexcept {
    const bool alone = (extent.fe_flags & FIEMAP_EXTENT_SHARED) == 0;
    std::uint64_t at = std::max<std::uint64_t>(extent.fe_logical, begin_);
    const std::uint64_t end = std::min<std::uint64_t>(extent.fe_logical + extent.fe_length, end_);
    while (at < end) {
      const std::size_t page = static_cast<std::size_t>((at - begin_) / limits::kPageBytes);
      const std::uint64_t page_end = std::min(begin_ + (page + 1) * limits::kPageBytes, end);
      any_.set(page);
      if (alone) own_bytes_[page] += static_cast<std::uint32_t>(page_end - at);
      at = page_end;
    }
  }
  void tell(SpaceRequest& request) const noexcept {
    request.told = true;
    for (std::size_t page = 0; page < request.pages; ++page) {
      request.had_space[page] = own_bytes_[page] == limits::kPageBytes;
      request.had_none[page] = !any_[page];
    }
  }

 private:
  const std::uint64_t begin_;
  const std::uint64_t end_;
  SpaceRequest::Pages any_;
  std::array<std::uint32_t, limits::kReservePagesMax> own_bytes_{};
};

// Says what has space, or nothing where the file system cannot say. 0 or an errno.
int look(int fd, SpaceRequest& request) noexcept {
  Coverage coverage(request);
  std::uint64_t at = request.offset;
  const std::uint64_t end = request.offset + request.pages * limits::kPageBytes;
  while (at < end) {
    Extents extents(at, end);
    if (::ioctl(fd, FS_IOC_FIEMAP, extents.head()) != 0) {
      if (errno == EINTR) continue;
      const bool cannot = errno == EOPNOTSUPP || errno == ENOTTY || errno == EBADR;
      return cannot ? 0 : errno;
    }
    for (std::uint32_t i = 0; i < extents.count(); ++i) coverage.add(extents[i]);
    if (extents.count() < kExtentsAtATime) break;
    const fiemap_extent last = extents[extents.count() - 1];
    if ((last.fe_flags & FIEMAP_EXTENT_LAST) != 0) break;
    at = std::max<std::uint64_t>(at + 1, last.fe_logical + last.fe_length);
  }
  coverage.tell(request);
  return 0;
}

int allocate(int fd, int mode, std::uint64_t begin, std::uint64_t end) noexcept {
  end = std::min(end, limits::kFileSizeMaxBytes);
  while (::fallocate(fd, mode, static_cast<off_t>(begin), static_cast<off_t>(end - begin)) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

// Whether so many bytes can be taken, and what is left is enough for the file system's own blocks.
bool has_room(int fd, std::uint64_t bytes) noexcept {
  struct statfs fs = {};
  if (::fstatfs(fd, &fs) != 0) return true;
  // f_bfree counts what ext4 keeps for itself, too.
  return fs.f_bavail * static_cast<std::uint64_t>(fs.f_bsize) >= bytes + kLeftBytes;
}

}  // namespace

int reserve_pages(int fd, SpaceRequest& request) noexcept {
  if (const int error = look(fd, request); error != 0) return error;
  // One call over all that may lack space: what has some is passed over by the file system.
  std::size_t first = request.first;
  std::size_t end = request.end;
  while (first < end && request.had_space[first]) ++first;
  while (first < end && request.had_space[end - 1]) --end;
  if (first == end) return 0;
  if (request.told && !has_room(fd, (end - first) * limits::kPageBytes)) return ENOSPC;
  return allocate(fd, FALLOC_FL_KEEP_SIZE, request.offset + first * limits::kPageBytes,
                  request.offset + end * limits::kPageBytes);
}

int release_pages(int fd, std::uint64_t offset, std::uint64_t length) noexcept {
  std::uint64_t at = offset;
  const std::uint64_t end = std::min(offset + length, limits::kFileSizeMaxBytes);
  while (at < end) {
    // Blocks that were never written are holes here, as long as nobody has written to them.
    const off_t found = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
    if (found < 0 && errno != ENXIO) return errno;
    const std::uint64_t data =
        found < 0 ? end : std::min<std::uint64_t>(static_cast<std::uint64_t>(found), end);
    if (at < data) {
      const int error = allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, data);
      if (error != 0) return error;
    }
    if (data == end) return 0;
    const off_t hole = ::lseek(fd, static_cast<off_t>(data), SEEK_HOLE);
    if (hole < 0) return errno == ENXIO ? 0 : errno;
    at = std::max<std::uint64_t>(data + 1, static_cast<std::uint64_t>(hole));
  }
  return 0;
}

}  // namespace quire::store
