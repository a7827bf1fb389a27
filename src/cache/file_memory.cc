#include "cache/file_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "sync/check.h"

namespace quire::cache {
namespace {

std::error_code last_error() noexcept {
  return {errno, std::generic_category()};
}

// MFD_NOEXEC_SEAL of Linux 6.3, which Debian 12's headers lack. A machine may be told to refuse memory without it.
constexpr unsigned kNoExecSeal = 8;

}  // namespace

std::size_t FileMemory::window_bytes(std::uint64_t number) noexcept {
  return static_cast<std::size_t>(std::min<std::uint64_t>(
      limits::kMapWindowBytes, kBytesMax - number * limits::kMapWindowBytes));
}

Result<std::unique_ptr<FileMemory>> FileMemory::create(std::uint64_t size_pages) {
  int fd = ::memfd_create("quire", MFD_CLOEXEC | kNoExecSeal);
  if (fd < 0 && errno == EINVAL) fd = ::memfd_create("quire", MFD_CLOEXEC);
  if (fd < 0) return Error(last_error(), "making memory that can be mapped");
  std::unique_ptr<FileMemory> memory(new FileMemory(fd));
  if (const std::error_code error = memory->resize(size_pages)) {
    return Error(error, "giving memory that can be mapped its size");
  }
  return memory;
}

FileMemory::~FileMemory() {
  (void)windows_.for_each(0, ~std::uint64_t{0},
                          [](std::uint64_t number, sync::Atomic<std::byte*>& window) {
                            if (std::byte* const base = window.load())
                              ::munmap(base, window_bytes(number));
                            return true;
                          });
  {
    sync::MutexLock lock(mutex_);
    windows_.clear(nodes_);
  }
  ::close(fd_);
}

std::error_code FileMemory::open_windows(std::uint64_t first, std::uint64_t count) {
  QUIRE_DCHECK(count > 0);
  if (first + count > kPagesMax) {
    return std::make_error_code(std::errc::value_too_large);
  }
  const std::uint64_t last = (first + count - 1) / kWindowPages;
  for (std::uint64_t number = first / kWindowPages; number <= last; ++number) {
    const sync::Atomic<std::byte*>* const there = windows_.find(number);
    if (there != nullptr && there->load() != nullptr) continue;
    sync::MutexLock lock(mutex_);
    sync::Atomic<std::byte*>* const window = windows_.find_or_add(number, nodes_);
    if (window == nullptr) return std::make_error_code(std::errc::not_enough_memory);
    if (window->load() != nullptr) continue;
    const std::size_t bytes = window_bytes(number);
    void* const base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                              fd_, static_cast<off_t>(number * limits::kMapWindowBytes));
    if (base == MAP_FAILED) return last_error();
    // A child of fork has no use for it.
    (void)::madvise(base, bytes, MADV_DONTFORK);
    window->store(static_cast<std::byte*>(base));
  }
  return {};
}

std::error_code FileMemory::resize(std::uint64_t size_pages) noexcept {
  if (size_pages == size_pages_.load()) return {};
  const std::uint64_t bytes = std::min(size_pages, kPagesMax) << limits::kPageShift;
  if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) return last_error();
  size_pages_.store(size_pages);
  return {};
}

std::error_code FileMemory::make(std::uint64_t first, std::uint64_t count) noexcept {
  const std::uint64_t end = first + count;
  QUIRE_DCHECK(end <= size_pages_.load());
  while (first < end) {
    const std::uint64_t here = std::min(end - first, kWindowPages - first % kWindowPages);
    makes_.fetch_add(1, std::memory_order_relaxed);
    if (::madvise(at(first), here << limits::kPageShift, MADV_POPULATE_WRITE) != 0) {
      return last_error();
    }
    first += here;
  }
  return {};
}

void FileMemory::punch(std::uint64_t first, std::uint64_t count) noexcept {
  const std::uint64_t size = std::min(size_pages_.load(), kPagesMax);
  if (first >= size) return;
  count = std::min(count, size - first);
  punches_.fetch_add(1, std::memory_order_relaxed);
  const int result = ::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                 static_cast<off_t>(first << limits::kPageShift),
                                 static_cast<off_t>(count << limits::kPageShift));
  // Of a memfd it needs nothing that could be lacking; who went on would show old bytes.
  QUIRE_CHECK(result == 0);
}

}  // namespace quire::cache
