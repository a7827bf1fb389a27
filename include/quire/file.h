// An open file. Reads and writes go through the cache that opened it and are coherent with those of
// every other File of the same object, hard links included.
//
// Thread-safety: all calls may be made from any number of threads at once, except close(),
// destruction, move and assignment, which need the File to themselves.
//
// Atomicity: a write excludes every other operation that changes bytes or size in its range, so
// overlapping writes never mix. A read sees each page (4 KiB) whole: all of a write to that page or
// nothing of it; a read of several pages may see some of them before and some after a write. Of readv() this
// holds for each buffer by itself: a page that two buffers share may be of before and after a write.
//
// Direct IO: a read, write or append of a file opened with OpenFlags::kDirect, or for which
// CallOptions::path says so, moves the bytes between the caller's memory and the store. It is coherent with
// everything that goes through the cache: a direct read sees every write that has ended, a direct write is
// seen by every read that begins after it, and what is said of atomicity holds. It reads nothing ahead and
// leaves nothing in the cache; of a direct write the pages that it touches, whole, leave it. Like every
// write it is durable after sync().
//   Offset and length of each buffer must be multiples of what the store asks for
//   (StoreTraits::io_alignment_bytes; a host directory: 4096), also where a read passes the end of the file;
//   and so must the buffer's place in memory, unless the call can be left. Else EINVAL, and the text names
//   what is wrong and the number. So does an append to a file whose end is no multiple of it.
//   A call that can be left, by a deadline or a stop token, is copied through memory of the cache's, so that
//   the store has none of the caller's then; one that cannot be left lasts until the store has answered.
//   A write that the store fails in the middle returns what went before in pieces of
//   limits::kDirectPieceBytes; the rest of that piece holds old bytes or new ones.
//   A direct write to a page that somebody uses for longer than limits::kPinnedWaitMax goes through the
//   cache, and to the store from there, before it returns. That is a buffered write: it waits until nobody
//   uses the page any more, for as long as the call allows; one that cannot be left waits without bound, and
//   for ever if its own thread is the one that uses the page.
//
// Buffers in mappings: the buffer of any read, write or append may lie in a mapping that map() made (mappings by
// mmap(2), of a mount's files too, are not meant), of any file of any cache of this process, the same bytes of the
// same file included. It is copied then, while the call holds nothing that a page fault may wait for; of the memory
// of the cache calls of that kind use a quarter, or half with direct calls that can be left. Such a call goes piece
// by piece, each of 1 MiB or a sixteenth of the cache, and what is said of atomicity holds of each piece, not of the
// whole. An append of more than a piece extends the file by zeros first, which others may see until it has ended; if
// somebody cuts the file short, collapses it or inserts into it meanwhile, it ends there (ECANCELED). One that ends
// early cuts off what it has not filled, unless somebody changed the file meanwhile, or there is no time left to: then
// zeros stay. Direct IO needs no aligned memory there. A page of the buffer that cannot be had ends the call: what went
// before counts, else EFAULT or why it cannot. CacheOptions::deadlock can make an error of direct IO from bytes of a
// file to themselves (EDEADLK).
//
// Errors that every call can give, beside those it names: Errc::kForked in the child of a fork,
// Errc::kClosed after close(), Errc::kInterrupted and Errc::kTimedOut as the CallOptions ask.
#ifndef QUIRE_FILE_H_
#define QUIRE_FILE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <variant>
#include <vector>

#include "quire/export.h"
#include "quire/limits.h"
#include "quire/result.h"
#include "quire/store.h"

