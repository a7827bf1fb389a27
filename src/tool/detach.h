// Detaching a mount: umount2(2) for root, fusermount3(1) for others.
//
// Thread-safety: as BoundedCall.
#ifndef QUIRE_TOOL_DETACH_H_
#define QUIRE_TOOL_DETACH_H_

#include <string_view>

#include "quire/result.h"
#include "tool/mount_table.h"

namespace quire::tool {

// A mount that is gone already is a success. Blocks, but not for ever. Errors: EBUSY, ETIMEDOUT, EPERM,
// others; the context is a sentence that says what to do.
Status detach(const Mount& mount);

// For detach() and its tests: what fusermount3 said, as an errno.
int detach_error(std::string_view fusermount_said);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_DETACH_H_
