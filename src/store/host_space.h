// host_space: which pages of a host file have space, and taking and giving back space for them.
//
// What has space is asked by FIEMAP, which tells a block that was allocated and never written from a hole;
// SEEK_HOLE does not. Where there is no FIEMAP (tmpfs) nothing is told, and space is only taken.
//
//   page      had_space   every byte lies in an extent of this file alone
//             had_none    no byte lies in an extent
//             neither     blocks smaller than a page, some of them holes; or blocks that a reflink shares
//                         with another file: a write to those needs new ones, which nobody can promise
//
// The last MiB of a file system that tells is not taken: where only a part of an allocated extent is written
// it is split, and the blocks that say so must come from somewhere. On an ext4 that fallocate() had filled to
// the last block, writes into what it had allocated failed with ENOSPC.
//
// Giving back never changes a byte, whatever is asked for: only what SEEK_DATA says was never written is
// punched. ext4 punches nothing past the end of a file: what is there goes when the file is truncated.
//
// Who calls: the host store, from any thread. Blocks.
#ifndef QUIRE_STORE_HOST_SPACE_H_
#define QUIRE_STORE_HOST_SPACE_H_

#include <cstdint>

#include "quire/store.h"

namespace quire::store {

// Store::reserve_pages and Store::release of the open file. 0 or an errno.
int reserve_pages(int fd, SpaceRequest& request) noexcept;
int release_pages(int fd, std::uint64_t offset, std::uint64_t length) noexcept;

}  // namespace quire::store

#endif  // QUIRE_STORE_HOST_SPACE_H_