namespace quire {

class FileImpl;
class Mapping;

// How a read, write or append gets at the bytes.
enum class IoPath {
  kAsOpened,  // kDirect for files opened with OpenFlags::kDirect, else kCached
  kCached,
  kDirect,  // see "Direct IO" above
};

// A way out of any wait. The defaults wait for as long as it takes.
struct CallOptions {
  // The call gives up with Errc::kInterrupted soon after a stop is requested, even if the store
  // never answers. What it had begun is finished or left behind by the library.
  std::stop_token stop = {};
  // The call gives up with Errc::kTimedOut at this time.
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  // Of reads, writes and appends, submitted ones too; nothing to other calls.
  IoPath path = IoPath::kAsOpened;
};

struct FileStat {
  std::uint64_t size_bytes = 0;
  std::uint64_t allocated_bytes = 0;  // on the store, now
  TimeSpec atime;
  TimeSpec mtime;  // of the last write through the cache, written back or not
  TimeSpec ctime;
  ObjectId id;
  std::uint32_t mode = 0;
  std::uint32_t links = 1;
};

enum class Advice {
  kNormal,      // the usual readahead
  kSequential,  // the largest window at once
  kRandom,      // no readahead
  kWillNeed,    // read the range into the cache now, as far as memory allows, without waiting
  kDontNeed,    // write the range back and drop its clean pages
};

// What a program may do with mapped memory (mapping.h).
enum class MapAccess {
  kRead,
  kReadWrite,
};
struct MapOptions {
  MapAccess access = MapAccess::kReadWrite;
  // Stores change the file. False, as MAP_PRIVATE of mmap(2): only with kRead, where it makes no difference.
  bool shared = true;
  // The kernel lets stores through by itself and remembers the pages; writeback asks it (mapping.h). ENOTSUP before
  // Linux 6.7, and in a cache that takes space for a page before it is stored into (CacheOptions::reserve_space over a
  // store that promises space). No matter where stores can never be allowed. Goes together with in_thread.
  bool async_stores = false;
  // Accesses that need the library are answered in the thread that makes them, from its SIGBUS, and not by a thread of
  // the library: cheaper, with the limits that mapping.h lists under "In the accessing thread".
  bool in_thread = false;
};

// The requests that File::submit takes. Buffers must stay valid until on_done.
struct ReadOp {
  std::span<std::byte> buffer;
  std::uint64_t offset = 0;
};
struct WriteOp {
  std::span<const std::byte> buffer;
  std::uint64_t offset = 0;  // ignored by files opened with kAppend
};
struct AppendOp {
  std::span<const std::byte> buffer;
};
struct TruncateOp {
  std::uint64_t size_bytes = 0;
};
struct SyncOp {
  SyncKind kind = SyncKind::kAll;
};
struct AllocateOp {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  bool keep_size = false;
};
// punch(), zero(), insert() or collapse().
struct CutOp {
  Cut kind = Cut::kPunch;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  bool keep_size = false;  // of kZero
};
using Op = std::variant<ReadOp, WriteOp, AppendOp, TruncateOp, SyncOp, AllocateOp, CutOp>;
// Receives the result: bytes moved (for AppendOp too), 0 for the others.
using OnDone = std::function<void(Result<std::size_t>)>;

class QUIRE_EXPORT File {
 public:
  File() noexcept;  // closed
  File(File&&) noexcept;
  // Closes the file that it held as the destructor does.
  File& operator=(File&&) noexcept;
  // Closes. An error of writeback that nobody has asked for is logged.
  ~File();

  bool is_open() const noexcept;

  // Waits for submitted requests, for as long as they take: give those that may meet a store that
  // does not answer a deadline or a stop. Then writes the file's dirty pages to the store, within
  // limits::kCloseWaitMax, and gives the file back. Returns what could not be written; such pages stay
  // in the cache and are tried again until the Cache is closed. Does not make data durable: sync()
  // does. The File is closed either way.
  Status close();

  // Reads up to buffer.size() bytes from `offset`. Returns fewer only at the end of the file or past
  // limits::kTransferMaxBytes; 0 at or after the end. Errors: EBADF if not open for reading, EIO and
  // whatever else the store gives, EINVAL if offset + size exceeds limits::kFileSizeMaxBytes, or where a
  // direct read is not aligned. Beyond what was read, a direct one may have stored into the buffer.
  // Each page is read whole, as one write left it. Readahead belongs to the File: threads that read
  // different parts of a file one after the other should open it once each.
  Result<std::size_t> read(std::span<std::byte> buffer, std::uint64_t offset,
                           const CallOptions& call = {});
  Result<std::size_t> readv(std::span<const std::span<std::byte>> buffers, std::uint64_t offset,
                            const CallOptions& call = {});

