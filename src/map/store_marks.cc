#include "map/store_marks.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <system_error>

#include "map/pagemap_abi.h"
#include "quire/limits.h"
#include "sync/check.h"

namespace quire::map {

Result<std::unique_ptr<StoreMarks>> StoreMarks::open() {
  const int fd = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return Error(std::errc::not_supported,
                 "async_stores needs /proc/self/pagemap: mount proc, and permit it where a "
                 "container hides it");
  }
  return std::unique_ptr<StoreMarks>(new StoreMarks(fd));
}

StoreMarks::~StoreMarks() {
  ::close(pagemap_);
}

StoreMarks::Pages StoreMarks::take(std::span<std::byte> range) noexcept {
  QUIRE_DCHECK(!range.empty() && range.size() <= kPagesMax * limits::kPageBytes);
  const auto begin = reinterpret_cast<std::uintptr_t>(range.data());
  const std::uint64_t end = begin + range.size();
  std::array<abi::PageRegion, 64> found;
  // Everything but protected translations.
  abi::PageScan scan{};
  scan.size = sizeof(scan);
  scan.flags = abi::kScanProtects | abi::kScanAsyncOnly;
  scan.end = end;
  scan.regions = reinterpret_cast<std::uintptr_t>(found.data());
  scan.regions_max = found.size();
  scan.inverted = abi::kPagePresent;
  scan.any_of = abi::kPageWritten | abi::kPagePresent;
  scan.tell = abi::kPageWritten | abi::kPageSwapped;

  Pages stored;
  for (scan.start = begin; scan.start < end; scan.start = scan.walk_end) {
    const int count = ::ioctl(pagemap_, abi::kPageScan, &scan);
    // Without memory; or it is no mapping of ours any more, and whose ever it is, it has nothing of ours.
    if (count < 0 || scan.walk_end <= scan.start) return Pages().set();
    for (int i = 0; i < count; ++i) {
      const abi::PageRegion& region = found[static_cast<std::size_t>(i)];
      // A mark that was left counts as swapped out.
      if (region.categories == abi::kPageSwapped) continue;
      for (std::uint64_t at = region.start; at < region.end; at += limits::kPageBytes) {
        stored.set((at - begin) / limits::kPageBytes);
      }
    }
  }
  return stored;
}

}  // namespace quire::map
