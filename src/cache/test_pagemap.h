// Pagemap: what the processor can do with a page of this process without a fault, as the kernel tells it, for tests.
#ifndef QUIRE_CACHE_TEST_PAGEMAP_H_
#define QUIRE_CACHE_TEST_PAGEMAP_H_

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

#include "quire/limits.h"
#include "sync/check.h"

namespace quire::cache {

// The bits of an entry: Documentation/admin-guide/mm/pagemap.rst of Linux.
class Pagemap {
 public:
  Pagemap() : fd_(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)) { QUIRE_CHECK(fd_ >= 0); }
  ~Pagemap() { ::close(fd_); }
  Pagemap(const Pagemap&) = delete;
  Pagemap& operator=(const Pagemap&) = delete;

  // A load of the address is no fault.
  bool in_sight(const volatile std::byte* address) const {
    return (entry(address) >> kPresent & 1) != 0;
  }
  // Nor is a store, as far as a userfaultfd is asked. REQUIRES: the memory is mapped for stores.
  bool may_store(const volatile std::byte* address) const {
    const std::uint64_t here = entry(address);
    return (here >> kPresent & 1) != 0 && (here >> kProtected & 1) == 0;
  }

 private:
  static constexpr int kPresent = 63;
  static constexpr int kProtected = 57;

  std::uint64_t entry(const volatile std::byte* address) const {
    const std::uint64_t page = reinterpret_cast<std::uintptr_t>(address) / limits::kPageBytes;
    std::uint64_t entry = 0;
    QUIRE_CHECK(::pread(fd_, &entry, sizeof entry, static_cast<off_t>(page * sizeof entry)) ==
                sizeof entry);
    return entry;
  }

  const int fd_;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_TEST_PAGEMAP_H_
