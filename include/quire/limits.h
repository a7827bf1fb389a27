// Every limit of the library, in one place. Units are the last word of each name.
#ifndef QUIRE_LIMITS_H_
#define QUIRE_LIMITS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace quire::limits {

// A page: the unit of caching. Also the largest IO alignment that a Store may ask for.
inline constexpr std::size_t kPageBytes = 4096;
inline constexpr unsigned kPageShift = 12;

// The largest file, as with Linux: the last byte is at offset 2^63 - 2.
inline constexpr std::uint64_t kFileSizeMaxBytes = (std::uint64_t{1} << 63) - 1;

// The smallest and largest memory budget of a cache.
inline constexpr std::size_t kMemoryMinBytes = std::size_t{8} << 20;
inline constexpr std::size_t kMemoryMaxBytes = std::size_t{1} << 43;  // 2^31 frames of 4 KiB
inline constexpr std::size_t kMemoryDefaultBytes = std::size_t{256} << 20;

// One store request moves at most this much; larger ones are cut.
inline constexpr std::size_t kStoreIoMaxBytes = std::size_t{1} << 20;
// ... in at most this many pieces of memory.
inline constexpr std::size_t kStoreIoMaxPieces = kStoreIoMaxBytes / kPageBytes;

// Direct IO goes to the store in pieces of this much at most. A direct write keeps others out of the
// cache's pages of one piece at a time. Smaller pieces, a sixteenth of the cache, where the call can be left.
inline constexpr std::size_t kDirectPieceBytes = kStoreIoMaxBytes;

// Space is reserved for pages in chunks of so many at most (1 MiB).
inline constexpr std::size_t kReservePagesMax = 256;
// Chunks of which a cache remembers which pages have space, beyond a few a file.
inline constexpr std::size_t kSpaceChunksMax = 16384;

// The library looks at the memory of files that are mapped through windows of this many bytes of addresses.
inline constexpr std::size_t kMapWindowBytes = std::size_t{1} << 30;

// An access to a page of a mapping that is not in sight brings so many pages around it into sight, as far as they are
// cached.
inline constexpr std::size_t kFaultAroundPages = 16;
// ... and, where a program accesses page after page, so many at most that come next.
inline constexpr std::size_t kFaultAheadPagesMax = 128;
// A first store lets no more than so many pages through that come next, where a program stores into page after page.
inline constexpr std::size_t kStoresAheadPagesMax = 64;
// Pages that are brought into sight by one system call at most.
inline constexpr std::size_t kShowPagesMax = 64;
// Pages that are moved from their frames into memory that can be mapped together: so many are twice in memory, and
// nobody else has them, for as long as that takes.
inline constexpr std::size_t kMovePagesMax = 16;
// ... and, of those that come next, so many at most for one access: others wait for the same thread.
inline constexpr std::size_t kMoveAheadPagesMax = 32;
// The thread that answers such accesses looks for the next one for so long, before it sleeps.
inline constexpr std::chrono::microseconds kFaultSpin{100};
// ... and no more for kFaultSpinPause, once it gave way to somebody who kept its processor for kFaultSpinLost.
inline constexpr std::chrono::microseconds kFaultSpinLost{500};
inline constexpr std::chrono::milliseconds kFaultSpinPause{100};
// A page of a mapping that could not be had raises SIGBUS for so long; the next access tries again.
inline constexpr std::chrono::milliseconds kFailedPageRetryAfter{50};

// Requests that Quire's own stores hold at once; further ones are answered with Errc::kBusy.
inline constexpr std::size_t kStoreRequestsMax = std::size_t{1} << 16;

// A read or write of more bytes returns short, as on Linux (0x7ffff000).
inline constexpr std::size_t kTransferMaxBytes = 0x7ffff000;
// Buffers in one vectored read or write (IOV_MAX).
inline constexpr std::size_t kVectorMax = 1024;

// Paths: as on Linux, without a terminating zero.
inline constexpr std::size_t kPathMaxBytes = 4095;
inline constexpr std::size_t kNameMaxBytes = 255;

// Readahead: the first window, and the largest unless the cache's options say less.
inline constexpr std::size_t kReadaheadMinBytes = std::size_t{16} << 10;
inline constexpr std::size_t kReadaheadMaxBytes = std::size_t{1} << 20;

// Dirty data older than this is written (CacheOptions::dirty_age).
inline constexpr std::chrono::seconds kDirtyAgeDefault{30};

// Writeback requests in flight at once, each of kStoreIoMaxBytes at most.
inline constexpr std::size_t kWritebackDepth = 4;

// Threads that can be copying from the cache at once without falling back to counted pins.
inline constexpr std::size_t kHazardSlots = 1024;
// Files of a process whose gates have stripes (2 KiB each), for many threads that add pages at once.
inline constexpr std::uint32_t kStripedGatesMax = 1024;

// File::submit: requests accepted and not yet completed, per cache.
inline constexpr std::size_t kSubmitMax = 4096;

// Messages for the program's log that wait for a thread that holds no lock, per cache; more are left out, and counted.
inline constexpr std::size_t kUnsaidMax = 64;

// Intervals of a file remembered as written and not yet synced; with more the file is synced.
inline constexpr std::size_t kUnsyncedMax = 8192;

// Closed files whose pages stay cached, per cache: one for this many frames ...
inline constexpr std::size_t kFramesPerIdleFile = 16;
// ... and at most so many.
inline constexpr std::size_t kIdleFilesMax = 4096;

// Files open at once, per cache.
inline constexpr std::size_t kOpenFilesMax = std::size_t{1} << 20;

// What cannot be written: after an error a page is tried again after this long, doubling ...
inline constexpr std::chrono::milliseconds kWritebackRetryMin{100};
// ... up to this, until it succeeds or the cache is closed.
inline constexpr std::chrono::milliseconds kWritebackRetryMax{10000};
// How long File::write_and_invalidate() and direct writes wait for whoever uses a page just now.
inline constexpr std::chrono::milliseconds kPinnedWaitMax{1000};
// A write that waits for dirty pages to be written, while none can be, fails after this long.
inline constexpr std::chrono::milliseconds kDirtyStallMax{5000};
// A store that leaves a write of writeback unanswered for so long counts as one that fails, for this.
inline constexpr std::chrono::milliseconds kStoreSilenceMax{30000};
// How long File::close() waits for a store that does not answer to its writeback, before it leaves the
// file to the cache. Submitted requests have limits of their own.
inline constexpr std::chrono::seconds kCloseWaitMax{30};
// How long a write that finds the store full waits for space that is reserved elsewhere and not needed.
inline constexpr std::chrono::milliseconds kTrimWaitMax{2000};
// How often Cache::close() tries again to write what cannot be written.
inline constexpr int kCloseAttemptsMax = 3;

}  // namespace quire::limits

#endif  // QUIRE_LIMITS_H_
