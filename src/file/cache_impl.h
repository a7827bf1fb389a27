// CacheImpl and FileImpl: what stands behind the public handles. A FileImpl keeps its CacheImpl alive,
// so that a File that outlives its Cache fails with Errc::kClosed rather than touch freed memory.
#ifndef QUIRE_FILE_CACHE_IMPL_H_
#define QUIRE_FILE_CACHE_IMPL_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "cache/page_cache.h"
#include "file/buffered.h"
#include "file/direct.h"
#include "file/fork_guard.h"
#include "file/inode.h"
#include "file/inode_table.h"
#include "file/store_sync.h"
#include "file/worker_pool.h"
#include "quire/cache.h"
#include "quire/file.h"
#include "sync/atomic.h"
#include "sync/condition.h"
#include "sync/mutex.h"

namespace quire {

// That a store serves this cache and no other, from claim() to release() or the end of the object.
class StoreClaim {
 public:
  StoreClaim() = default;
  ~StoreClaim() { release(); }
  StoreClaim(const StoreClaim&) = delete;
  StoreClaim& operator=(const StoreClaim&) = delete;

  // False if another cache has it.
  bool claim(const std::shared_ptr<Store>& store) {
    if (store->claimed_.exchange(true)) return false;
    store_ = store;
    return true;
  }
  void release() {
    if (store_ != nullptr) store_->claimed_.store(false);
    store_.reset();
  }

 private:
  std::shared_ptr<Store> store_;
};

class CacheImpl : public std::enable_shared_from_this<CacheImpl> {
 public:
  static Result<std::shared_ptr<CacheImpl>> create(std::shared_ptr<Store> store,
                                                   const CacheOptions& options);
  ~CacheImpl();

  Result<std::unique_ptr<FileImpl>> open(std::string_view path, OpenFlags flags,
                                         std::uint32_t mode);
  // The same of an object that the caller has opened in the store, for reading, and if `flags` has kWrite
  // for writing too. `name`: for messages, and for opening the file again if a sync of the whole store
  // fails. kCreate and kExclusive mean nothing here. On an error the handle is closed.
  Result<std::unique_ptr<FileImpl>> adopt(const OpenedObject& opened, std::string_view name,
                                          OpenFlags flags);
  Status sync(const CallOptions& call);
  Status close(const CallOptions& call);
  CacheStats stats() const;
  // What a file shows that the cache knows, open or not: while it does, what it shows is not what the
  // host has. See InodeTable::known.
  struct KnownObject {
    std::uint64_t size_bytes = 0;
    file::Stamps stamps;
  };
  std::optional<KnownObject> known(const ObjectId& id, const ObjectStat* host_now = nullptr) const;

  bool forked() const noexcept { return generation_ != file::fork_generation(); }
  bool closed() const noexcept { return closed_.load(); }
  // The Cache is gone and Files are left: from now on everything fails with Errc::kClosed.
  void abandon() noexcept { closed_.store(true); }

  cache::PageCache& pages() noexcept { return *pages_; }
  file::InodeTable& inodes() noexcept { return *inodes_; }
  file::WorkerPool& workers() noexcept { return *workers_; }
  void log(LogLevel level, std::string_view message) const { pages_->log(level, message); }

 private:
  friend class FileImpl;  // for its reopen()

  CacheImpl() = default;
  // Of opens by path or not: an access is asked for, and kTruncate and kAppend have kWrite.
  static Status check_flags(std::string_view path, OpenFlags flags);
  // The end of every open: truncates if it shall be.
  Result<std::unique_ptr<FileImpl>> opened(std::shared_ptr<file::Inode> inode, OpenFlags flags);
  // What one pass over all files came to.
  struct Outcome {
    std::error_code error;             // the first
    std::vector<std::string> failed;   // what is not durable now, each with its error
    std::vector<std::string> changed;  // files that another program changed: said once, not again
    std::string text() const;
  };
  // Syncs everything that was ever written.
  Outcome sync_everything(const sync::WaitLimit& limit);
  // The end: writes what it can, waits until the store has answered every request, forgets the files. If
  // it is left at `limit` nothing is forgotten, and it may be called again. REQUIRES: no file is open.
  Status finish(const sync::WaitLimit& limit);
  // finish() could not: the cache goes on as before.
  Error refuse(std::error_code code, std::string text);

  const unsigned generation_ = file::fork_generation();
  sync::Atomic<bool> closed_{false};
  StoreClaim claim_;
  // Of close() and destruction, which exclude each other.
  bool finished_ = false;
  std::vector<std::string> changed_;  // gathered by calls of finish()
  std::unique_ptr<cache::PageCache> pages_;
  std::unique_ptr<file::InodeTable> inodes_;
  file::StoreSync store_sync_;
  std::unique_ptr<file::WorkerPool> workers_ = std::make_unique<file::WorkerPool>();
};

class FileImpl {
 public:
  FileImpl(std::shared_ptr<CacheImpl> owner, std::shared_ptr<file::Inode> inode,
           OpenFlags open_flags);
  FileImpl(const FileImpl&) = delete;
  FileImpl& operator=(const FileImpl&) = delete;

  // Calls can be made now that need `needed` of the open flags.
  bool ready(OpenFlags needed) const noexcept {
    return !owner_->forked() && !owner_->closed() && has(flags_, needed);
  }
  // An error if calls cannot be made now; `needed`: kRead, kWrite or neither.
  std::error_code usable(OpenFlags needed) const noexcept;
  Error fail(std::error_code code, std::string_view what) const;
  Error fail_at(std::error_code code, std::string_view what, std::uint64_t offset,
                std::size_t bytes) const;

