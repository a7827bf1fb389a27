// What the kernel's userfaultfd has had since Linux 6.2 and Debian 12's <linux/userfaultfd.h> lacks. Whether the
// kernel at hand has it is asked of the kernel: Userfault::open().
#ifndef QUIRE_MAP_USERFAULT_ABI_H_
#define QUIRE_MAP_USERFAULT_ABI_H_

#include <linux/userfaultfd.h>

#include <cstdint>

namespace quire::map::abi {

// Bits of uffdio_api::features.
inline constexpr std::uint64_t kFeaturePoison = std::uint64_t{1} << 14;   // Linux 6.6
inline constexpr std::uint64_t kFeatureWpAsync = std::uint64_t{1} << 15;  // Linux 6.7

// Of uffdio_continue::mode, Linux 6.4. No feature bit tells of it: a kernel without it answers EINVAL.
inline constexpr std::uint64_t kContinueModeWp = std::uint64_t{1} << 1;

// UFFDIO_POISON and what it takes.
struct Poison {
  uffdio_range range;
  std::uint64_t mode;
  std::int64_t updated;  // written by the kernel: bytes done, or an error
};
inline constexpr std::uint64_t kPoisonModeDontWake = 1;
inline constexpr unsigned long kPoison = _IOWR(UFFDIO, 0x08, Poison);

}  // namespace quire::map::abi

#endif  // QUIRE_MAP_USERFAULT_ABI_H_