  // Writes all of `buffer` at `offset` (with kAppend: at the end). Returns fewer bytes than asked
  // only when something failed after a part was written. Errors: EBADF if not open for writing, EFBIG
  // past limits::kFileSizeMaxBytes, EINVAL where a direct write is not aligned, and the store's error
  // (ENOSPC, EIO) when so much is dirty that cannot be written that there is no room for more. Where the
  // store can promise space (CacheOptions::reserve_space) a full disk shows here, as ENOSPC or as fewer bytes,
  // and what was written before has its place. Elsewhere it shows at sync() and at close() too.
  Result<std::size_t> write(std::span<const std::byte> buffer, std::uint64_t offset,
                            const CallOptions& call = {});
  Result<std::size_t> writev(std::span<const std::span<const std::byte>> buffers,
                             std::uint64_t offset, const CallOptions& call = {});
  // Writes at the end of the file, wherever that is by then; returns the offset it went to. The bytes
  // of one append are contiguous. A failure after a part was written is returned as that failure (EFBIG
  // where the largest size cut it), and the part stays. More than limits::kTransferMaxBytes: EINVAL.
  Result<std::uint64_t> append(std::span<const std::byte> buffer, const CallOptions& call = {});

  // Sets the size. Shrinking drops what is beyond; growing adds zeros that take no space. On an error
  // nothing has changed. Errors: EBADF, EFBIG, the store's.
  Status truncate(std::uint64_t size_bytes, const CallOptions& call = {});

  // Allocates space on the store for [offset, offset + length), so that writing there back cannot fail
  // for want of it. No byte changes; the file grows to the end of the range if it was shorter, by zeros,
  // unless `keep_size`. mtime and ctime change. On an error neither bytes nor size have changed.
  // Errors: EBADF if not open for writing, EINVAL for a length of 0 and where offset + length overflows,
  // EFBIG past limits::kFileSizeMaxBytes, EOPNOTSUPP where the store cannot promise space, ENOSPC and
  // whatever else the store gives.
  Status allocate(std::uint64_t offset, std::uint64_t length, bool keep_size = false,
                  const CallOptions& call = {});

  // The cuts of fallocate(2). Offsets and lengths are in bytes.
  // Each excludes every other operation that changes bytes or size in its range, waits for those who use
  // a page of it just now, and changes mtime and ctime. Errors of all: EBADF if not open for writing,
  // EINVAL for a length of 0 and where offset + length overflows, EFBIG past limits::kFileSizeMaxBytes,
  // EOPNOTSUPP where the store cannot, with the file intact, and whatever else the store gives.

  // Makes bytes [offset, offset + length) zero and gives the space of whole pages in it back. The size
  // stays, also where the range ends past it. After an error of the store's, and after a give-up, some of
  // the bytes may be zero; no other byte has changed.
  Status punch(std::uint64_t offset, std::uint64_t length, const CallOptions& call = {});
  // The same, but the store keeps or allocates the space. The file grows to the end of the range if it
  // was shorter, unless `keep_size`.
  Status zero(std::uint64_t offset, std::uint64_t length, bool keep_size = false,
              const CallOptions& call = {});

  // insert() puts `length` zero bytes in at `offset`, and what was there and behind moves up; collapse()
  // takes bytes [offset, offset + length) out, and what is behind moves down. Everything behind `offset`
  // is written to the store first. Errors beside those of all: EINVAL unless offset and length are
  // multiples of limits::kPageBytes and of the store's block, and offset (collapse: offset + length) lies
  // before the end of the file; EFBIG where the file would become too long. Nothing has changed then.
  // An error that the store gives while it moves the bytes (EIO, ENOSPC) leaves it unknown what is
  // where: from then on every call that reads, changes or syncs the file, by whatever File, fails with
  // EIO, until all of them are closed and it is opened again. What it holds then is what the store has.
  Status insert(std::uint64_t offset, std::uint64_t length, const CallOptions& call = {});
  Status collapse(std::uint64_t offset, std::uint64_t length, const CallOptions& call = {});

