// What the file system of a directory allows, tried on a file without a name where one can be made.
#ifndef QUIRE_TOOL_DIRECTORY_CHECKS_H_
#define QUIRE_TOOL_DIRECTORY_CHECKS_H_

#include <string>
#include <vector>

#include "tool/check.h"

namespace quire::tool {

std::vector<Check> directory_checks(const std::string& directory);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_DIRECTORY_CHECKS_H_
