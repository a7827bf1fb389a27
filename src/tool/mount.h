// quire mount: serves a directory at a mount point, as a daemon or in the foreground.
#ifndef QUIRE_TOOL_MOUNT_H_
#define QUIRE_TOOL_MOUNT_H_

#include "tool/arguments.h"

namespace quire::tool {

// Returns the exit status; in the daemon, when the mount has ended.
int mount(const MountArguments& arguments);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_MOUNT_H_
