// reserve: space at the store for pages that are about to be dirtied, and what becomes of space that nobody
// needed.
//
//   write   write range -> all of the pages covered (space_book.h)? -- yes --> the pages are stored into
//             `-- no: write range of whole chunks -> the store's reserve_pages, chunk by chunk, each before a
//                 page of it is held -> the pages are stored into
//   trim    write range of the whole file -> fresh pages that are not dirty: the store's release, and behind
//           the end of the file its truncate, to the size it has
//
// So a full disk shows at the write: as many pages are stored as there is space for. A chunk that does not fit
// as a whole is asked for again, as far as it is needed, and then by halves. The write range of what is asked for is
// held until the store has answered, whether anybody waits still or not: no cut comes between the answer and the book.
//
// Trimming takes nothing from a page that is dirty or under writeback (its page is), nor from one that was
// written (it is not fresh), nor space that others asked for (SpaceBook::kept); and a store takes nothing from
// bytes that were ever written. It happens when a file is closed, and to all files when a store says that it
// is full.
//
// Who calls: writes, cuts, close, holding no gate, page or seal: the store may take its time.
#ifndef QUIRE_FILE_RESERVE_H_
#define QUIRE_FILE_RESERVE_H_

#include <memory>
#include <system_error>
#include <vector>

#include "file/inode.h"
#include "file/space_book.h"
#include "sync/wait.h"

namespace quire::file {

// What a store says that has no space left.
bool is_full(std::error_code error) noexcept;

struct Reserved {
  std::uint64_t end = 0;  // pages from need.first to here may be dirtied
  std::error_code error;  // why no more
};
// Sees to it that the pages `need` have space, as far as the store can promise any. `owner` holds the write
// range of all pages in `held`, handed over, and is kept until the store has answered. REQUIRES: `need` lies
// in `held`. Errors: the store's (ENOSPC, EDQUOT, EIO), Errc::kTimedOut, Errc::kInterrupted.
Reserved reserve(const std::shared_ptr<Inode>& inode, const std::shared_ptr<void>& owner,
                 PageRange need, PageRange held, const sync::WaitLimit& limit);

// The store has answered EOPNOTSUPP: nothing is asked for this file any more, and the log says so once.
void give_up_reserving(Inode& inode);

// Gives back what is reserved and not needed. Errors: EIO of a broken file, the store's, Errc::kTimedOut,
// Errc::kInterrupted; what was not given back is still in the book.
std::error_code trim(const std::shared_ptr<Inode>& inode, const sync::WaitLimit& limit);

// Fresh pages in the range that are not dirty, nor about to be. REQUIRES: the write range of all of them.
std::vector<PageRange> spare_pages(Inode& inode, PageRange pages);

}  // namespace quire::file

#endif  // QUIRE_FILE_RESERVE_H_
