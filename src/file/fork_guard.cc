#include "file/fork_guard.h"

#include <pthread.h>

namespace quire::file {
namespace {

// The only writer: a new child, where one thread is left.
void in_child() {
  fork_count.fetch_add(1);
}

}  // namespace

void install_fork_guard() noexcept {
  static const int installed = pthread_atfork(nullptr, nullptr, in_child);
  (void)installed;
}

}  // namespace quire::file
