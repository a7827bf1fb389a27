// sealed_write: writes the dirty pages of a sealed range, without unsealing them: so nobody can dirty one
// again between its write and its drop, and each is written at most once, whatever others do. Nobody
// stores into a sealed page, so it is written from its own frame; no snapshot is needed.
//
// Who calls: write_and_invalidate and direct writes, which hold the range sealed.
//
// Invariants:
//  1. A page turns clean when its request has succeeded, and stays dirty, with its place and its credit,
//     when it has failed.
//  2. Before a page turns clean the file floor was told that it was written (note_written), so that a sync
//     which finds it clean makes it durable.
//  3. `owner`, which keeps the pages sealed, lives until the last request has ended, though the caller may
//     have left before.
#ifndef QUIRE_CACHE_SEALED_WRITE_H_
#define QUIRE_CACHE_SEALED_WRITE_H_

#include <cstdint>
#include <memory>
#include <system_error>

#include "cache/file_pages.h"
#include "sync/wait.h"

namespace quire::cache {

// Writes the dirty pages in [first, last], limits::kWritebackDepth requests at a time, and waits for them.
// REQUIRES: the range is sealed, and the locks on it were handed over. Errors: the store's, after which no
// more is begun; Errc::kTimedOut, Errc::kInterrupted: then what was begun goes on alone.
std::error_code write_sealed(FilePages& pages, std::uint64_t first, std::uint64_t last,
                             const std::shared_ptr<void>& owner, const sync::WaitLimit& limit);

}  // namespace quire::cache

#endif  // QUIRE_CACHE_SEALED_WRITE_H_
