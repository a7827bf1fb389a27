// quire unmount: writes everything back and ends a mount, or says what cannot be written.
//
//   write back --all is durable, or --discard--> detach --> wait for the daemon's last word --> 0 or 3
//        \--something is not--> listed, nothing is unmounted --> 3
#ifndef QUIRE_TOOL_UNMOUNT_H_
#define QUIRE_TOOL_UNMOUNT_H_

#include "tool/arguments.h"

namespace quire::tool {

// Returns the exit status.
int unmount(const UnmountArguments& arguments);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_UNMOUNT_H_
