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
// Who calls: FaultService, on its thread. Who copies to or from a mapping for a read or write, or asks for its pages
// ahead of use, makes one too (want()), from any thread, and waits for its end; so does an access that is answered in
// its own thread (in_thread_fault.h). An access by a thread that is at work under a Block (block_holders.h), or by the
// service's own, fails at once with EDEADLK; the first time that the kernel tells of it, it is only repeated, since
// what it tells of may be over (BlockHolders::note_access()).
//
// Invariants:
//  1. While it waits it holds its Operation, its credit, and the page that it waits to have for itself; and while the
//     store is asked, the write range of the page's chunk (parked_reserve.h), or the pages that are read (ParkedFill).
//  2. A store is let through only while the page is held (`writing`), and the page is dirty when it is let go.
//  3. It ends by itself, and deletes itself. Each access is answered: it goes through, gets a signal, or is repeated.
#ifndef QUIRE_FILE_PAGE_FAULT_H_
#define QUIRE_FILE_PAGE_FAULT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <system_error>

#include "cache/cache_lock.h"
#include "cache/dirty_budget.h"
#include "cache/fill.h"
#include "cache/page_wait.h"
#include "cache/parked_write.h"
#include "fault/planted.h"
#include "file/fault_service.h"
#include "file/file_view.h"
#include "file/parked_reserve.h"
#include "map/fault_thread.h"
#include "sync/mutex.h"
#include "sync/waker.h"

namespace quire::file {

class PageFault final : public map::Posted, public sync::Waker {
 public:
  // What somebody waits for who made no access: the page in sight; or a copy of bytes of it, made while nobody can take
  // the page away. Shared, since he may leave first: then nothing of his is touched any more.
  class Awaited {
   public:
    Awaited() = default;
    // `to` (of a load) or `from` (of a store): as many bytes of the page, from `in_page` on.
    Awaited(std::size_t in_page, std::span<std::byte> to) : in_page_(in_page), to_(to) {}
    Awaited(std::size_t in_page, std::span<const std::byte> from)
        : in_page_(in_page), from_(from) {}

    // By who waits. Errors: the fault's; those of `limit`, if by then nothing was copied.
    std::error_code wait(const sync::WaitLimit& limit) noexcept;

   private:
    friend class PageFault;
    bool copies() const noexcept { return !to_.empty() || !from_.empty(); }

    sync::SleepingWaker waker_;
    std::error_code error_;  // once woken
    const std::size_t in_page_ = 0;
    const std::span<std::byte> to_;
    const std::span<const std::byte> from_;
    sync::Mutex mutex_;  // over the copy
    bool copied_ GUARDED_BY(mutex_) = false;
    bool left_ GUARDED_BY(mutex_) = false;
  };

  // Answers an access. On the service's thread.
  static void answer(FaultService& service, const std::shared_ptr<FileView>& view,
                     std::uint64_t page, const map::Fault& fault) noexcept;
  // Brings the page into sight, for loads or for stores, or copies, and tells `awaited`. From any thread. Errors:
  // ENOMEM; EDEADLK on a thread whose accesses fail so.
  static std::error_code want(FaultService& service, const std::shared_ptr<FileView>& view,
                              std::uint64_t page, bool store,
                              const std::shared_ptr<Awaited>& awaited) noexcept;
  // The same on the service's thread, for an access of that kind; all errors are told.
  static void begin_wanted(FaultService& service, const std::shared_ptr<FileView>& view,
                           std::uint64_t page, bool store, map::Fault::Kind kind,
                           const std::shared_ptr<Awaited>& awaited) noexcept;

  void wake() noexcept override {
    if (!fault::planted(fault::Planted::kLoseAFaultsWake)) service_.post(*this);
  }
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
  Next copy_out() noexcept;
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
  void copy_in() noexcept;
  Next repeat() noexcept;
  Next past_end() noexcept;
  Next fail(std::error_code error) noexcept;
  Next end(std::error_code error) noexcept;

  Inode& inode() const noexcept { return view_->inode(); }
  bool copies() const noexcept { return awaited_ != nullptr && awaited_->copies(); }

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
