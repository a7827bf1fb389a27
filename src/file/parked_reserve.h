// ParkedReserve: reserve() for one page and for what is no thread: space for a page that a program is about to store
// into by a mapping. Waits in the queue of the file's write ranges, and for the store.
//
//   idle -- begin() --> range -- resume() --> store -- resume() --+--> ended
//                         |                     ^                 |
//                         |                     +-- once more, for the page alone, if more did not fit
//                         +-- promised by now ---------------------> ended
//
// Who calls: faults of views, on the thread that answers them, holding no page. Used by one thread at a time. Stays
// where it is until it has ended: there is no cancel, since each wait of it ends by itself.
#ifndef QUIRE_FILE_PARKED_RESERVE_H_
#define QUIRE_FILE_PARKED_RESERVE_H_

#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>

#include "file/inode.h"
#include "sync/range_lock.h"
#include "sync/waker.h"

namespace quire::file {

class ParkedReserve {
 public:
  // `waker` is told when resume() is to be called.
  ParkedReserve(std::shared_ptr<Inode> inode, sync::Waker& waker) noexcept
      : inode_(std::move(inode)), waker_(waker) {}
  ParkedReserve(const ParkedReserve&) = delete;
  ParkedReserve& operator=(const ParkedReserve&) = delete;

  // True: it has ended, see error(). False: it waits; woken, call resume(), and again as long as it says false.
  // May be used again once it has ended. REQUIRES: the file has a book.
  bool begin(std::uint64_t page) noexcept;
  bool resume() noexcept;

  // Once ended. Errors: the store's (ENOSPC, EDQUOT, EIO), ENOMEM.
  std::error_code error() const noexcept { return error_; }

 private:
  // The write range of the page's whole chunk, until the store has answered the last request under it.
  struct Held {
    explicit Held(std::shared_ptr<Inode> of) : inode(std::move(of)) {}
    ~Held() { inode->ranges().unlock(hold); }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;

    const std::shared_ptr<Inode> inode;
    sync::RangeLock::Hold hold;
  };
  class Call;
  enum class Ask : std::uint8_t { kMore, kPageAlone };

  bool locked() noexcept;
  bool ask(Ask what) noexcept;
  bool answered() noexcept;
  bool end(std::error_code error) noexcept;

  const std::shared_ptr<Inode> inode_;
  sync::Waker& waker_;
  std::uint64_t page_ = 0;
  std::shared_ptr<Held> held_;
  bool asked_ = false;  // the store
  bool wider_ = false;  // for more than the page
  std::error_code answer_;
  std::error_code error_;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_PARKED_RESERVE_H_
