// tail: the part of a file's last page that lies behind its end. A program that has the file mapped may store there
// at any time, and may read there what it stored, as POSIX has it; but no byte of that may come into the file when it
// grows. So whoever makes a file longer, by whatever means, settles its tail first.
//
// Who calls: writes, truncates, allocate and zero that extend the file, holding the write range from its end on and
// no page.
#ifndef QUIRE_FILE_TAIL_H_
#define QUIRE_FILE_TAIL_H_

#include <system_error>

#include "file/inode.h"
#include "sync/wait.h"

namespace quire::file {

// Bytes behind the end of the file are zero; who stores there from now on does so while the file grows. Costs a look
// at a word where nobody maps the file. Errors: Errc::kTimedOut, Errc::kInterrupted, the store's.
std::error_code settle_tail(Inode& inode, const sync::WaitLimit& limit);

}  // namespace quire::file

#endif  // QUIRE_FILE_TAIL_H_
