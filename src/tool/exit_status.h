// What the exit status of `quire` tells, the same for every subcommand.
#ifndef QUIRE_TOOL_EXIT_STATUS_H_
#define QUIRE_TOOL_EXIT_STATUS_H_

namespace quire::tool {

inline constexpr int kSuccess = 0;
inline constexpr int kFailure = 1;
// The arguments make no sense; nothing was tried.
inline constexpr int kUsage = 2;
// Data did not reach the source, or may not have; what is known was listed.
inline constexpr int kUnwritten = 3;

}  // namespace quire::tool

#endif  // QUIRE_TOOL_EXIT_STATUS_H_
