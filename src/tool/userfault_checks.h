// What the machine allows of userfaultfd, by which programs that link the library map files. No mount needs it.
#ifndef QUIRE_TOOL_USERFAULT_CHECKS_H_
#define QUIRE_TOOL_USERFAULT_CHECKS_H_

#include <vector>

#include "map/userfault.h"
#include "tool/check.h"

namespace quire::tool {

// With what is refused taken as not there, for the tests. Nothing is changed by looking.
std::vector<Check> userfault_checks(map::FeatureSet refuse = {});

}  // namespace quire::tool

#endif  // QUIRE_TOOL_USERFAULT_CHECKS_H_
