#include "host_bench/data.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "host_bench/row.h"
#include "quire/store_host.h"

namespace quire::bench {
namespace {

constexpr std::size_t kHugePage = 2 * kMiB;

[[noreturn]] void fail(const std::string& what) {
  throw NotMeasured(fmt::format("{}: {}", what, std::strerror(errno)));
}

}  // namespace

Fd::Fd(const std::string& path, int flags, unsigned mode)
    : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {
  if (fd_ < 0) {
    fail(path);
  }
}

Fd::~Fd() {
  ::close(fd_);
}

void fill_file(const std::string& path, std::uint64_t bytes, std::size_t piece) {
  const Fd fd(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
  const std::vector<std::uint32_t> noise = draw(piece / sizeof(std::uint32_t), 1u << 31, bytes);
  for (std::uint64_t at = 0; at < bytes; at += piece) {
    const std::size_t length = std::min<std::uint64_t>(piece, bytes - at);
    if (::pwrite(fd.get(), noise.data(), length, static_cast<off_t>(at)) !=
        static_cast<ssize_t>(length)) {
      fail("writing " + path);
    }
  }
  if (::fsync(fd.get()) != 0) {
    fail("syncing " + path);
  }
}

void drop_from_kernel(const std::string& path) {
  const Fd fd(path, O_RDWR);
  if (::fsync(fd.get()) != 0 || ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED) != 0) {
    fail("dropping " + path);
  }
}

void load_into_kernel(const std::string& path, std::uint64_t bytes) {
  const Fd fd(path, O_RDONLY);
  std::vector<std::byte> buffer(kMiB);
  for (std::uint64_t at = 0; at < bytes; at += buffer.size()) {
    if (::pread(fd.get(), buffer.data(), buffer.size(), static_cast<off_t>(at)) < 0) {
      fail("reading " + path);
    }
  }
}

Region::Region(std::size_t bytes, Kind kind) : mapping_bytes_(bytes + kHugePage) {
  mapping_ =
      ::mmap(nullptr, mapping_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping_ == MAP_FAILED) {
    throw std::bad_alloc();
  }
  void* aligned = mapping_;
  std::size_t space = mapping_bytes_;
  data_ = static_cast<std::byte*>(std::align(kHugePage, bytes, aligned, space));
  ::madvise(data_, bytes, kind == Kind::kHugePages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  std::memset(data_, 0x5a, bytes);
}

Region::~Region() {
  ::munmap(mapping_, mapping_bytes_);
}

std::vector<std::uint32_t> draw(std::size_t count, std::uint64_t bound, std::uint64_t seed) {
  std::uint64_t x = seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du;
  std::vector<std::uint32_t> numbers(count);
  for (std::uint32_t& number : numbers) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    number = static_cast<std::uint32_t>((x >> 16) % bound);
  }
  return numbers;
}

void take(Status status) {
  if (!status.ok()) {
    throw std::runtime_error(status.error().message());
  }
}

QuireFile::QuireFile(const std::string& directory, const std::string& name,
                     const CacheOptions& options)
    : cache(take(Cache::create(take(open_host_store(directory)), options))),
      file(take(cache->open(name, OpenFlags::kReadWrite))) {}

void QuireFile::load(std::uint64_t bytes) {
  std::vector<std::byte> buffer(kMiB);
  for (std::uint64_t at = 0; at < bytes; at += buffer.size()) {
    take(file.read(buffer, at));
  }
}

}  // namespace quire::bench
