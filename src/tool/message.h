// What the tool says on standard error: lines that begin with "quire: ", each in one piece.
//
// The tool's own Errors carry a whole sentence as their context; what the library returns is said with
// its code's message behind.
//
// Thread-safety: any thread.
#ifndef QUIRE_TOOL_MESSAGE_H_
#define QUIRE_TOOL_MESSAGE_H_

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <string_view>

#include "tool/exit_status.h"

namespace quire::tool {

inline void say(std::string_view text) {
  const std::string line = fmt::format("quire: {}\n", text);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

// Says it; returns the exit status.
inline int fail(std::string_view text, int status = kFailure) {
  say(text);
  return status;
}

// Writes to standard output; false if that cannot be written.
inline bool put(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
         std::fflush(stdout) == 0;
}

}  // namespace quire::tool

#endif  // QUIRE_TOOL_MESSAGE_H_
