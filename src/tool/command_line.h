// The command line: every subcommand and option of `quire`, in one place, as --help shows them.
//
// Thread-safety: pure functions.
#ifndef QUIRE_TOOL_COMMAND_LINE_H_
#define QUIRE_TOOL_COMMAND_LINE_H_

#include <string>
#include <variant>

#include "quire/result.h"
#include "tool/arguments.h"

namespace quire::tool {

// Help or the version was asked for: what to print.
struct Shown {
  std::string text;
};

using Command = std::variant<MountArguments, UnmountArguments, StatsArguments, FallocateArguments,
                             DoctorArguments, VersionArguments, Shown>;

// An error's context is one line: what is wrong, and what to do.
Result<Command> parse_command_line(int argc, const char* const* argv);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_COMMAND_LINE_H_
