#include "file/reshape.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "cache/page_write.h"
#include "fault/planted.h"
#include "file/cut_call.h"
#include "file/reserve.h"
#include "file/sync_file.h"
#include "file/tail.h"
#include "quire/error.h"

namespace quire::file {
namespace {

using cache::page_index;
using cache::page_offset;

const std::error_code kInvalid = std::make_error_code(std::errc::invalid_argument);

bool supports(Inode& inode, Cut kind) {
  return (inode.cache().traits().cuts & (1u << static_cast<unsigned>(kind))) != 0;
}

// What stores answer before they begin: nothing has changed.
bool refused(std::error_code error) {
  constexpr std::array refusals = {
      std::errc::invalid_argument,       std::errc::operation_not_supported,
      std::errc::function_not_supported, std::errc::file_too_large,
      std::errc::bad_file_descriptor,    std::errc::operation_not_permitted,
      std::errc::permission_denied,      std::errc::text_file_busy,
      std::errc::no_such_device,
  };
  return error == Errc::kBusy || std::any_of(refusals.begin(), refusals.end(),
                                             [&](std::errc refusal) { return error == refusal; });
}

class ClearCall final : public CutCall {
 public:
  ClearCall(const std::shared_ptr<Inode>& inode, Cut kind, std::uint64_t offset, std::uint64_t end,
            bool keep_size)
      : CutCall(inode),
        kind_(kind),
        offset_(offset),
        end_(end),
        keep_size_(keep_size),
        first_page_(cache::pages_of(offset)),
        end_page_(page_index(end)) {}

 private:
  enum class Step : std::uint8_t { kSettle, kCut, kGrow, kDone };

  std::error_code prepare(const sync::WaitLimit& limit) override;
  bool next() noexcept override;
  void done() noexcept override;
  void failed(std::error_code error) noexcept override;

  // What the store has done to the space of the file, if that is known.
  void note_space(bool unknown) noexcept;
  bool whole_pages() const noexcept { return first_page_ < end_page_; }
  bool grows(std::uint64_t size) const noexcept {
    return kind_ == Cut::kZero && !keep_size_ && end_ > size;
  }
  // The last page of the file is one of the whole pages.
  bool takes_the_end(std::uint64_t size) const noexcept {
    return whole_pages() && page_offset(end_page_) >= size;
  }
  std::error_code clear_edges(const sync::WaitLimit& limit);
  // Zeroes [from, to), which lies in one page, as far as it lies in the file.
  std::error_code clear_part(std::uint64_t from, std::uint64_t to, const sync::WaitLimit& limit);

