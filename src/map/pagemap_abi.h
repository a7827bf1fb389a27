// The PAGEMAP_SCAN request of /proc/self/pagemap (Linux 6.7), which Debian 12's <linux/fs.h> lacks. The kernel's names
// are in its Documentation/admin-guide/mm/pagemap.rst.
#ifndef QUIRE_MAP_PAGEMAP_ABI_H_
#define QUIRE_MAP_PAGEMAP_ABI_H_

#include <sys/ioctl.h>

#include <cstdint>

namespace quire::map::abi {

// Neighbours of which the same is so.
struct PageRegion {
  std::uint64_t start;
  std::uint64_t end;
  std::uint64_t categories;
};

struct PageScan {
  std::uint64_t size;
  std::uint64_t flags;
  std::uint64_t start;
  std::uint64_t end;
  std::uint64_t walk_end;  // written by the kernel: how far it came
  std::uint64_t regions;
  std::uint64_t regions_max;
  std::uint64_t pages_max;  // 0: no limit
  std::uint64_t inverted;
  std::uint64_t all_of;
  std::uint64_t any_of;
  std::uint64_t tell;
};
inline constexpr unsigned long kPageScan = _IOWR('f', 16, PageScan);

// Flags: what is found and was stored into is protected; it is an error if the range is not one of async stores.
inline constexpr std::uint64_t kScanProtects = 1u << 0;
inline constexpr std::uint64_t kScanAsyncOnly = 1u << 1;

// Categories.
inline constexpr std::uint64_t kPageWritten =
    1u << 1;  // and, from some kernels on, what was never there
inline constexpr std::uint64_t kPagePresent = 1u << 3;
inline constexpr std::uint64_t kPageSwapped = 1u
                                              << 4;  // no translation, but something in its place

}  // namespace quire::map::abi

#endif  // QUIRE_MAP_PAGEMAP_ABI_H_
