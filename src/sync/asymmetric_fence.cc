#include "sync/asymmetric_fence.h"

#ifndef QUIRE_SIM
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace quire::sync {

#ifdef QUIRE_SIM

void heavy_fence() noexcept {}

bool heavy_fence_works() noexcept {
  return true;
}

#else

namespace {

bool membarrier(int command) noexcept {
  return syscall(SYS_membarrier, command, 0, 0) == 0;
}

}  // namespace

bool heavy_fence_works() noexcept {
  // A process registers once; a child of fork inherits that.
  static const bool registered = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
  return registered;
}

void heavy_fence() noexcept {
  if (heavy_fence_works()) (void)membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

#endif

}  // namespace quire::sync
