#include "mount/request.h"

#include <fmt/format.h>
#include <signal.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>

namespace quire::mount {

bool is_dying(pid_t thread) {
  if (thread <= 0) return false;
  constexpr std::uint64_t kill_bit = std::uint64_t{1} << (SIGKILL - 1);
  std::ifstream status(fmt::format("/proc/{}/status", thread));
  for (std::string line; std::getline(status, line);) {
    // This thread's own, and those of its process: SigPnd and ShdPnd, in hexadecimal.
    if (line.rfind("SigPnd:", 0) != 0 && line.rfind("ShdPnd:", 0) != 0) continue;
    if ((std::strtoull(line.c_str() + 7, nullptr, 16) & kill_bit) != 0) return true;
  }
  return false;
}

}  // namespace quire::mount
