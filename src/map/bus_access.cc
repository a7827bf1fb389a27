#include "map/bus_access.h"

#include <ucontext.h>

#include <cstdint>
#include <cstring>

#include "quire/limits.h"

namespace quire::map {
namespace {

#if defined(__x86_64__)

// Of the error code that the processor pushes at a page fault.
constexpr std::uint64_t kPresent = 1;
constexpr std::uint64_t kWrite = 2;

void describe(const ucontext_t& context, BusAccess& access) noexcept {
  const auto error = static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_ERR]);
  access.store = (error & kWrite) != 0;
  access.in_sight = (error & kPresent) != 0;
}

#elif defined(__aarch64__)

// A record of the frame of a signal, and the one that has the syndrome.
struct Record {
  std::uint32_t magic;
  std::uint32_t bytes;
};
constexpr std::uint32_t kSyndrome = 0x45535201;
// Of the syndrome of a data abort: a write, unless it is of cache maintenance; and why, without the level.
constexpr std::uint64_t kWrite = std::uint64_t{1} << 6;
constexpr std::uint64_t kMaintenance = std::uint64_t{1} << 8;
constexpr std::uint64_t kWhy = 0x3c;
constexpr std::uint64_t kPermission = 0x0c;

void describe(const ucontext_t& context, BusAccess& access) noexcept {
  const auto* at = reinterpret_cast<const std::byte*>(context.uc_mcontext.__reserved);
  const std::byte* const end = at + sizeof context.uc_mcontext.__reserved;
  for (;;) {
    Record record{};
    if (static_cast<std::size_t>(end - at) < sizeof record + sizeof(std::uint64_t)) return;
    std::memcpy(&record, at, sizeof record);
    if (record.magic == 0 || record.bytes < sizeof record) return;
    if (record.magic == kSyndrome) {
      std::uint64_t syndrome = 0;
      std::memcpy(&syndrome, at + sizeof record, sizeof syndrome);
      access.store = (syndrome & kWrite) != 0 && (syndrome & kMaintenance) == 0;
      access.in_sight = (syndrome & kWhy) == kPermission;
      return;
    }
    if (static_cast<std::size_t>(end - at) < record.bytes) return;
    at += record.bytes;
  }
}

#else

void describe(const ucontext_t&, BusAccess&) noexcept {}

#endif

}  // namespace

std::optional<BusAccess> bus_access(const siginfo_t& info, const void* ucontext) noexcept {
  if (!kBusAccessKnown || info.si_code != BUS_ADRERR || ucontext == nullptr) return std::nullopt;
  const auto address = reinterpret_cast<std::uintptr_t>(info.si_addr);
  BusAccess access;
  access.page = static_cast<std::byte*>(info.si_addr) - address % limits::kPageBytes;
  describe(*static_cast<const ucontext_t*>(ucontext), access);
  return access;
}

}  // namespace quire::map
