// resize: truncate, both ways.
//
//   shrink   write range [new, inf) -> block -> seal the tail page and what is beyond -> the store's
//            truncate -> publish the size -> zero the tail, drop the rest -> unseal, unblock
//   grow     write range [old, inf) -> the store's truncate -> publish the size
//
// If the store refuses, everything is unsealed and nothing has changed. If the caller gives up while the
// store works, the operation keeps its locks and finishes in the thread that ends the request.
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

// Looks whether the object was changed behind the cache's back, with every writer and request of ours
// kept out. If so and no page is dirty: drops every page and takes what the store says. If pages are
// dirty they are kept, and the next sync says so (Inode::set_stale).
enum class Behind : std::uint8_t { kUnchanged, kAdopted, kStale };
Behind check_behind(Inode& inode, const sync::WaitLimit& limit);

// Writes the pages in [first_page, last_page] back and drops those that are clean and unused then. Waits
// for at most limits::kCloseWaitMax: then Errc::kTimedOut, and what is clean has been dropped.
std::error_code drop_behind(const std::shared_ptr<Inode>& inode, std::uint64_t first_page,
                            std::uint64_t last_page);

}  // namespace quire::file

#endif  // QUIRE_FILE_RESIZE_H_
