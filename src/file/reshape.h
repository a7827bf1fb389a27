// reshape: cuts inside a file.
//
//   punch, zero       write range -> the pages at the edges, in part, are stored into as by a write -> the
//                     whole pages between: block -> seal -> the store's cut -> drop -> unblock
//   insert, collapse  write range and block [offset, inf) -> write and seal everything there -> the store's
//                     object is made as long as the file -> the store's shift -> publish the size -> drop,
//                     unblock
//
// What a punch or zero drops unwritten may be the end of the file that nobody has told the store of: then
// the store's size is set first, for nothing that is written back later would.
//
// If the store fails. A refusal (EINVAL, EOPNOTSUPP and the like, which a store gives before it begins)
// changes nothing. After any other error of a punch or zero, each byte of the range is what it was or 0:
// clean pages are dropped, dirty ones kept. After any other error of a shift nobody knows what is where:
// the file is broken (Inode::broken) until mend() (resize.h).
//
// Each of these is a CutCall (cut_call.h). Who calls: File, holding nothing.
#ifndef QUIRE_FILE_RESHAPE_H_
#define QUIRE_FILE_RESHAPE_H_

#include <cstdint>
#include <memory>
#include <system_error>

#include "file/inode.h"
#include "quire/store.h"
#include "sync/wait.h"

namespace quire::file {

// Makes bytes [offset, end) zero. `kind`: kPunch gives their space back, and never changes the size; kZero
// keeps it, and unless `keep_size` the file ends at `end` at least. REQUIRES: offset < end <=
// limits::kFileSizeMaxBytes. Errors: EOPNOTSUPP where the store cannot; EIO of a broken file; the store's,
// Errc::kTimedOut, Errc::kInterrupted: after those, some of the bytes may be zero.
std::error_code clear(const std::shared_ptr<Inode>& inode, Cut kind, std::uint64_t offset,
                      std::uint64_t end, bool keep_size, const sync::WaitLimit& limit);

// kInsert: puts `length` zeros in at `offset`, and what was there from on moves up. kCollapse: takes [offset,
// offset + length) out, and what was behind moves down. Errors: EOPNOTSUPP where the store cannot; EINVAL
// unless both are multiples of limits::kPageBytes and of the store's block, `length` is not 0, and `offset`
// (kCollapse: offset + length) lies before the end of the file; EFBIG; EIO of a broken file; the store's,
// Errc::kTimedOut, Errc::kInterrupted. Nothing has changed then, unless the file is broken.
std::error_code shift(const std::shared_ptr<Inode>& inode, Cut kind, std::uint64_t offset,
                      std::uint64_t length, const sync::WaitLimit& limit);

}  // namespace quire::file

#endif  // QUIRE_FILE_RESHAPE_H_
