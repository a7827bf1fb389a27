#include "sync/check.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace quire::sync {

void check_failed(const char* expression, const char* file, int line) noexcept {
  // On the stack and in one write: whatever broke may have broken the heap and stdio too.
  char text[512];
  const int length =
      std::snprintf(text, sizeof text, "%s:%d: check failed: %s\n", file, line, expression);
  const int shown = std::clamp(length, 0, static_cast<int>(sizeof text) - 1);
  [[maybe_unused]] const ssize_t written =
      write(STDERR_FILENO, text, static_cast<std::size_t>(shown));
  std::abort();
}

}  // namespace quire::sync
