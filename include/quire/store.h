// A Store is where bytes finally live: a directory, memory, a cluster. The cache above it reads,
// writes and cuts objects by handle and never sees how.
//
// Who calls: the cache, from any thread, many at a time. Who implements: Quire's own `host` and
// `memory` stores, and you; examples/hundred_line_store.cc is a complete one, and
// quire/store_conformance.h checks any.
//
// Data operations are asynchronous. A call hands over a request; the store answers exactly once by
// IoDone::io_done, from any thread, possibly before the call returns. A store may keep the calling
// thread busy with the request only if the caller passed IoMode::kWait.
//
// A store must not access mappings (mapping.h) of files of a cache that it serves before it has answered, in the
// calling thread or in one of its own: the access may wait for that answer.
//
// Rules that a store keeps, and the conformance suite checks:
//  1. io_done is called exactly once for each request, with no lock of the store held.
//  2. A read sees every write that completed before it was submitted. Requests in flight together
//     have no order, except that those on disjoint page-aligned ranges do not disturb each other.
//  3. A read at or past the end of the object gives fewer bytes than asked for, down to 0, without an
//     error; a hole reads as zeros.
//  4. A write moves all its bytes or fails; after a failure the range holds old bytes, new bytes, or
//     a mixture, and nothing outside it has changed.
//  5. A write past the end grows the object to exactly the end of the write.
//  6. When sync() succeeds, everything that completed before it was submitted survives a crash. When
//     it fails, nothing is promised of what was written since the last success, and the cache writes
//     it again.
//  7. Two opens that reach the same object (hard links) give the same ObjectId, different objects that
//     exist at the same time never do.
//
// Alignment: the cache asks for offsets and memory aligned to StoreTraits::io_alignment_bytes, and
// lengths likewise except where a request ends at the end of the object.
#ifndef QUIRE_STORE_H_
#define QUIRE_STORE_H_

#include <atomic>
#include <bitset>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "quire/export.h"
#include "quire/limits.h"
#include "quire/result.h"

namespace quire {

// Seconds and nanoseconds since the epoch, as struct timespec.
struct TimeSpec {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;  // 0 to 999,999,999

  friend bool operator==(const TimeSpec&, const TimeSpec&) = default;
  friend std::strong_ordering operator<=>(const TimeSpec&, const TimeSpec&) = default;
};

// How a file, or a store's object, is opened. Combine with |.
enum class OpenFlags : std::uint32_t {
  kRead = 1u << 0,
  kWrite = 1u << 1,
  kReadWrite = kRead | kWrite,
  kCreate = 1u << 2,     // O_CREAT
  kExclusive = 1u << 3,  // O_EXCL: with kCreate, fail with EEXIST if the file is there
  kTruncate = 1u << 4,   // O_TRUNC; needs kWrite
  kAppend = 1u << 5,     // O_APPEND: every write goes to the end, whatever its offset
  kSync = 1u << 6,       // O_SYNC: a write returns after its data and all metadata are stored
  kDataSync = 1u << 7,   // O_DSYNC: ... its data, and the metadata needed to read it back
  kDirect = 1u << 8,     // O_DIRECT: reads and writes pass the cache by, see file.h
};
constexpr OpenFlags operator|(OpenFlags a, OpenFlags b) {
  return static_cast<OpenFlags>(static_cast<std::uint32_t>(a) | static_cast<std::uint32_t>(b));
}
constexpr bool has(OpenFlags set, OpenFlags flag) {
  return (static_cast<std::uint32_t>(set) & static_cast<std::uint32_t>(flag)) ==
         static_cast<std::uint32_t>(flag);
}

// Names an object for as long as it exists. Two paths with equal ids are hard links of one object.
struct ObjectId {
  std::uint64_t high = 0;  // host: the device
  std::uint64_t low = 0;   // host: the inode number

  friend bool operator==(const ObjectId&, const ObjectId&) = default;
  friend std::strong_ordering operator<=>(const ObjectId&, const ObjectId&) = default;
};

// An open object. Given out by open(), valid until close(); never 0.
struct ObjectHandle {
  std::uint64_t value = 0;
};

struct ObjectStat {
  std::uint64_t size_bytes = 0;
  std::uint64_t allocated_bytes = 0;
  TimeSpec atime = {};
  TimeSpec mtime = {};
  TimeSpec ctime = {};
  std::uint32_t mode = 0;  // permission bits and type, as st_mode
  std::uint32_t links = 1;
};

struct OpenedObject {
  ObjectHandle handle;
  ObjectId id;
  ObjectStat stat;
  bool created = false;  // this open made it
};

// What a store needs and what it can promise.
struct StoreTraits {
  // Offsets, lengths and memory of requests are multiples of this. A power of two, 1 to 4096.
  std::uint32_t io_alignment_bytes = 1;
  // reserve() is supported, and a write into a reserved range never fails for want of space.
  bool reserves_space = false;
  // set_times() is supported and survives later writes' own stamping only by being called after them.
  bool sets_times = false;
  // The operations of Cut that cut() supports, a bit (1 << kind) each.
  std::uint32_t cuts = 0;
  // sync_store() is supported.
  bool syncs_store = false;
  // read() and write() with IoMode::kWait run in the calling thread.
  bool runs_inline = false;
};

// Some pages of an object whose space Store::reserve_pages looks at and takes.
struct SpaceRequest {
  using Pages = std::bitset<limits::kReservePagesMax>;

  std::uint64_t offset = 0;  // in bytes, of page 0: a multiple of limits::kPageBytes
  std::size_t pages = 0;     // looked at, from there on; 1 to limits::kReservePagesMax
  // Of these, [first, end) shall have space afterwards; equal: none is asked for.
  std::size_t first = 0;
  std::size_t end = 0;

