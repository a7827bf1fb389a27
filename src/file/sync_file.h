// sync_file: makes what was written durable.
//
//   pages of a failed sync become dirty again -> flush -> the store is told the time stamps -> the
//   store's sync
//
// After an error the pages stay dirty and readable, and every later sync fails until they have reached
// the store and a sync of the store has succeeded.
//
// Who calls: File and Cache, and writes with O_SYNC or O_DSYNC, holding nothing.
#ifndef QUIRE_FILE_SYNC_FILE_H_
#define QUIRE_FILE_SYNC_FILE_H_

#include <cstdint>
#include <memory>
#include <system_error>

#include "file/inode.h"
#include "quire/store.h"
#include "sync/wait.h"

namespace quire::file {

// Makes the pages in [first_page, last_page] durable. Errors: the store's; ESTALE, once, if the object
// was changed behind the cache's back while pages of it were dirty; Errc::kTimedOut, Errc::kInterrupted.
std::error_code sync_pages(const std::shared_ptr<Inode>& inode, std::uint64_t first_page,
                           std::uint64_t last_page, SyncKind kind, const sync::WaitLimit& limit);

inline std::error_code sync_all(const std::shared_ptr<Inode>& inode, SyncKind kind,
                                const sync::WaitLimit& limit) {
  return sync_pages(inode, 0, ~std::uint64_t{0}, kind, limit);
}

// Writes the file's dirty pages to the store, stamps included, without making them durable.
std::error_code write_back(Inode& inode, const sync::WaitLimit& limit);

}  // namespace quire::file

#endif  // QUIRE_FILE_SYNC_FILE_H_
