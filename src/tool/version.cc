#include "tool/version.h"

#include "quire/version.h"
#include "tool/message.h"

namespace quire::tool {

std::string version_text() {
  return std::string("quire ") + quire::version();
}

int version(const VersionArguments&) {
  return put(version_text() + '\n') ? kSuccess : fail("cannot write to standard output");
}

}  // namespace quire::tool