  // The answer, where the store can tell, else all zero and false. It holds after an error too.
  bool told = false;
  Pages had_space;  // pages of which every byte had space before
  Pages had_none;   // pages of which no byte had: what they have now, this request took
};

// What the caller does until the request is done.
enum class IoMode {
  kAsync,  // something else: the store must return promptly
  kWait,   // it waits: the store may use the calling thread and complete before returning
};

// Receives the end of one request.
class IoDone {
 public:
  // `bytes` is what was read or written, 0 for other requests. On an error, `bytes` says nothing.
  // Must not block and must not submit requests with IoMode::kWait.
  virtual void io_done(std::error_code error, std::size_t bytes) noexcept = 0;

 protected:
  ~IoDone() = default;
};

// How space inside an object is cut. See fallocate(2).
enum class Cut { kPunch, kZero, kInsert, kCollapse };

enum class SyncKind {
  kData,  // the bytes, and what is needed to read them back (size): fdatasync
  kAll,   // ... and the rest of the metadata: fsync
};

class QUIRE_EXPORT Store {
 public:
  using Buffer = std::span<std::byte>;
  using ConstBuffer = std::span<const std::byte>;

  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  // REQUIRES: no request in flight, no object open.
  virtual ~Store() = default;

  virtual StoreTraits traits() const noexcept = 0;

  // Opens (with kCreate: makes, with permission bits `mode`) the object at `path`, which is relative
  // to the store's root. Blocks. kAppend, kSync, kDataSync and kDirect are the cache's business and
  // are ignored. Errors: ENOENT, EEXIST, EISDIR, EACCES, ENAMETOOLONG, Errc::kPathEscapes, EMFILE, ELOOP,
  // EINVAL for what is not a regular file, the medium's own (host: EXDEV below a mount point).
  virtual Result<OpenedObject> open(std::string_view path, OpenFlags flags, std::uint32_t mode) = 0;
  // REQUIRES: no request in flight on `object`. Blocks. The handle is gone whatever is returned.
  virtual Status close(ObjectHandle object) = 0;
  // What the store knows of the object now. Blocks.
  virtual Result<ObjectStat> stat(ObjectHandle object) = 0;

  // Reads into `buffers`, in order, from byte `offset`. The array and the memory stay valid until
  // io_done. Total at most limits::kStoreIoMaxBytes in at most limits::kStoreIoMaxPieces pieces. The last
  // page of the largest file is asked for whole, one byte past limits::kFileSizeMaxBytes: rule 3.
  virtual void read(ObjectHandle object, std::uint64_t offset, std::span<const Buffer> buffers,
                    IoMode mode, IoDone& done) noexcept = 0;
  // Writes `buffers`, in order, at byte `offset`. Limits as read(). The last buffer may end off
  // alignment only if the write ends at or past the end of the object.
  virtual void write(ObjectHandle object, std::uint64_t offset,
                     std::span<const ConstBuffer> buffers, IoMode mode, IoDone& done) noexcept = 0;
  // Sets the object's size; what it grows by reads as zeros.
  virtual void truncate(ObjectHandle object, std::uint64_t size_bytes, IoDone& done) noexcept = 0;
  // Makes everything written so far durable.
  virtual void sync(ObjectHandle object, SyncKind kind, IoDone& done) noexcept = 0;

  // The rest has defaults that answer EOPNOTSUPP.

  // Cuts the object. kPunch and kZero never change its size, wherever the range ends. kInsert and kCollapse
  // refuse (EINVAL) what is off the store's block, an insert at or past the end, and a collapse up to it.
  // EINVAL, EOPNOTSUPP, ENOSYS, ENODEV, EFBIG, EBADF, EPERM, EACCES, ETXTBSY and Errc::kBusy say that nothing
  // has changed; after any other error of kInsert or kCollapse the cache takes it that some bytes have moved
  // and some have not (File::insert).
  virtual void cut(ObjectHandle object, Cut kind, std::uint64_t offset, std::uint64_t length,
                   IoDone& done) noexcept;
  // Allocates space under [offset, offset + length) without changing bytes or size.
  virtual void reserve(ObjectHandle object, std::uint64_t offset, std::uint64_t length,
                       IoDone& done) noexcept;
  // The same page by page, and tells what had space before: so that what turns out not to be needed can be
  // given back, and nothing else. `request` stays valid until io_done. After an error some of the pages
  // asked for may have space, but for EOPNOTSUPP, which says that the store reserves nothing. The default
  // calls reserve() and tells nothing.
  virtual void reserve_pages(ObjectHandle object, SpaceRequest& request, IoMode mode,
                             IoDone& done) noexcept;
  // Gives back what space [offset, offset + length), multiples of limits::kPageBytes, has for bytes that were
  // never written, without changing bytes or size. What lies past the end of the object may stay until
  // truncate(). EOPNOTSUPP where reserve_pages() tells nothing.
  virtual void release(ObjectHandle object, std::uint64_t offset, std::uint64_t length,
                       IoDone& done) noexcept;
  // Sets mtime (and atime where it is not null). Blocks briefly; called after writes completed.
  virtual Status set_times(ObjectHandle object, const TimeSpec* atime, const TimeSpec& mtime);
  // Makes everything durable that completed before, of all objects, closed ones too. Blocks. Without it
  // the cache syncs every object that it wrote before it closes it.
  virtual Status sync_store();

 private:
  // One cache at a time: two would each keep pages that the other changes.
  friend class StoreClaim;
  std::atomic<bool> claimed_{false};
};

}  // namespace quire

#endif  // QUIRE_STORE_H_
