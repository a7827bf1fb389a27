// Asks the daemon of a mount to write everything back, and waits for as long as it gets on.
//
// Thread-safety: as BoundedCall.
#ifndef QUIRE_TOOL_WRITE_BACK_H_
#define QUIRE_TOOL_WRITE_BACK_H_

#include <memory>
#include <string>

#include "mount/control.h"
#include "quire/result.h"
#include "tool/mount_table.h"

namespace quire::tool {

// `socket`: where the daemon shall say its last word. Says on standard error what is left to do, now and
// then. Errors: ENOTCONN (the daemon is dead), ETIMEDOUT (it has got no further for minutes), EPERM,
// others.
Result<std::unique_ptr<mount::control::WriteBack>> write_back(const Mount& mount, bool discard,
                                                              const std::string& socket);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_WRITE_BACK_H_
