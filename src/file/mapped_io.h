// Mapped IO: reads, writes and appends whose buffer lies, wholly or in part, in a mapping of any file of any
// cache of this process (mapping_table.h), be it of the very bytes that are read or written. Copying to or from
// such memory may fault, and a fault waits for gates, pages, memory and the store; so the bytes go through a
// bounce (bounce.h), and are copied while nothing is held but the page that they are in (MappedMemory):
//
//   read    turn, bounce -> the read, into the bounce, from its first lock to its last -> copy
//   write   turn, bounce -> copy -> the write, from the bounce, from its first lock to its last
//
// piece by piece, of Bounce::bytes_max() at most. Turns (cache/turns.h) bound what all pieces hold together.
//
// What that means for a program:
//  1. Each piece is a read or a write of its own: towards others a piece is atomic as any other, but between two
//     pieces of one write somebody else's may come. Pieces end where pages do, so each page is still seen whole.
//  2. An append is in one place. One of more than a piece first extends the file by zeros; then its bytes are
//     written there. It ends (ECANCELED) before a piece whose place somebody has cut away or moved meanwhile. If it
//     ends early, what is missing is cut off again, unless the file has another size by then, was cut, or was written
//     to or stored into by somebody else (append_place.h), or the limit that ended it leaves no time to wait
//     (docs/decisions/011-buffers-in-mappings.md): then zeros stay.
//  3. A page of the buffer that cannot be had (EFAULT) ends it: what was moved before counts.
//
// Who calls: FileImpl, from the caller's thread or a worker's, holding nothing, if and only if the table says
// that the buffers meet a mapping.
#ifndef QUIRE_FILE_MAPPED_IO_H_
#define QUIRE_FILE_MAPPED_IO_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "file/buffered.h"
#include "file/inode.h"
#include "file/mapping_table.h"
#include "quire/file.h"
#include "sync/wait.h"

namespace quire::file {

// Some part of the caller's memory is a mapping of the library's. With no mapping anywhere one load.
inline bool in_mapping(std::span<const std::byte> buffer) noexcept {
  return MappingTable::of_process().meets(buffer);
}
template <class Byte>
bool in_mapping(std::span<const std::span<Byte>> buffers) noexcept {
  return MappingTable::of_process().meets(buffers);
}

// As read_at() and direct_read(), of the first `bytes` bytes of `buffers`. `path`: kCached or kDirect.
// Errors: also those of MappedMemory::store, and EDEADLK where the cache is strict and a direct read would
// store into a mapping of what it reads.
Transfer mapped_read(const std::shared_ptr<Inode>& inode, SharedReadahead& readahead, IoPath path,
                     std::span<const std::span<std::byte>> buffers, std::size_t bytes,
                     std::uint64_t offset, const sync::WaitLimit& limit);

// As write_at() and direct_write().
Transfer mapped_write(const std::shared_ptr<Inode>& inode, IoPath path,
                      std::span<const std::span<const std::byte>> buffers, std::size_t bytes,
                      std::uint64_t* offset, const sync::WaitLimit& limit);

}  // namespace quire::file

#endif  // QUIRE_FILE_MAPPED_IO_H_
