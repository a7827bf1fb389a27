// quire version.
#ifndef QUIRE_TOOL_VERSION_H_
#define QUIRE_TOOL_VERSION_H_

#include <string>

#include "tool/arguments.h"

namespace quire::tool {

// "quire 0.1.0", the same for `quire version` and `quire --version`.
std::string version_text();

// Returns the exit status.
int version(const VersionArguments& arguments);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_VERSION_H_
