// StoreSync: syncs of the whole store that can be left. Store::sync_store blocks, and for as long as the
// store likes; so for a caller who may want to leave, a worker makes the call, and the caller waits for
// the worker. One at a time: a second caller waits, within its own limit, for one that was left.
//
//   idle --- run() takes the turn ---> asked --- a worker is free ---> in the store ---> idle
//                                        +------ the limit is reached while it waits --> idle
//
// Who calls: CacheImpl, from any thread, holding nothing. The table and the pool outlive what was asked
// of them: the pool is stopped first, which waits for it.
#ifndef QUIRE_FILE_STORE_SYNC_H_
#define QUIRE_FILE_STORE_SYNC_H_

#include "file/inode_table.h"
#include "file/worker_pool.h"
#include "quire/result.h"
#include "sync/range_lock.h"
#include "sync/wait.h"

namespace quire::file {

class StoreSync {
 public:
  // InodeTable::sync_store(), within `limit`. Errors: its own, Errc::kTimedOut, Errc::kInterrupted;
  // Errc::kBusy if the pool takes nothing more.
  Status run(InodeTable& inodes, WorkerPool& workers, const sync::WaitLimit& limit);

 private:
  struct Call;
  sync::RangeLock turn_;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_STORE_SYNC_H_
