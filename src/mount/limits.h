// Every limit of the mount, in one place. Units are the last word of each name. Those of the engine below
// it are in quire/limits.h.
#ifndef QUIRE_MOUNT_LIMITS_H_
#define QUIRE_MOUNT_LIMITS_H_

#include <chrono>
#include <cstddef>

namespace quire::mount::limits {

// One READ or WRITE of the kernel's moves at most this much, the most that it can be asked for.
inline constexpr std::size_t kRequestMaxBytes = std::size_t{1} << 20;

// Requests worked on at once, and threads: one more, which reads.
inline constexpr unsigned kWorkersMax = 16;
// Requests read while all workers are busy. With so many the daemon stops reading until one is done.
inline constexpr std::size_t kQueueMax = 1024;
// After so many requests that could have done with one thread less, one less reads the device.
inline constexpr std::size_t kReviewRequests = 1024;
// Requests of readahead and write-back that the kernel has under way at once, and from how many on it
// counts as congested.
inline constexpr unsigned kBackgroundMax = 64;
inline constexpr unsigned kCongestion = 48;

// How long the kernel may believe what it was told of names and attributes. The tree belongs to Quire, so
// that only a change behind its back makes that untrue.
inline constexpr double kNameTimeoutSeconds = 10.0;
inline constexpr double kAttributeTimeoutSeconds = 10.0;
// ... of a file with unwritten data, whose blocks on the source are still being found.
inline constexpr double kDirtyAttributeTimeoutSeconds = 1.0;

// Descriptors that are kept open for speed: of directories, and of files that nobody has open any more.
// Each at most so many, and at most this part of RLIMIT_NOFILE.
inline constexpr std::size_t kDirectoryFdsMax = 1024;
inline constexpr std::size_t kLingeringFilesMax = 1024;
inline constexpr std::size_t kDescriptorsPart = 8;
// A file that nobody has open is closed here after this long, once all of it is written.
inline constexpr std::chrono::seconds kLingerMin{2};
// One open closes at most so many of them.
inline constexpr std::size_t kTidyAtOpenMax = 16;
// Once one of them cannot be written, none is tried for this long. From this many times kLingeringFilesMax on,
// opening a file for writing fails meanwhile.
inline constexpr std::chrono::seconds kTidyBackOff{1};
inline constexpr std::size_t kLingeringHardMaxTimes = 3;
// How often that is looked at.
inline constexpr std::chrono::milliseconds kTidyInterval{500};

// Names that are remembered of one file with many hard links.
inline constexpr std::size_t kNamesMax = 16;

// Files of the kernel's cache whose pages are remembered one by one: bits, in pieces of so many pages ...
inline constexpr std::size_t kGrantPiecePages = 4096;
// ... and at most so many pieces of one file. Beyond them every page counts as held by the kernel.
inline constexpr std::size_t kGrantPiecesMax = 4096;

// How long `quire unmount --discard` tries to write what it would give up, and the daemon again at its end.
inline constexpr std::chrono::seconds kDiscardMax{5};

// The longest that the end of a mount, or an insert or collapse, waits for the kernel to give back what it holds of
// mapped files.
inline constexpr std::chrono::seconds kRecallMax{60};
// Shifts that wait so at once, each with a worker. A further one is refused.
inline constexpr unsigned kRecallsMax = kWorkersMax / 4;

}  // namespace quire::mount::limits

#endif  // QUIRE_MOUNT_LIMITS_H_
