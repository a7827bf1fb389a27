// Operation: one step of the random tester, with everything that it does spelled out, so that one line of
// text says what was done. generate() makes the step that belongs to a seed and its number, whatever came
// before; only sizes, offsets near the end, and what a sick file can bear are taken from the state.
#ifndef QUIRE_TESTS_MODEL_OPERATION_H_
#define QUIRE_TESTS_MODEL_OPERATION_H_

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "model/store_script.h"
#include "quire/file.h"
#include "quire/store.h"

namespace quire::model {

// Of a file.
inline constexpr std::uint64_t kMax = limits::kFileSizeMaxBytes;

enum class Kind : std::uint8_t {
  kRead,
  kWrite,
  kAppend,  // File::append; a write through a handle with kAppend is kWrite
  kTruncate,
  kAllocate,
  kCut,  // punch, zero, insert or collapse
  kSync,
  kDataSync,
  kSyncRange,
  kAdvise,
  kInvalidate,
  kWriteAndInvalidate,
  kStat,
  kSetTimes,
  kReopen,     // closes the handle, if it is open, and opens it again, perhaps elsewhere
  kCacheSync,  // Cache::sync
  kLose,       // writes and drops all pages, and then fails to sync
  kCure,       // writes what may be lost over as a whole
  kCrowd,      // reads another file, so that pages are evicted
  kVerify,     // compares everything, and the books
  kMap,        // a handle's file
  kUnmap,
  kProtect,
  kLoad,
  kStore,
  kMapSync,
  kMapAdvise,
  kPopulate,
  kReadInto,  // reads a handle's file into a mapping, and writes it from there
  kWriteFrom,
  kCrash,  // closes the cache, the store loses what is not durable; a new cache goes on
};

// A way out of waiting, that the caller asks for.
enum class Way : std::uint8_t { kNone, kPassed, kSoon, kStopped };

struct Operation {
  Kind kind = Kind::kStat;
  unsigned handle = 0;
  std::uint64_t offset = 0;  // or size
  std::uint64_t length = 0;
  std::uint64_t pattern = 0;  // of the bytes written
  unsigned pieces = 1;        // of a vectored call, if more than 1
  bool submitted = false;
  IoPath path = IoPath::kAsOpened;  // kRead, kWrite, kAppend
  bool misplaced = false;  // the buffer lies where no store takes it that asks for alignment
  bool keep_size = false;  // kAllocate, kCut
  Cut cut = Cut::kPunch;
  bool clean = false;    // kCrash: the cache is closed before the power goes
  bool forgets = false;  // kLose: the store, what was not durable
  Way way = Way::kNone;
  Advice advice = Advice::kNormal;
  OpenFlags flags = OpenFlags::kReadWrite;  // kReopen
  unsigned name = 0;                        // kReopen: of kNames
  // Of mappings: `offset` and `length` are bytes of it.
  unsigned mapping = 0;
  MapAccess access = MapAccess::kRead;  // kMap, kProtect, kPopulate
  std::uint64_t at = 0;                 // kReadInto, kWriteFrom: of the handle's file
  bool in_thread = false;               // kMap
  bool async_stores = false;            // kMap
  std::optional<Failure> failure;
};

// The files, and the names they are opened by.
struct Zone {
  std::uint64_t base;
  std::uint64_t bytes;
};
struct FileShape {
  const char* path;
  unsigned links;
  std::span<const Zone> zones;  // where it is read and written
};
inline constexpr std::size_t kFiles = 3;
extern const std::array<FileShape, kFiles> kShapes;
struct Name {
  const char* path;
  unsigned file;
};
inline constexpr std::array<Name, 4> kNames = {
    {{"small", 0}, {"medium", 1}, {"directory/link", 1}, {"huge", 2}}};
inline constexpr unsigned kHandles = 5;

// What generate() must know of a handle.
struct HandleView {
  bool open = false;
  unsigned file = 0;
  std::uint64_t size = 0;
  OpenFlags flags{};
  bool may_be_lost = false;           // pages of the file
  bool reshaped = false;              // ModelFile::reshaped()
  std::uint32_t alignment_bytes = 1;  // of direct IO, as the store asks
};

inline constexpr unsigned kMappings = 4;

// What generate() must know of a mapping.
struct MappingView {
  bool mapped = false;
  unsigned file = 0;
  std::uint64_t offset = 0;  // of the file
  std::uint64_t bytes = 0;
  std::uint64_t file_bytes = 0;
};

// The operation, a read, write or append, passes the cache by.
inline bool is_direct(const Operation& operation, OpenFlags flags) {
  return operation.path == IoPath::kDirect ||
         (operation.path == IoPath::kAsOpened && has(flags, OpenFlags::kDirect));
}

Operation generate(std::uint64_t seed, std::uint64_t number,
                   const std::array<HandleView, kHandles>& handles,
                   const std::array<MappingView, kMappings>& mappings);

std::string to_string(const Operation& operation);

}  // namespace quire::model

#endif  // QUIRE_TESTS_MODEL_OPERATION_H_
