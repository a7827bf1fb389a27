// resize: truncate, both ways, and allocation of space.
//
//   shrink   write range [new, inf) -> block -> seal the tail page and what is beyond -> the store's
//            truncate -> publish the size -> zero the tail, drop the rest -> unseal, unblock
//   grow     write range [old, inf) -> the store's truncate -> publish the size
//   extend   as grow, from wherever the file ends by then
//   allocate write range [offset, end), or from the old end on if the file grows -> the store's reserve
//            -> grow
//
// If the store refuses, everything is unsealed and nothing has changed. cut_call.h says what all cuts have
// in common; punch, zero, insert and collapse stand in reshape.h.
//
// Who calls: File, holding nothing.
#ifndef QUIRE_FILE_RESIZE_H_
#define QUIRE_FILE_RESIZE_H_

#include <cstdint>
#include <memory>
#include <system_error>

#include "file/inode.h"
#include "sync/wait.h"

namespace quire::file {

// Errors: the store's, Errc::kTimedOut, Errc::kInterrupted.
std::error_code truncate(const std::shared_ptr<Inode>& inode, std::uint64_t size_bytes,
                         const sync::WaitLimit& limit);

// Extends the file by `*bytes` zeros, or by as many as there is room for, in multiples of `alignment_bytes`, and
// sets `*bytes` to how many. `*offset` becomes where the file ended, `*cuts` Inode::cuts() at that moment. Errors:
// EINVAL where that is no such multiple, EFBIG, those of truncate().
std::error_code extend(const std::shared_ptr<Inode>& inode, std::uint64_t alignment_bytes,
                       std::size_t* bytes, std::uint64_t* offset, std::uint64_t* cuts,
                       const sync::WaitLimit& limit);
// Truncates to `size_bytes` a file that still has `from_bytes`, `cuts`, and AppendPlaces::changes(); any other stays as
// it is.
std::error_code cut_back(const std::shared_ptr<Inode>& inode, std::uint64_t from_bytes,
                         std::uint64_t size_bytes, std::uint64_t cuts, std::uint64_t changes,
                         const sync::WaitLimit& limit);

// Sees to it that the store has space for bytes [offset, end), without changing any; unless `keep_size`,
// the file ends at `end` at least. REQUIRES: offset < end <= limits::kFileSizeMaxBytes. Errors:
// EOPNOTSUPP where the store cannot, the store's, Errc::kTimedOut, Errc::kInterrupted; neither bytes nor
// size have changed then.
std::error_code allocate(const std::shared_ptr<Inode>& inode, std::uint64_t offset,
                         std::uint64_t end, bool keep_size, const sync::WaitLimit& limit);

// The file has lost its name and nobody else will use it: drops every page, dirty ones too, and forgets
// what the store has not been told, so that closing it writes nothing. The file is empty then; the
// store keeps what it has. Errors: Errc::kTimedOut, Errc::kInterrupted; nothing has changed then.
std::error_code discard(Inode& inode, const sync::WaitLimit& limit);

// Looks whether the object was changed behind the cache's back, with every writer and request of ours
// kept out. If so and no page is dirty: drops every page and takes what the store says. If pages are
// dirty they are kept, and the next sync says so (Inode::set_stale).
enum class Behind : std::uint8_t { kUnchanged, kAdopted, kStale };
Behind check_behind(Inode& inode, const sync::WaitLimit& limit);

// Ends the error state of a file that nobody has open but the caller: takes the size that the store has,
// and keeps of the pages only what is unwritten. Errors: the store's, Errc::kTimedOut, Errc::kInterrupted;
// the file stays broken then. Blocks.
std::error_code mend(Inode& inode, const sync::WaitLimit& limit);

// Writes the pages in [first_page, last_page] back and drops those that are clean and unused then. Waits
// for at most limits::kCloseWaitMax: then Errc::kTimedOut, and what is clean has been dropped.
std::error_code drop_behind(const std::shared_ptr<Inode>& inode, std::uint64_t first_page,
                            std::uint64_t last_page);

}  // namespace quire::file

#endif  // QUIRE_FILE_RESIZE_H_
