// MappingTable: which addresses of this process are mappings of files, and of what. Every read and write asks
// it, before it takes any lock, whether its caller's buffer lies in one: an access to such memory may fault,
// and the fault may have to wait for whatever the read or write would hold by then. There is one table for all
// caches of the process, since a buffer for a file of one may be a mapping of a file of another.
//
// Who calls: map() and unmap() to change it, rarely and under a mutex; anybody to look, without a lock and
// holding nothing. With no mapping at all a look is one load of one word.
//
//   buffer meets no mapping  -> the read or write goes on, with the caller's memory
//   buffer meets a mapping   -> it goes through a bounce (mapped_io.h)
//
// How. The ranges stand sorted in an array that never changes. Who adds or removes one makes a new array,
// puts it in the place of the old, waits until the lookers that may still see the old one have left, and frees
// it. (Sleepable RCU, as page trees have it: radix_readers.h.) Where there is no memory for a new array, whole ranges
// are marked in the old one as gone.
//
// A fork may leave the mutex locked, and lookers counted, that are not in the child: it makes its own with its first
// range.
//
// Invariants:
//  1. Ranges do not overlap. All begin and end at pages.
//  2. A look is over before it returns: what it found is the looker's own copy, and nobody waits for a looker
//     who waits for something else.
//  3. A mapping is in the table before its address is given to anybody, and until no access to it can fault
//     into the library any more. So who has a buffer in a mapping finds it: a look that meets add() or remove()
//     of the same addresses is a program that uses memory it has not got.
#ifndef QUIRE_FILE_MAPPING_TABLE_H_
#define QUIRE_FILE_MAPPING_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "cache/page_tree.h"
#include "file/fork_guard.h"
#include "quire/radix_readers.h"
#include "sync/atomic.h"
#include "sync/mutex.h"
#include "sync/wait.h"

namespace quire::file {

// A mapping, as those see it who are about to copy to or from its memory.
class MappedMemory {
 public:
  enum class Access : std::uint8_t { kLoad, kStore };
  // How many bytes, from the first on, were copied; and an error, if that is not all.
  struct Copied {
    std::size_t bytes = 0;
    std::error_code error;
  };

  MappedMemory() = default;
  MappedMemory(const MappedMemory&) = delete;
  MappedMemory& operator=(const MappedMemory&) = delete;
  virtual ~MappedMemory() = default;

  // Copies the bytes of `part`, which lies in the mapping, to `to`, memory that cannot fault, of the same length. Each
  // page is kept where it is while it is copied, and no other is: so whatever becomes of the mapping meanwhile there is
  // no signal. May wait; called holding nothing. Errors: EFAULT past the end of the file, the store's, those of
  // `limit`.
  virtual Copied load(std::span<const std::byte> part, std::span<std::byte> to,
                      const sync::WaitLimit& limit) = 0;
  // The same the other way: as a store of the program's. Errors: also EFAULT where it may not store; ENOSPC.
  virtual Copied store(std::span<std::byte> part, std::span<const std::byte> from,
                       const sync::WaitLimit& limit) = 0;
};

// `bytes`, whole pages of the process's memory, show the file with that cache::FilePages::serial() from
// `offset` on.
struct MappedRange {
  std::span<const std::byte> bytes;
  std::uint64_t file = 0;
  std::uint64_t offset = 0;
  std::shared_ptr<MappedMemory> memory;
};

class MappingTable {
 public:
  MappingTable() = default;
  // REQUIRES: empty, unless the process ends.
  ~MappingTable() = default;
  MappingTable(const MappingTable&) = delete;
  MappingTable& operator=(const MappingTable&) = delete;

  // The one that all caches ask.
  static MappingTable& of_process() noexcept { return of_process_; }

  // REQUIRES: nothing of it is in the table, and whole pages.
  void add(MappedRange range);
  // Takes out what lies in `bytes`, be it a part of a range or of several. With `memory`, its ranges alone: where parts
  // of it were unmapped there may be others by now. False: there is no memory for it, and nothing was done; never where
  // no range loses a part only. REQUIRES: whole pages.
  bool remove(std::span<const std::byte> bytes, const MappedMemory* memory = nullptr) noexcept;

  // In the child of a fork there are none but its own.
  bool empty() const noexcept {
    return ranges_.load() == nullptr || generation_.load() != fork_generation();
  }
  // Some byte lies in a mapping.
  bool meets(std::span<const std::byte> bytes) const noexcept { return !empty() && find(bytes); }
  template <class Byte>
  bool meets(std::span<const std::span<Byte>> buffers) const noexcept {
    if (empty()) return false;
    for (const std::span<Byte>& buffer : buffers) {
      if (find(buffer)) return true;
    }
    return false;
  }
  // The longest head of `bytes` that lies in one mapping, or in none: then its `memory` is null.
  MappedRange head(std::span<const std::byte> bytes) const;
  // Some byte shows one of the `length` bytes from `offset` on of the file.
  bool shows(std::span<const std::byte> bytes, std::uint64_t file, std::uint64_t offset,
             std::uint64_t length) const;

 private:
  friend struct MappingTablePeer;  // lets the tests hold what others do for an instant

  using Readers = BasicRadixReaders<cache::PageTreeTraits>;
  struct Entry {
    explicit Entry(MappedRange range_of) noexcept : range(std::move(range_of)) {}
    Entry(const Entry& other) : range(other.range) {}
    Entry& operator=(const Entry& other) {
      range = other.range;
      gone.store(other.gone.load());
      return *this;
    }

    MappedRange range;
    // It is in nobody's sight. Set under the mutex, before lookers are waited for; then `range.memory` goes.
    sync::Atomic<bool> gone{false};
  };
  using Ranges = std::vector<Entry>;  // by address
  // What belongs to one process.
  struct Changes {
    explicit Changes(unsigned of) noexcept : generation(of) {}

    const unsigned generation;
    Readers readers;
    sync::Mutex mutex;  // of those who change it
  };

  // Of this process. Throws bad_alloc, in the child of a fork, the first time.
  Changes& changes();
  static Ranges::const_iterator first_after(const Ranges& ranges,
                                            const std::byte* address) noexcept;
  static bool any_in(const Ranges& ranges, std::span<const std::byte> bytes) noexcept;
  bool mark_gone(Changes& changes, std::span<const std::byte> bytes,
                 const MappedMemory* memory) noexcept;
  bool find(std::span<const std::byte> bytes) const noexcept;
  // Puts `ranges` in the place of those that are there, and gives those back, of no use to anybody. They are freed
  // without the mutex: the last owner of a mapping unmaps it.
  std::unique_ptr<Ranges> replace(Changes& changes, std::unique_ptr<Ranges> ranges) noexcept
      REQUIRES(changes.mutex);

  static MappingTable of_process_;

  sync::Atomic<Ranges*> ranges_{nullptr};  // null if there are none
  sync::Atomic<unsigned> generation_{0};   // of the process that made them
  Changes first_{0};
  sync::Atomic<Changes*> changes_{&first_};
};

}  // namespace quire::file

#endif  // QUIRE_FILE_MAPPING_TABLE_H_