  const Cut kind_;
  const std::uint64_t offset_;
  const std::uint64_t end_;
  const bool keep_size_;
  const std::uint64_t first_page_;  // the whole pages
  const std::uint64_t end_page_;
  bool settles_ = false;
  bool grows_ = false;
  Step step_ = Step::kSettle;
};

std::error_code ClearCall::prepare(const sync::WaitLimit& limit) {
  std::error_code error = lock_bytes(
      [&](std::uint64_t size) {
        Bytes bytes = {offset_, end_ - 1};
        if (grows(size) && !fault::planted(fault::Planted::kZeroGrowsInItsRange)) {
          bytes = {std::min(offset_, size), kLast};
        }
        // Nobody may make the file longer while we tell the store how long it is.
        if (takes_the_end(size)) bytes.last = kLast;
        // Space is reserved for whole pages, those at the edges too.
        if (inode_->space() == nullptr) return bytes;
        return Bytes{bytes.first & ~cache::kInPage, bytes.last | cache::kInPage};
      },
      limit);
  if (error) return error;
  const std::uint64_t size = inode_->size_bytes();
  grows_ = grows(size);
  if (grows_) error = settle_tail(*inode_, limit);
  if (!error) error = clear_edges(limit);
  if (error || !whole_pages()) return error;
  error = lock_pages(first_page_, end_page_ - 1, limit);
  if (error || grows_ || size == 0 || !takes_the_end(size)) return error;
  const cache::PageWord* const last = inode_->find(page_index(size - 1));
  settles_ = last != nullptr && last->load().dirty();
  return {};
}

std::error_code ClearCall::clear_edges(const sync::WaitLimit& limit) {
  if (fault::planted(fault::Planted::kPunchSkipsEdges)) return {};
  const std::uint64_t edge = page_offset(first_page_);
  std::error_code error;
  if (offset_ < edge) error = clear_part(offset_, std::min(edge, end_), limit);
  const std::uint64_t last = std::max(page_offset(end_page_), offset_);
  if (!error && edge <= last && last < end_) error = clear_part(last, end_, limit);
  inode_->cache().balance_dirty();
  return error;
}

std::error_code ClearCall::clear_part(std::uint64_t from, std::uint64_t to,
                                      const sync::WaitLimit& limit) {
  // The part of the file that we hold neither grows nor shrinks.
  to = std::min(to, inode_->size_bytes());
  if (from >= to) return {};
  const std::uint64_t index = page_index(from);
  const std::size_t in_page = from & (limits::kPageBytes - 1);
  cache::DirtyBudget& dirty = inode_->cache().dirty();
  std::error_code error;
  if (inode_->space() != nullptr) {
    const PageRange page = {index, index + 1};
    down_->hand_over_bytes();
    error = reserve(inode_, down_, page, page, limit).error;
  }
  const std::error_code full = is_full(error) ? error : std::error_code();
  if (!error || full) error = dirty.take(1, limit);
  if (error) return error;
  cache::PageWrite page(*inode_);
  // All of the page is read where there is no space for it: it may be in a hole, and needs none then.
  error = full ? page.begin(index, 0, 0, limit)
               : page.begin(index, in_page, in_page + (to - from), limit);
  if (!error && full) {
    const auto part = std::span(page.bytes(), limits::kPageBytes).subspan(in_page, to - from);
    const bool zeros =
        std::all_of(part.begin(), part.end(), [](std::byte b) { return b == std::byte{0}; });
    page.abandon();
    dirty.give(1);
    return zeros ? std::error_code() : full;
  }
  if (error) {
    dirty.give(1);
    return error;
  }
  const bool to_the_end = fault::planted(fault::Planted::kClearPartToTheEnd);
  std::memset(page.bytes() + in_page, 0, to_the_end ? limits::kPageBytes - in_page : to - from);
  inode_->stamp_change();
  page.finish(to);
  if (in_page == 0 && to == inode_->size_bytes()) inode_->unsynced().overwritten(index);
  return {};
}

bool ClearCall::next() noexcept {
  switch (step_) {
    case Step::kSettle:
      step_ = Step::kCut;
      if (settles_) {
        store().truncate(handle(), inode_->size_bytes(), *this);
        return true;
      }
      [[fallthrough]];
    case Step::kCut:
      step_ = Step::kGrow;
      if (whole_pages()) {
        store().cut(handle(), kind_, page_offset(first_page_), page_offset(end_page_ - first_page_),
                    *this);
        return true;
      }
      [[fallthrough]];
    case Step::kGrow:
      step_ = Step::kDone;
      if (grows_) {
        // At the store too: nothing that is written back later would make the object as long.
        store().truncate(handle(), end_, *this);
        return true;
      }
      [[fallthrough]];
    case Step::kDone:
      return false;
  }
  return false;
}

void ClearCall::done() noexcept {
  inode_->stamp_change();
  if (!whole_pages() && !grows_) return;
  inode_->note_changed();
  note_space(false);
  if (grows_) inode_->set_size_bytes(end_);
  if (!whole_pages()) return;
  if (!fault::planted(fault::Planted::kPunchKeepsPages)) down_->pages().drop_from(first_page_);
  inode_->unsynced().forget_range(first_page_, end_page_);
}

void ClearCall::note_space(bool unknown) noexcept {
  SpaceBook* const space = inode_->space();
  if (space == nullptr) return;
  const std::uint64_t size_pages = cache::pages_of(inode_->size_bytes());
  // The object may have been made as long as the file.
  if (settles_) space->truncated(size_pages, false);
  if (grows_) space->truncated(cache::pages_of(std::min(end_, inode_->size_bytes())), false);
  if (!whole_pages()) return;
  const PageRange whole = {first_page_, end_page_};
  if (unknown) {
    space->doubt(whole);
  } else if (kind_ == Cut::kZero) {
    space->kept(whole);
  } else {
    // Behind the end of the object a store need not give anything back.
    space->cut({first_page_, std::min(end_page_, size_pages)});
    space->doubt({std::max(first_page_, size_pages), end_page_});
  }
}

void ClearCall::failed(std::error_code error) noexcept {
  inode_->note_changed();
  note_space(true);
  // A store that refused to make the object longer has cut it before.
  const bool cut = step_ == Step::kDone && whole_pages();
  if (cut || !refused(error)) down_->pages().drop_clean();
}

class ShiftCall final : public CutCall {
 public:
  ShiftCall(const std::shared_ptr<Inode>& inode, Cut kind, std::uint64_t offset,
            std::uint64_t length)
      : CutCall(inode), kind_(kind), offset_(offset), length_(length) {}

 private:
  enum class Step : std::uint8_t { kRelease, kSettle, kShift, kDone };

  std::error_code prepare(const sync::WaitLimit& limit) override;
  bool next() noexcept override;
  void done() noexcept override;
  void failed(std::error_code error) noexcept override;

  std::error_code refusal(std::uint64_t size) const noexcept;