  // Writes every dirty page and makes data and metadata durable. After an error the pages stay dirty
  // and readable, and each later sync fails until they have reached the store.
  // Pages that had left the cache when a sync failed cannot be written again: each later sync of them
  // fails with EIO, and says where they are, until they are overwritten as a whole or cut away.
  Status sync(const CallOptions& call = {});
  // The same without metadata that is not needed to read the data back (time stamps).
  Status datasync(const CallOptions& call = {});
  // datasync() of the pages that [offset, offset + length) touches; length 0: to the end.
  Status sync_range(std::uint64_t offset, std::uint64_t length, const CallOptions& call = {});

  // Drops from the cache what is clean of the pages that [offset, offset + length) touches; length 0: to the
  // end. For when the object was changed by other means: who reads a dropped page afterwards gets what
  // the store has then. Errors: EBUSY if pages stayed, because they are dirty or somebody uses them: the
  // text says how many, and the rest has been dropped all the same.
  Status invalidate(std::uint64_t offset, std::uint64_t length, const CallOptions& call = {});
  // Writes the dirty ones of these pages to the store and drops all of them. In between nobody can dirty
  // them again, so each is written once at most, and other programs then find the bytes on the store (not
  // yet durable: sync()). Writers, and readers of these pages, wait meanwhile. Errors, after each of
  // which all pages are where they were: EBUSY if somebody uses a page for longer than
  // limits::kPinnedWaitMax, and the store's.
  Status write_and_invalidate(std::uint64_t offset, std::uint64_t length,
                              const CallOptions& call = {});

  // Tells how a range will be used; length 0: to the end. Never fails for want of memory.
  Status advise(std::uint64_t offset, std::uint64_t length, Advice advice);

  // Maps [offset, offset + length), which may reach beyond the end of the file. The mapping outlives this File: it
  // counts as an open file of its own, which Cache::close() refuses to close. See mapping.h.
  // Waits for operations that change the file, the first time that the file is mapped. Needs no memory of the
  // cache, and no IO. Errors: EACCES if the file is not open for reading, or not for writing while stores are to
  // change it; EINVAL for a length of 0 and an offset that is no multiple of limits::kPageBytes; EOVERFLOW past
  // limits::kFileSizeMaxBytes; ENOTSUP for a private writable mapping, and where the kernel cannot do it; ENOMEM,
  // EMFILE, ENFILE; EFBIG where the file is longer than files of the process may be (RLIMIT_FSIZE, which counts for
  // memory too); where userfaultfd(2) is refused EPERM, EACCES or ENOSYS, with a text that says how to allow it; and
  // Errc::kTimedOut and Errc::kInterrupted, by `call`.
  Result<Mapping> map(std::uint64_t offset, std::uint64_t length, const MapOptions& options = {},
                      const CallOptions& call = {});

  Result<FileStat> stat();
  // Sets the time stamps; they survive the writeback of earlier writes. Null: leave as it is.
  Status set_times(const TimeSpec* atime, const TimeSpec* mtime);

  // Starts `op` and returns. `on_done` runs exactly once, on a thread of the library that holds no
  // lock, possibly before submit returns. It may call anything but close() of this File; nor may it
  // destroy, move or assign to the File, or destroy the Cache, which wait for it. It must not throw and
  // should be short. Requests wait for one of CacheOptions::worker_threads; `call` counts from here, so
  // that one whose deadline passes or whose stop is requested before its turn ends then, without having
  // done anything. Errors, and then on_done never runs: Errc::kBusy when limits::kSubmitMax requests
  // are outstanding, EINVAL for an empty on_done, Errc::kClosed.
  Status submit(Op op, OnDone on_done, const CallOptions& call = {});

 private:
  friend class Cache;
  QUIRE_NO_EXPORT explicit File(std::unique_ptr<FileImpl> impl) noexcept;
  std::unique_ptr<FileImpl> impl_;
};

}  // namespace quire

#endif  // QUIRE_FILE_H_
