#include "file/page_fault.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "cache/block_holders.h"
#include "fault/planted.h"
#include "file/buffered.h"
#include "quire/limits.h"
#include "sync/check.h"

namespace quire::file {
namespace {

// Of the pages that are shown together, those from this one on.
std::size_t left_in_block(std::uint64_t page) noexcept {
  return limits::kFaultAroundPages - static_cast<std::size_t>(page % limits::kFaultAroundPages);
}

// An access of this thread would have to wait for the thread itself.
bool would_wait_for_itself(const FaultService& service, pid_t thread) noexcept {
  return cache::BlockHolders::holds(thread) || thread == service.thread_id();
}

}  // namespace

std::error_code PageFault::Awaited::wait(const sync::WaitLimit& limit) noexcept {
  const sync::WaitStatus status = waker_.park(limit);
  if (status == sync::WaitStatus::kReady) return error_;
  sync::MutexLock lock(mutex_);
  // It is as if that had come first.
  if (copied_) return {};
  left_ = true;
  return sync::to_error(status);
}

PageFault::PageFault(FaultService& service, std::shared_ptr<FileView> view, std::uint64_t page,
                     bool store, map::Fault::Kind kind) noexcept
    : service_(service),
      view_(std::move(view)),
      in_use_(inode()),
      page_(page),
      access_stores_(store),
      store_(store),
      kind_(kind),
      at_operation_(*this),
      at_page_(*this),
      reserve_(view_->shared_inode(), *this),
      at_credit_(*this),
      write_(inode(), *this) {
  service_.note_begun();
}

void PageFault::answer(FaultService& service, const std::shared_ptr<FileView>& view,
                       std::uint64_t page, const map::Fault& fault) noexcept {
  // A program that is answered goes on while this ends: nobody forgets the file before it has.
  const cache::FilePages::InUse in_use(view->inode());
  // What is cached needs no more than to be shown. Under `inode` that is an operation like any other.
  if (!fault.store && !view->inode().lock().guards_operations() && !view->inode().broken() &&
      view->show_around(page).pages > 0) {
    return;
  }
  // Whoever accesses what is mapped so gets another signal. The kernel tells of accesses that are over, too: then the
  // address is another mapping's by now, of a file perhaps that nobody may store into.
  const map::Access access = fault.store ? map::Access::kReadWrite : map::Access::kRead;
  if (!view->view().allows(view->place(page), 1, access)) {
    view->view().wake(view->place(page), 1);
    return;
  }
  const auto refuse = [&](std::errc error) {
    view->fail(page, std::make_error_code(error));
    service.note_failed(view);
  };
  using Access = cache::BlockHolders::Access;
  const Access told = cache::BlockHolders::note_access(fault.thread, fault.page);
  if (told == Access::kFirst) {
    view->view().wake(view->place(page), 1);
    return;
  }
  if (told == Access::kAgain || fault.thread == service.thread_id()) {
    refuse(std::errc::resource_deadlock_would_occur);
    return;
  }
  auto* const made = new (std::nothrow) PageFault(service, view, page, fault.store, fault.kind);
  if (made == nullptr) {
    refuse(std::errc::not_enough_memory);
    return;
  }
  made->run();
}

std::error_code PageFault::want(FaultService& service, const std::shared_ptr<FileView>& view,
                                std::uint64_t page, bool store,
                                const std::shared_ptr<Awaited>& awaited) noexcept {
  if (would_wait_for_itself(service, ::gettid())) {
    return std::make_error_code(std::errc::resource_deadlock_would_occur);
  }
  auto* const made =
      new (std::nothrow) PageFault(service, view, page, store, map::Fault::Kind::kMissing);
  if (made == nullptr) return std::make_error_code(std::errc::not_enough_memory);
  made->awaited_ = awaited;
  service.post(*made);
  return {};
}

void PageFault::begin_wanted(FaultService& service, const std::shared_ptr<FileView>& view,
                             std::uint64_t page, bool store, map::Fault::Kind kind,
                             const std::shared_ptr<Awaited>& awaited) noexcept {
  auto* const made = new (std::nothrow) PageFault(service, view, page, store, kind);
  if (made == nullptr) {
    awaited->error_ = std::make_error_code(std::errc::not_enough_memory);
    awaited->waker_.wake();
    return;
  }
  made->awaited_ = awaited;
  made->run();
}

void PageFault::run() noexcept {
  for (;;) {
    switch (step()) {
      case Next::kAgain:
        continue;
      case Next::kWaits:
        return;
      case Next::kEnded:
        delete this;
        return;
    }
  }
}

// Goes on where it waited.
PageFault::Next PageFault::step() noexcept {
  switch (step_) {
    case Step::kBegin:
      return begin();
    case Step::kOperation:
      operation_.granted(at_operation_);
      return access();
    case Step::kFill:
      return fill_->resume() ? filled() : Next::kWaits;
    case Step::kPage:
      return look();
    case Step::kMove:
      return write_.resume() ? moved() : Next::kWaits;
    case Step::kReserve:
      return reserve_.resume() ? reserved() : Next::kWaits;
    case Step::kCredit:
      return inode().cache().dirty().resume(at_credit_) ? credited() : Next::kWaits;
    case Step::kHold:
      return write_.resume() ? held() : Next::kWaits;
  }
  QUIRE_CHECK(false);
  return Next::kEnded;
}

PageFault::Next PageFault::begin() noexcept {
  step_ = Step::kOperation;
  if (!operation_.begin_async(inode().lock(), sync::RwMode::kRead, at_operation_)) {
    return Next::kWaits;
  }
  return access();
}

PageFault::Next PageFault::access() noexcept {
  if (inode().broken()) return fail(std::make_error_code(std::errc::io_error));
  if (page_ >= cache::pages_of(inode().size_bytes())) return past_end();
  return store_ ? reserve() : look();
}

// ---- Loads ----

PageFault::Next PageFault::look() noexcept {
  if (copies()) return copy_out();
  const FileView::Shown found = view_->show_around(page_);
  if (!found.ready) return look_closer();
  switch (found.stop) {
    case map::Stop::kNothing:
      return end({});
    case map::Stop::kPartly:
      // Not even this page, and nobody was woken: the kernel was changing its page tables just then.
    case map::Stop::kMapped:
    case map::Stop::kGone:
      return repeat();
    case map::Stop::kPastEnd:
      return past_end();
    case map::Stop::kHole:
      return fail(std::make_error_code(std::errc::bad_address));
    case map::Stop::kNoMemory:
      return fail(std::make_error_code(std::errc::not_enough_memory));
    case map::Stop::kLost:
      return fail(std::make_error_code(std::errc::io_error));
    case map::Stop::kUnsupported:
      // Without a way to show it for loads alone. Our own pins would be waited for.
      fill_.reset();
      store_ = true;
      return access();
  }
  QUIRE_CHECK(false);
  return Next::kEnded;
}

PageFault::Next PageFault::copy_out() noexcept {
  const bool copied = view_->load_cached(page_, [&](const std::byte* of_page) {
    sync::MutexLock lock(awaited_->mutex_);
    if (awaited_->left_) return;
    std::memcpy(awaited_->to_.data(), of_page + awaited_->in_page_, awaited_->to_.size());
    awaited_->copied_ = true;
  });
  return copied ? end({}) : look_closer();
}

// The page is not there, or not to be seen now.
PageFault::Next PageFault::look_closer() noexcept {
  // Who has the page by now waits until nobody has it pinned.
  fill_.reset();
  bool absent = true;
  bool moves = false;
  {
    const cache::FilePages::Walker walker(inode());
    const cache::PageWord* const word = inode().find(page_);
    if (word != nullptr) {
      const cache::PageValue value = word->load();
      absent = value.absent();
      moves = value.readable() && !value.in_file();
    }
  }
  if (absent) return fill();
  if (moves) {
    step_ = Step::kMove;
    return write_.begin(page_) ? moved() : Next::kWaits;
  }
  step_ = Step::kPage;
  return inode().enqueue_unreadable(page_, at_page_) ? Next::kWaits : Next::kAgain;
}

PageFault::Next PageFault::fill() noexcept {
  if (page_ >= cache::pages_of(inode().size_bytes())) return past_end();
  const std::size_t pages = run_alone_ || view_->shows_alone() ? 1 : left_in_block(page_);
  {
    sync::MutexLock lock(view_->readahead().mutex);
    ahead_ = view_->readahead().state.on_miss(page_, pages);
  }
  step_ = Step::kFill;
  fill_.emplace(inode(), *this);
  return fill_->begin(page_, pages) ? filled() : Next::kWaits;
}

PageFault::Next PageFault::filled() noexcept {
  const std::error_code error = fill_->error();
  if (error) {
    fill_.reset();
    if (std::exchange(run_alone_, true)) return fail(error);
    // What is wrong with one page must not be with its neighbours.
    return fill();
  }
  start_windows(inode(), view_->readahead(), std::exchange(ahead_, {}));
  // The pins are given back when the page has been shown.
  return look();
}

PageFault::Next PageFault::moved() noexcept {
  if (write_.past_end()) return past_end();
  if (write_.error()) return fail(write_.error());
  write_.release();
  return look();
}

// ---- Stores ----

PageFault::Next PageFault::reserve() noexcept {
  SpaceBook* const space = inode().space();
  if (space == nullptr || space->covers({page_, page_ + 1})) return take_credit();
  step_ = Step::kReserve;
  return reserve_.begin(page_) ? reserved() : Next::kWaits;
}

PageFault::Next PageFault::reserved() noexcept {
  return reserve_.error() ? fail(reserve_.error()) : take_credit();
}

PageFault::Next PageFault::take_credit() noexcept {
  QUIRE_DCHECK(!credit_);
  step_ = Step::kCredit;
  return inode().cache().dirty().take_async(1, at_credit_) ? credited() : Next::kWaits;
}

PageFault::Next PageFault::credited() noexcept {
  if (at_credit_.error()) return fail(at_credit_.error());
  credit_ = true;
  return hold();
}

PageFault::Next PageFault::hold() noexcept {
  step_ = Step::kHold;
  if (fault::planted(fault::Planted::kSecondViewEarly) && kind_ == map::Fault::Kind::kProtected) {
    // As if what is dirty could be stored into through every view.
    const cache::FilePages::Walker walker(inode());
    const cache::PageWord* const word = inode().find(page_);
    if (word != nullptr && word->load().dirty()) {
      (void)view_->view().unprotect(view_->place(page_), 1);
      return end({});
    }
  }
  return write_.begin(page_) ? held() : Next::kWaits;
}

PageFault::Next PageFault::held() noexcept {
  if (write_.past_end()) return past_end();
  if (write_.error()) return fail(write_.error());
  SpaceBook* const space = inode().space();
  if (space != nullptr && !space->covers({page_, page_ + 1})) {
    // It was taken away before we held the page. Who has the write range may wait for a credit.
    write_.release();
    if (std::exchange(credit_, false)) inode().cache().dirty().give(1);
    return reserve();
  }
  return let_store();
}

PageFault::Next PageFault::let_store() noexcept {
  if (copies()) {
    // Nobody is let through: the page changes here, before it is let go.
    inode().stamp_change();
    inode().append_places().note_change();
    write_.admit_stores();
    copy_in();
    write_.finish();
    credit_ = false;
    inode().cache().balance_dirty();
    return end({});
  }
  credit_ = false;
  // Where a view watches, a load is answered as a store is, but changes nothing by itself.
  const map::Stop stop =
      view_->view().watches() && !access_stores_
          ? view_->let_watched_load(page_, write_)
          : view_->let_store(page_, kind_ == map::Fault::Kind::kProtected, write_);
  switch (stop) {
    case map::Stop::kNothing:
      return end({});
    case map::Stop::kNoMemory:
      return fail(std::make_error_code(std::errc::not_enough_memory));
    case map::Stop::kLost:
      return fail(std::make_error_code(std::errc::io_error));
    default:
      // Nothing was let through where it is unmapped: the access is repeated.
      return repeat();
  }
}

void PageFault::copy_in() noexcept {
  sync::MutexLock lock(awaited_->mutex_);
  if (awaited_->left_) return;
  std::memcpy(inode().memory()->at(page_) + awaited_->in_page_, awaited_->from_.data(),
              awaited_->from_.size());
  awaited_->copied_ = true;
}

// ---- Ends ----

PageFault::Next PageFault::repeat() noexcept {
  view_->view().wake(view_->place(page_), 1);
  return end({});
}

// The file ended before the page when somebody looked, and may have grown since. If it has not the kernel raises the
// signal, since the memory ends there too; if it has the access is asked about again. The page must not fail: it would
// do so for a while, though it is there.
PageFault::Next PageFault::past_end() noexcept {
  const auto error = std::make_error_code(std::errc::bad_address);
  if (awaited_ != nullptr) return end(error);
  if (page_ >= cache::pages_of(inode().size_bytes())) view_->note_error(error);
  return repeat();
}

PageFault::Next PageFault::fail(std::error_code error) noexcept {
  if (awaited_ != nullptr) return end(error);
  view_->fail(page_, error);
  service_.note_failed(view_);
  return end(error);
}

PageFault::Next PageFault::end(std::error_code error) noexcept {
  fill_.reset();
  operation_.end();
  if (credit_) inode().cache().dirty().give(1);
  credit_ = false;
  if (awaited_ != nullptr) {
    awaited_->error_ = error;
    awaited_->waker_.wake();
  }
  return Next::kEnded;
}

}  // namespace quire::file
