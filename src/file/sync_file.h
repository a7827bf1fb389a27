// sync_file: makes what was written durable.
//
//   pages of a failed sync become dirty again -> flush -> the store is told the time stamps -> in turn
//   with other syncs of the file: the store's sync
//
// After an error the pages stay dirty and readable, and every later sync fails until they have reached
// the store and a sync of the store has succeeded. A page that was evicted since it was written cannot
// be written again after a failed sync: what the store gives for it may be the old bytes. It is lost
// (unsynced.h), and every sync of it fails with EIO until it is cut away or written over as a whole.
//
// Who calls: File and Cache, and writes with O_SYNC or O_DSYNC, holding nothing.
#ifndef QUIRE_FILE_SYNC_FILE_H_
#define QUIRE_FILE_SYNC_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <system_error>

#include "cache/writeback.h"
#include "file/inode.h"
#include "quire/store.h"
#include "sync/wait.h"

namespace quire::file {

// Makes the pages in [first_page, last_page] durable. Errors: the store's; EIO for lost pages; ESTALE, once, if the
// object was changed behind the cache's back while pages of it were dirty; Errc::kTimedOut, Errc::kInterrupted.
std::error_code sync_pages(const std::shared_ptr<Inode>& inode, std::uint64_t first_page,
                           std::uint64_t last_page, SyncKind kind, const sync::WaitLimit& limit);

inline std::error_code sync_all(const std::shared_ptr<Inode>& inode, SyncKind kind,
                                const sync::WaitLimit& limit) {
  return sync_pages(inode, 0, ~std::uint64_t{0}, kind, limit);
}

// What a person must know of an EIO of sync_pages that comes of lost pages: how many, from where, and what
// can be done; begins with ": ". Empty if no page in the range is lost.
std::string lost_text(const Inode& inode, std::uint64_t first_page, std::uint64_t last_page);

// Submits a sync of the store's for what has been written by now, unless one is under way, and waits for
// nothing. What it fails to make durable the next sync_pages() deals with. Any thread, while the file is
// in use.
void begin_sync(const std::shared_ptr<Inode>& inode);

// What failed syncs were about becomes dirty again, so that it can be written again. Errors: EIO where the
// file is open for reading only; the store's, Errc::kTimedOut, Errc::kInterrupted.
std::error_code rewrite_failed(Inode& inode, const sync::WaitLimit& limit);

// cache::flush_all for those who hold nothing. Where the file ended off the store's alignment, the write-back of
// its last page is refused (EINVAL) if others make the object longer while it is under way: then it is no
// longer at the end. It is written once more, as long as it is now, when they have ended.
cache::FlushResult flush(Inode& inode, std::uint64_t first_page, std::uint64_t last_page,
                         const sync::WaitLimit& limit, cache::Sight sight = cache::Sight::kStays);

// Writes the file's dirty pages to the store, stamps included, without making them durable.
std::error_code write_back(Inode& inode, const sync::WaitLimit& limit);

}  // namespace quire::file

#endif  // QUIRE_FILE_SYNC_FILE_H_