  Result<std::size_t> read(std::span<std::byte> buffer, std::uint64_t offset,
                           const CallOptions& call);
  // Reads what is in the cache and needs nothing but copying, up to the first page that does; waits for
  // nothing.
  std::size_t read_hits(std::span<std::byte> buffer, std::uint64_t offset) noexcept;
  Result<std::size_t> readv(std::span<const std::span<std::byte>> buffers, std::uint64_t offset,
                            const CallOptions& call);
  // `offset` may be file::kAtEnd; it is set to where the bytes went.
  Result<std::size_t> writev(std::span<const std::span<const std::byte>> buffers,
                             std::uint64_t* offset, const CallOptions& call);
  // What a program stored into memory that it mapped from the file, as the mount hears of it: taken whether the
  // store has space for it or not. Nothing beyond the end, nor at it.
  Result<std::size_t> write_stored(std::span<const std::byte> buffer, std::uint64_t offset,
                                   const CallOptions& call);
  Result<std::uint64_t> append(std::span<const std::byte> buffer, const CallOptions& call);
  Status truncate(std::uint64_t size_bytes, const CallOptions& call);
  Status sync(std::uint64_t first_page, std::uint64_t last_page, SyncKind kind,
              const CallOptions& call);
  Status invalidate(std::uint64_t first_page, std::uint64_t last_page, const CallOptions& call);
  Status write_and_invalidate(std::uint64_t first_page, std::uint64_t last_page,
                              const CallOptions& call);
  Status advise(std::uint64_t first_page, std::uint64_t last_page, Advice advice);
  Result<FileStat> stat();
  Status set_times(const TimeSpec* atime, const TimeSpec* mtime);
  Status submit(const Op& op, OnDone on_done, const CallOptions& call);
  Status close();
  void close_and_log();
  void log_error(const Error& error) const { owner_->log(LogLevel::kError, error.message()); }
  const std::shared_ptr<file::Inode>& inode() const noexcept { return inode_; }

  const ObjectId& id() const noexcept { return inode_->id(); }
  // As it was opened, for messages.
  const std::string& name() const noexcept { return inode_->path(); }
  std::uint64_t size_bytes() const noexcept { return inode_->size_bytes(); }
  OpenFlags flags() const noexcept { return flags_; }
  // The file, by whatever open, has a handle for writing: reopen() for writing works.
  bool writable() const noexcept { return inode_->write_handle().value != 0; }
  // Pages that are dirty or under writeback; one that was dirtied again meanwhile counts twice. 0: all
  // that was written before has reached the store.
  std::size_t dirty_pages() const noexcept { return inode_->dirty().unwritten(); }
  // Another open of the same file, with a readahead of its own, without asking the store. Errors:
  // those of `flags`, as Cache::open has them, ENFILE, EBADF for kWrite where writable() is false.
  Result<std::unique_ptr<FileImpl>> reopen(OpenFlags flags);
  // The end of an open whose file is open otherwise, and stays so: unlike close() it writes nothing.
  // REQUIRES: nothing was submitted, and no other call follows.
  void leave() noexcept { owner_->inodes().leave(inode_); }
  // Writes every dirty page to the store, and the time stamps, without making them durable.
  Status write_back(const CallOptions& call);
  Status allocate(std::uint64_t offset, std::uint64_t length, bool keep_size,
                  const CallOptions& call);
  // File::punch, zero, insert and collapse; only zero looks at `keep_size`.
  Status cut(Cut kind, std::uint64_t offset, std::uint64_t length, bool keep_size,
             const CallOptions& call);
  // Nothing but closing and opening the file again is of use (File::insert).
  bool broken() const noexcept { return inode_->broken(); }
  // The file has no name any more and this is its last user: drops every page, dirty ones too, so that
  // closing writes nothing. Waits for writeback under way, for at most limits::kCloseWaitMax; then
  // Errc::kTimedOut, and nothing has changed.
  Status discard();

 private:
  Result<std::size_t> perform(const Op& op, const CallOptions& call);
  // As writev(), and says why it stopped where not all was written.
  Result<file::Transfer> write_part(std::span<const std::span<const std::byte>> buffers,
                                    std::uint64_t* offset, const CallOptions& call);
  bool appends() const noexcept { return has(flags_, OpenFlags::kAppend); }
  bool is_direct(const CallOptions& call) const noexcept {
    return call.path == IoPath::kDirect ||
           (call.path == IoPath::kAsOpened && has(flags_, OpenFlags::kDirect));
  }
  // A read past the cache. REQUIRES: ready for reading.
  Result<std::size_t> read_direct(std::span<const std::span<std::byte>> buffers,
                                  std::uint64_t offset, const CallOptions& call);
  // EINVAL for direct IO that the store does not take; `what`: "reading", "writing".
  Error misaligned(file::Misaligned what_is, std::string_view what, std::uint64_t offset) const;

  const std::shared_ptr<CacheImpl> owner_;
  const std::shared_ptr<file::Inode> inode_;
  const OpenFlags flags_;
  file::SharedReadahead readahead_;

  sync::Mutex mutex_;
  sync::Condition submits_ended_;
  std::size_t submits_ GUARDED_BY(mutex_) = 0;
};

inline sync::WaitLimit to_limit(const CallOptions& call) {
  return {call.deadline, call.stop};
}

}  // namespace quire

#endif  // QUIRE_FILE_CACHE_IMPL_H_
