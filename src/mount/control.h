// control: what a mount answers to its own tool, by ioctl(2) on the mount's root directory (or any file of
// it). `quire stats`, `quire unmount` and `quire fallocate` are the clients.
//
// Everything has a fixed layout and a version, so that a tool and a daemon of different builds refuse each
// other instead of misreading. All numbers are host order: both ends are on one machine.
#ifndef QUIRE_MOUNT_CONTROL_H_
#define QUIRE_MOUNT_CONTROL_H_

#include <sys/ioctl.h>

#include <cstdint>

namespace quire::mount::control {

inline constexpr std::uint32_t kVersion = 2;
// An ioctl's size has 14 bits.
inline constexpr std::size_t kTextBytes = std::size_t{15} * 1024;

// Waits of one kind: how many, and in nanoseconds all together and the longest.
struct Waits {
  std::uint64_t count;
  std::uint64_t total_ns;
  std::uint64_t worst_ns;
};

// Since the mount was made, but for the gauges, which are of now.
struct Stats {
  std::uint32_t version;      // in and out: kVersion
  std::uint32_t daemon_pid;   // out: in the daemon's own pid namespace
  std::uint32_t owner_uid;    // who mounted
  std::uint32_t shared_mmap;  // 1: files can be mapped shared
  std::uint64_t uptime_ns;

  std::uint64_t hits;  // pages
  std::uint64_t misses;
  std::uint64_t readahead_pages;
  std::uint64_t evicted_pages;
  std::uint64_t written_pages;
  std::uint64_t read_requests;  // to the source's file system
  std::uint64_t write_requests;
  std::uint64_t writeback_errors;
  std::uint64_t memory_bytes;       // gauge: the budget
  std::uint64_t memory_used_bytes;  // gauge
  std::uint64_t cached_pages;       // gauge
  std::uint64_t dirty_pages;        // gauge
  std::uint64_t writeback_pages;    // gauge: on their way to the source
  std::uint64_t reserved_pages;  // gauge: with space on the source, not written yet; dirty or not
  std::uint64_t open_files;  // gauge: with handles on the source, closed ones that linger included
  std::uint64_t nodes;       // gauge: files and directories that the kernel knows

  Waits page;      // for a page that is being read or written
  Waits throttle;  // of writers, for the dirty limit
  Waits memory;    // for a page to be given up
  Waits range;     // for another writer of the same bytes

  std::uint64_t requests;           // of the kernel's, answered
  std::uint64_t requests_queued;    // ... that found every worker busy
  std::uint64_t requests_waiting;   // gauge: queued now
  Waits request;                    // from reading a request to its answer
  std::uint64_t kernel_recalls;     // pages recalled from the kernel's cache: requests to do so
  std::uint64_t kernel_bytes_kept;  // bytes written since, that a late write-back did not undo
};

// Files with unwritten data, a line each: "BYTES<tab>ERROR<tab>PATH\n"; ERROR is an errno, 0 if none was met.
// For the owner and root: others get EPERM.
struct Files {
  std::uint32_t version;  // in and out
  std::uint32_t total;    // out: files, also those that did not fit
  std::uint32_t length;   // out: of text
  std::uint32_t unused;
  char text[kTextBytes];
};

// Writes everything back and makes it durable, mapped pages in the kernel's cache included. Fails only if it
// could not be tried. For the owner and root.
struct WriteBack {
  std::uint32_t version;     // in and out
  std::uint32_t flags;       // in: kUnmounting, kDiscard
  std::uint32_t daemon_pid;  // out
  std::int32_t error;        // out: the first error as an errno; 0: all is durable
  std::uint32_t total;       // out: files that are not, as lines of Files in text
  std::uint32_t length;
  // In, with kUnmounting: the name, without its leading zero byte, of an abstract Unix socket to which the
  // daemon tells the end: it connects and sends one Ended. Out: as Files::text.
  char text[kTextBytes];
};
inline constexpr std::uint32_t kUnmounting = 1;
// What cannot be written is tried for limits::kDiscardMax, now and when the mount ends, and given up then.
inline constexpr std::uint32_t kDiscard = 2;

// The daemon's last word, over the socket.
struct Ended {
  std::uint32_t version;
  std::uint32_t lost;  // files whose data did not reach the source
  std::uint32_t length;
  char text[kTextBytes];  // as Files::text
};

// Inserts or collapses bytes of the file that it is asked of, which must be open for writing: the kernel refuses
// those modes of fallocate(2) before a FUSE daemon hears of them. For all who have it open. EBUSY if a mapping
// of the file was used meanwhile. The kernel does not learn of the new size from the answer: whoever stores
// through a mapping next, or leaves one to others who do, calls fstat(2) first. Until somebody has, what is
// stored behind the size that the kernel knows is lost, or ends in SIGBUS.
struct Shift {
  std::uint32_t version;  // in
  std::uint32_t kind;     // in: kInsert or kCollapse
  std::uint64_t offset;   // in, in bytes, as the length
  std::uint64_t length;
  std::uint64_t size_bytes;  // out: of the file
};
inline constexpr std::uint32_t kInsert = 1;
inline constexpr std::uint32_t kCollapse = 2;

inline constexpr unsigned long kStats = _IOWR('Q', 1, Stats);
inline constexpr unsigned long kFiles = _IOWR('Q', 2, Files);
inline constexpr unsigned long kWriteBack = _IOWR('Q', 3, WriteBack);
inline constexpr unsigned long kShift = _IOWR('Q', 4, Shift);

}  // namespace quire::mount::control

#endif  // QUIRE_MOUNT_CONTROL_H_
