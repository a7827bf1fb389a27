#include "file/fork_guard.h"

#include <pthread.h>

#include "sync/atomic.h"

namespace quire::file {
namespace {

// Changed only in a new child, where one thread is left.
sync::Atomic<unsigned> generation{0};

void in_child() {
  generation.fetch_add(1);
}

}  // namespace

unsigned fork_generation() noexcept {
  return generation.load(std::memory_order_relaxed);
}

void install_fork_guard() noexcept {
  static const int installed = pthread_atfork(nullptr, nullptr, in_child);
  (void)installed;
}

}  // namespace quire::file
