// BusAccess: which access it was that raised SIGBUS, by what the kernel tells the handler of the signal.
//
// Who calls: handlers of SIGBUS, with what they were given. Takes no lock, no memory, and waits for nothing.
#ifndef QUIRE_MAP_BUS_ACCESS_H_
#define QUIRE_MAP_BUS_ACCESS_H_

#include <signal.h>

#include <cstddef>
#include <optional>

namespace quire::map {

// This processor tells loads from stores.
#if defined(__x86_64__) || defined(__aarch64__)
inline constexpr bool kBusAccessKnown = true;
#else
inline constexpr bool kBusAccessKnown = false;
#endif

struct BusAccess {
  std::byte* page = nullptr;  // the first byte of the page that was accessed
  bool store = false;
  bool in_sight = false;  // there was a translation, which did not allow it
};

// None where it was no access that the memory's owner could let through: the signal was sent by somebody, or the
// memory is broken.
std::optional<BusAccess> bus_access(const siginfo_t& info, const void* ucontext) noexcept;

}  // namespace quire::map

#endif  // QUIRE_MAP_BUS_ACCESS_H_
