#include "file/page_fault.h"

#include <algorithm>
#include <new>
#include <utility>

#include "cache/block_holders.h"
#include "fault/planted.h"
#include "file/buffered.h"
#include "quire/limits.h"
#include "sync/check.h"

namespace quire::file {
namespace {

// Where the block of pages begins that are shown together.
std::uint64_t block_of(std::uint64_t page) noexcept {
  return page / limits::kFaultAroundPages * limits::kFaultAroundPages;
}
std::size_t left_in_block(std::uint64_t page) noexcept {
  return static_cast<std::size_t>(block_of(page) + limits::kFaultAroundPages - page);
}

// Shows the page and, if that can be, those around it; and those that come next, where that is what a program accesses.
FileView::Shown show_around(FileView& view, std::uint64_t page) noexcept {
  const FileView::Shown shown = view.show(page, left_in_block(page));
  if (shown.pages == 0) return shown;
  // Who made the access goes on from here.
  std::uint64_t next = page + shown.pages;
  std::size_t ahead = view.pages_ahead(page, next);
  view.expect(next + ahead);
  const std::uint64_t first = std::max(block_of(page), view.first_page());
  if (first < page) (void)view.show(first, static_cast<std::size_t>(page - first));
  if (shown.marked) ahead_of_marker(view.inode(), view.readahead(), *shown.marked);
  while (ahead > 0) {
    const FileView::Shown more = view.show(next, ahead);
    if (more.marked) ahead_of_marker(view.inode(), view.readahead(), *more.marked);
    if (more.pages == 0) break;
    next += more.pages;
    ahead -= more.pages;
  }
  view.expect(next);
  return shown;
}

}  // namespace

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
      show_around(*view, page).pages > 0) {
    return;
  }
  const auto refuse = [&](std::errc error) {
    view->fail(page, std::make_error_code(error));
    service.note_failed(view);
  };
  if (fault.thread != 0 &&
      (cache::BlockHolders::holds(fault.thread) || fault.thread == service.thread_id())) {
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
  auto* const made =
      new (std::nothrow) PageFault(service, view, page, store, map::Fault::Kind::kMissing);
  if (made == nullptr) return std::make_error_code(std::errc::not_enough_memory);
  made->awaited_ = awaited;
  service.post(*made);
  return {};
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
  if (page_ >= cache::pages_of(inode().size_bytes())) {
    return fail(std::make_error_code(std::errc::bad_address));
  }
  return store_ ? reserve() : look();
}

// ---- Loads ----

PageFault::Next PageFault::look() noexcept {
  const FileView::Shown found = show_around(*view_, page_);
  if (!found.ready) return look_closer();
  switch (found.stop) {
    case map::Stop::kNothing:
    case map::Stop::kPartly:
      return end({});
    case map::Stop::kMapped:
    case map::Stop::kGone:
      return repeat();
    case map::Stop::kPastEnd:
    case map::Stop::kHole:
      return fail(std::make_error_code(std::errc::bad_address));
    case map::Stop::kNoMemory:
      return fail(std::make_error_code(std::errc::not_enough_memory));
    case map::Stop::kUnsupported:
      // Without a way to show it for loads alone. Our own pins would be waited for.
      fill_.reset();
      store_ = true;
      return access();
  }
  QUIRE_CHECK(false);
  return Next::kEnded;
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
  if (page_ >= cache::pages_of(inode().size_bytes())) {
    return fail(std::make_error_code(std::errc::bad_address));
  }
  const std::size_t pages = run_alone_ ? 1 : left_in_block(page_);
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
  if (credit_) return hold();
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
  return write_.begin(page_) ? held() : Next::kWaits;
}

PageFault::Next PageFault::held() noexcept {
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
  const std::size_t place = view_->place(page_);
  map::View& view = view_->view();
  const bool load = view.watches() && !access_stores_;
  if (!load) inode().stamp_change();
  // Before anybody can store: or a sync that follows on the store could find nothing to write.
  if (load) {
    write_.admit_unheard();
  } else if (!fault::planted(fault::Planted::kStoreListedLate)) {
    write_.admit_stores();
  }
  map::Done done = {0, map::Stop::kMapped};
  if (kind_ != map::Fault::Kind::kProtected) {
    done = view.resolve(place, 1, load ? map::Grant::kMarkedStores : map::Grant::kLoadsAndStores);
  }
  // There is a translation, without leave to store; if the view watches, that needs none.
  if (done.stop == map::Stop::kMapped && !view.watches()) done = view.unprotect(place, 1);
  if (load) {
    write_.finish_unheard(done.all());
  } else {
    if (fault::planted(fault::Planted::kStoreListedLate)) write_.admit_stores();
    write_.finish(view.watches());
  }
  credit_ = false;
  if (done.stop == map::Stop::kNoMemory) {
    return fail(std::make_error_code(std::errc::not_enough_memory));
  }
  inode().cache().balance_dirty();
  // Nothing was let through where it is unmapped: the access is repeated.
  return done.all() ? end({}) : repeat();
}

// ---- Ends ----

PageFault::Next PageFault::repeat() noexcept {
  view_->view().wake(view_->place(page_), 1);
  return end({});
}

PageFault::Next PageFault::fail(std::error_code error) noexcept {
  if (awaited_ != nullptr) return end(error);
  if (page_ >= cache::pages_of(inode().size_bytes())) {
    // The kernel raises the signal: the memory ends there.
    view_->note_error(error);
    return repeat();
  }
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
    awaited_->error = error;
    awaited_->waker.wake();
  }
  return Next::kEnded;
}

}  // namespace quire::file
