#include "sync/local_global_lock.h"

#include "sync/atomic.h"
#include "sync/thread_local.h"

#ifdef QUIRE_SIM
#include "sync/sim/hooks.h"
#endif

namespace quire::sync {

#ifdef QUIRE_SIM

// The fiber's number, which is the same in every replay. Outside a run there is one thread.
std::size_t thread_ordinal() noexcept {
  const std::uint32_t fiber = sim::running_fiber();
  return fiber == sim::kNobody ? 0 : fiber;
}

#else

namespace {

struct Ordinal {
  static inline Atomic<std::size_t> next_{0};
  const std::size_t value = next_.fetch_add(1);
};

struct OrdinalTag {};

}  // namespace

std::size_t thread_ordinal() noexcept {
  return ThreadLocal<Ordinal, OrdinalTag>::get().value;
}

#endif

}  // namespace quire::sync
