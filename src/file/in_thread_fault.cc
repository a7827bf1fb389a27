#include "file/in_thread_fault.h"

#include <unistd.h>

#include <memory>
#include <span>
#include <system_error>
#include <utility>

#include "cache/block_holders.h"
#include "cache/parked_write.h"
#include "file/fault_service.h"
#include "file/file_view.h"
#include "file/mapping_table.h"
#include "file/page_fault.h"
#include "quire/limits.h"
#include "sync/check.h"
#include "sync/lock_rank.h"

namespace quire::file {
namespace {

// What the service's thread is to do, and whoever waits for it. On the stack of the thread that made the access.
class Asked final : public map::Posted {
 public:
  Asked(const std::shared_ptr<FileView>& view, std::uint64_t page,
        const map::BusAccess& access) noexcept
      : view_(view), page_(page), access_(access) {}

  // Waits for the answer.
  std::error_code ask() noexcept {
    view_->service().post(*this);
    return awaited_.wait({});
  }
  void run() noexcept override {
    // Owned by nobody: it is here until it was woken.
    const std::shared_ptr<PageFault::Awaited> awaited(std::shared_ptr<void>(), &awaited_);
    const map::Fault::Kind kind =
        access_.in_sight ? map::Fault::Kind::kProtected : map::Fault::Kind::kMissing;
    PageFault::begin_wanted(view_->service(), view_, page_, access_.store, kind, awaited);
  }

 private:
  const std::shared_ptr<FileView>& view_;
  const std::uint64_t page_;
  const map::BusAccess access_;
  PageFault::Awaited awaited_;
};

// A first store with nothing in its way: the page is cached and nobody is at it, its space is promised, and there is a
// credit. What PageFault does in turn, as far as it waits for nothing.
bool let_store_at_once(FileView& view, std::uint64_t page, bool in_sight) noexcept {
  Inode& inode = view.inode();
  SpaceBook* const space = inode.space();
  const auto covered = [&] { return space == nullptr || space->covers({page, page + 1}); };
  cache::DirtyBudget& credits = inode.cache().dirty();
  if (!covered() || !credits.try_take(1)) return false;
  sync::SleepingWaker nobody;
  cache::ParkedWrite held(inode, nobody);
  // Again once it is held: it may have been taken away before.
  if (!held.try_begin(page) || !covered()) {
    held.release();
    credits.give(1);
    return false;
  }
  return view.let_store(page, in_sight, held) == map::Stop::kNothing;
}

}  // namespace

bool answer_in_thread(const map::BusAccess& access) noexcept {
  const std::span<const std::byte> bytes(access.page, limits::kPageBytes);
  MappedRange range = MappingTable::of_process().head(bytes);
  const auto view = std::dynamic_pointer_cast<FileView>(std::move(range.memory));
  if (view == nullptr || !view->in_thread()) return false;
  const sync::lock_rank::Interrupting interrupting;
  Inode& inode = view->inode();
  using Request = cache::FilePages::Request;
  const cache::FilePages::InUse in_use(inode, access.store ? Request::kChanges : Request::kLooks);
  const std::uint64_t page = cache::page_index(range.offset);
  if (page >= cache::pages_of(inode.size_bytes())) {
    view->note_error(std::make_error_code(std::errc::bad_address));
    return false;
  }
  // Under `inode` that is an operation, which waits.
  if (!inode.lock().guards_operations() && !inode.broken()) {
    if (access.store) {
      if (let_store_at_once(*view, page, access.in_sight)) return true;
    } else {
      const FileView::Shown shown = view->show_around(page);
      // Or another thread had it shown since.
      if (shown.pages > 0 || shown.stop == map::Stop::kMapped) return true;
    }
  }
  std::error_code error = std::make_error_code(std::errc::resource_deadlock_would_occur);
  const pid_t thread = ::gettid();
  if (!cache::BlockHolders::holds(thread) && thread != view->service().thread_id()) {
    error = Asked(view, page, access).ask();
  }
  if (!error) return true;
  view->note_error(error);
  return false;
}

}  // namespace quire::file
