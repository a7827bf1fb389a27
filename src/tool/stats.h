// quire stats: the numbers of a mount, once or every second.
#ifndef QUIRE_TOOL_STATS_H_
#define QUIRE_TOOL_STATS_H_

#include "tool/arguments.h"

namespace quire::tool {

// Returns the exit status.
int stats(const StatsArguments& arguments);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_STATS_H_
