// PageFault: an access to a page of a mapping that is not in sight, or may not be stored into yet, on its way to an
// answer. It is no thread: whatever it has to wait for, it waits for in the same queues as threads do, in its turn,
// and goes on when it is woken, on the service's thread.
//
//   load    operation -> look: in sight? ----------------------------------------------- yes -> shown, with neighbours
//                         ^  ^   | absent: ParkedFill (memory, the gate, the store)
//                         |  +---+
//                         |      | being filled, written or cut: waits for the page
//                         +------+
//                                | in a frame: ParkedWrite, which moves it
//
//   store   operation -> space at the store? -- no: ParkedReserve -> dirty credit -> ParkedWrite: the page is held
//              -> space still? -> stamps -> stores are let through -> the page is dirty, and let go
//
//   load through a view that watches: as a store once the page is cached, but that the page is quiet (page_word.h)
//
//   either  error -> SIGBUS, and Mapping::last_error();  beyond the end of the file -> the kernel's SIGBUS
//
// Under the strategy `inode` the operation is a wait too. A store that finds the page dirty already gives its credit
// back: it comes through a view that had not been let store yet.
//
// Who calls: FaultService, on its thread. Who is about to copy to or from a mapping, or asks for its pages ahead of
// use, makes one too (want()), from any thread, and waits for its end. An access by a thread that is at work under a
// Block (block_holders.h), or by the service's own, fails at once with EDEADLK.
//
// Invariants:
//  1. It holds nothing while it waits but its Operation, its credit, and the page that it waits to have for itself.
//  2. A store is let through only while the page is held (`writing`), and the page is dirty when it is let go.
//  3. It ends by itself, and deletes itself. Each access is answered: it goes through, gets a signal, or is repeated.
#ifndef QUIRE_FILE_PAGE_FAULT_H_
#define QUIRE_FILE_PAGE_FAULT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>

#include "cache/cache_lock.h"
#include "cache/dirty_budget.h"
#include "cache/fill.h"
#include "cache/page_wait.h"
#include "cache/parked_write.h"
#include "file/fault_service.h"
#include "file/file_view.h"
#include "file/parked_reserve.h"
#include "map/fault_thread.h"
#include "sync/waker.h"

namespace quire::file {

class PageFault final : public map::Posted, public sync::Waker {
 public:
  // What somebody waits for who made no access yet. Shared, since he may leave first.
  struct Awaited {
    sync::SleepingWaker waker;
    std::error_code error;  // once woken
  };

  // Answers an access. On the service's thread.
  static void answer(FaultService& service, const std::shared_ptr<FileView>& view,
                     std::uint64_t page, const map::Fault& fault) noexcept;
  // Brings the page into sight, for loads or for stores, and tells `awaited`. From any thread. Errors: ENOMEM.
  static std::error_code want(FaultService& service, const std::shared_ptr<FileView>& view,
                              std::uint64_t page, bool store,
                              const std::shared_ptr<Awaited>& awaited) noexcept;

  void wake() noexcept override { service_.post(*this); }
  void run() noexcept override;

 private:
  enum class Step : std::uint8_t {
    kBegin,
    kOperation,
    kFill,
    kPage,
    kMove,
    kReserve,
    kCredit,
    kHold,
  };
  enum class Next : std::uint8_t { kAgain, kWaits, kEnded };

  PageFault(FaultService& service, std::shared_ptr<FileView> view, std::uint64_t page, bool store,
            map::Fault::Kind kind) noexcept;
  ~PageFault() override { service_.note_ended(); }

  Next step() noexcept;
  Next begin() noexcept;
  Next access() noexcept;
  Next look() noexcept;
  Next look_closer() noexcept;
  Next fill() noexcept;
  Next filled() noexcept;
  Next moved() noexcept;
  Next reserve() noexcept;
  Next reserved() noexcept;
  Next take_credit() noexcept;
  Next credited() noexcept;
  Next hold() noexcept;
  Next held() noexcept;
  Next let_store() noexcept;
  Next repeat() noexcept;
  Next fail(std::error_code error) noexcept;
  Next end(std::error_code error) noexcept;

  Inode& inode() const noexcept { return view_->inode(); }

  FaultService& service_;
  const std::shared_ptr<FileView> view_;
  const cache::FilePages::InUse in_use_;  // see answer()
  const std::uint64_t page_;
  const bool access_stores_;
  bool store_;  // goes the way of a store
  const map::Fault::Kind kind_;
  std::shared_ptr<Awaited> awaited_;

  Step step_ = Step::kBegin;
  bool run_alone_ = false;  // its neighbours are not read with it: that failed
  bool credit_ = false;
  cache::CacheLock::Operation operation_;
  cache::CacheLock::OperationWaiter at_operation_;
  cache::PageWaitLot::Waiter at_page_;
  std::optional<cache::ParkedFill> fill_;
  cache::Readahead::Window ahead_;
  ParkedReserve reserve_;
  cache::DirtyBudget::Waiter at_credit_;
  cache::ParkedWrite write_;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_PAGE_FAULT_H_