  const Cut kind_;
  const std::uint64_t offset_;
  const std::uint64_t length_;
  // Reserved and not needed: given back before nobody knows where it is.
  std::vector<PageRange> spare_;
  bool settles_ = false;
  Step step_ = Step::kRelease;
};

std::error_code ShiftCall::refusal(std::uint64_t size) const noexcept {
  if (offset_ >= size) return kInvalid;
  if (kind_ == Cut::kCollapse) return length_ >= size - offset_ ? kInvalid : std::error_code();
  return length_ > limits::kFileSizeMaxBytes - size
             ? std::make_error_code(std::errc::file_too_large)
             : std::error_code();
}

std::error_code ShiftCall::prepare(const sync::WaitLimit& limit) {
  std::error_code error = refusal(inode_->size_bytes());
  // What a failed sync is about must be written again while it is known where it belongs.
  if (!error) error = rewrite_failed(*inode_, limit);
  const bool all = !fault::planted(fault::Planted::kShiftLocksItsRange);
  const Bytes moved = {offset_, all ? kLast : offset_ + length_ - 1};
  if (!error) error = lock_bytes([&](std::uint64_t) { return moved; }, limit);
  if (!error) error = refusal(inode_->size_bytes());
  if (!error) error = lock_pages(page_index(offset_), kLast, limit);
  if (!error) error = ShotDown::write(down_, limit);
  if (error) return error;
  const Result<ObjectStat> there = store().stat(handle());
  if (!there.ok()) return there.code();
  settles_ = there->size_bytes < inode_->size_bytes();
  const SpaceBook* const space = inode_->space();
  if (space == nullptr) return {};
  const std::uint64_t size_pages = cache::pages_of(inode_->size_bytes());
  spare_ = spare_pages(*inode_, {page_index(offset_), size_pages});
  const bool longer = there->size_bytes > inode_->size_bytes();  // by another program
  if (!longer && !space->fresh({size_pages, kLast}).empty() && !space->keeps_beyond(size_pages)) {
    settles_ = true;
  }
  return {};
}

bool ShiftCall::next() noexcept {
  switch (step_) {
    case Step::kRelease:
      if (!spare_.empty()) {
        const PageRange range = spare_.back();
        spare_.pop_back();
        inode_->space()->doubt(range);
        store().release(handle(), page_offset(range.first), page_offset(range.end - range.first),
                        *this);
        return true;
      }
      step_ = Step::kSettle;
      [[fallthrough]];
    case Step::kSettle:
      step_ = Step::kShift;
      if (settles_) {
        store().truncate(handle(), inode_->size_bytes(), *this);
        return true;
      }
      [[fallthrough]];
    case Step::kShift:
      step_ = Step::kDone;
      store().cut(handle(), kind_, offset_, length_, *this);
      return true;
    case Step::kDone:
      return false;
  }
  return false;
}

void ShiftCall::done() noexcept {
  const std::uint64_t first = page_index(offset_);
  const std::uint64_t end = page_index(offset_ + length_);
  const std::uint64_t size = inode_->size_bytes();
  inode_->stamp_change();
  inode_->note_changed();
  inode_->note_cut();
  if (!fault::planted(fault::Planted::kShiftKeepsPages)) down_->pages().drop_from(first);
  if (inode_->space() != nullptr) inode_->space()->forget_from(first);
  if (kind_ == Cut::kInsert) {
    inode_->unsynced().inserted(first, end);
    inode_->set_size_bytes(size + length_);
  } else {
    inode_->unsynced().collapsed(first, end);
    inode_->set_size_bytes(size - length_);
  }
}

void ShiftCall::failed(std::error_code error) noexcept {
  inode_->note_changed();
  if (inode_->space() != nullptr) {
    inode_->space()->truncated(cache::pages_of(inode_->size_bytes()), false);
  }
  // Before the shift itself was asked for, or refused by the store: all is where it was.
  if (step_ != Step::kDone || refused(error)) return;
  if (!fault::planted(fault::Planted::kShiftFailsUnnoticed)) inode_->set_broken();
  if (inode_->space() != nullptr) inode_->space()->forget_from(page_index(offset_));
  down_->pages().drop_from(page_index(offset_));
}

}  // namespace

std::error_code clear(const std::shared_ptr<Inode>& inode, Cut kind, std::uint64_t offset,
                      std::uint64_t end, bool keep_size, const sync::WaitLimit& limit) {
  if (!supports(*inode, kind)) return std::make_error_code(std::errc::operation_not_supported);
  return CutCall::run(new ClearCall(inode, kind, offset, end, keep_size), limit);
}

std::error_code shift(const std::shared_ptr<Inode>& inode, Cut kind, std::uint64_t offset,
                      std::uint64_t length, const sync::WaitLimit& limit) {
  if (!supports(*inode, kind)) return std::make_error_code(std::errc::operation_not_supported);
  constexpr std::uint64_t in_page = limits::kPageBytes - 1;
  if ((offset & in_page) != 0 || (length & in_page) != 0 || length == 0) return kInvalid;
  return CutCall::run(new ShiftCall(inode, kind, offset, length), limit);
}

}  // namespace quire::file
