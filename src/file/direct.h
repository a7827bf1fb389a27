// direct: reads and writes past the cache, between the caller's memory and the store, coherent with all that
// goes through it.
//
//   read    write range of its pages, shared -> write back what is dirty there -> the store's reads
//   write   write range of its pages -> piece by piece: Block -> seal -> write what is dirty -> drop ->
//           the store's write -> publish the size -> unblock
//
// A piece (limits::kDirectPieceBytes at most) is given back where its request ends, in whatever thread: until
// then nobody adds a page of it, so nothing stale is in the cache afterwards; others of the file wait for one
// piece and not for the whole. The write range is held for the whole, so that overlapping writes never mix
// and a read straddles no cut.
//
//   piece:  made -> bounced (if the caller may leave) -> shot down -> at the store -> ended
//                                                |                        |
//                             EBUSY: somebody    |                        +-- failed: no page of it is cached,
//                             uses a page        v                            and the object ends where the
//                                           the rest is written               file does (mend)
//                                           through the cache, and flushed
//
// The caller's memory. If the call can be left (a deadline or a stop token), the store gets frames of the
// cache (bounce.h) and never the caller's memory: a read copies after the answer, a write before the block.
// Else it gets the caller's, and the call lasts until it has answered.
//
// The caller's memory lies in no mapping of the library's: else it is mapped_io.h that calls, with other.
//
// Who calls: File, from the caller's thread or a worker's, holding nothing.
#ifndef QUIRE_FILE_DIRECT_H_
#define QUIRE_FILE_DIRECT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "file/buffered.h"
#include "file/inode.h"
#include "quire/store.h"
#include "sync/wait.h"

namespace quire::file {

// What of a transfer is no multiple of what the store asks for.
enum class Misaligned : std::uint8_t { kNothing, kOffset, kLength, kMemory };
// `with_memory`: the store gets the caller's own.
template <class Byte>
Misaligned misaligned(std::uint32_t alignment_bytes, std::uint64_t offset,
                      std::span<const std::span<Byte>> buffers, bool with_memory) {
  const std::uint64_t mask = alignment_bytes - 1;
  if ((offset & mask) != 0) return Misaligned::kOffset;
  for (const std::span<Byte>& buffer : buffers) {
    if ((buffer.size() & mask) != 0) return Misaligned::kLength;
    if (with_memory && (reinterpret_cast<std::uintptr_t>(buffer.data()) & mask) != 0) {
      return Misaligned::kMemory;
    }
  }
  return Misaligned::kNothing;
}

// Reads the first `bytes` bytes of `buffers` from `offset`, up to the end of the file. What lies beyond what
// was read may have been stored into, up to the end of the buffers. REQUIRES: aligned.
Transfer direct_read(const std::shared_ptr<Inode>& inode,
                     std::span<const std::span<std::byte>> buffers, std::size_t bytes,
                     std::uint64_t offset, const sync::WaitLimit& limit);

// Writes the first `bytes` bytes of `buffers` at `*offset`, or at the end of the file where that is kAtEnd,
// and sets it to where they went. Errors: EINVAL where the end of the file is not aligned; EFBIG, the
// store's, Errc::kTimedOut, Errc::kInterrupted. `cuts`: see WriteLocks. REQUIRES: aligned, bytes > 0.
Transfer direct_write(const std::shared_ptr<Inode>& inode,
                      std::span<const std::span<const std::byte>> buffers, std::size_t bytes,
                      std::uint64_t* offset, const sync::WaitLimit& limit,
                      const std::uint64_t* cuts = nullptr);

}  // namespace quire::file

#endif  // QUIRE_FILE_DIRECT_H_
