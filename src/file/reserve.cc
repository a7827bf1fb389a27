#include "file/reserve.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "fault/planted.h"
#include "file/cut_call.h"
#include "file/reserve_call.h"
#include "quire/error.h"
#include "sync/lock_rank.h"

namespace quire::file {
namespace {

using cache::page_offset;
using cache::pages_of;

constexpr PageRange kAllPages = {0, ~std::uint64_t{0}};

std::error_code ask(const std::shared_ptr<Inode>& inode, const std::shared_ptr<void>& owner,
                    const SpaceRequest& request, const sync::WaitLimit& limit) {
  auto* const call = new ReserveCall(inode, owner, request);
  call->submit(limit.may_leave() ? IoMode::kAsync : IoMode::kWait);
  return StoreCall::wait_and_disown(call, limit);
}

bool left(std::error_code error) {
  return error == Errc::kTimedOut || error == Errc::kInterrupted;
}

class TrimCall final : public CutCall {
 public:
  explicit TrimCall(const std::shared_ptr<Inode>& inode) : CutCall(inode) {}

 private:
  std::error_code prepare(const sync::WaitLimit& limit) override;
  bool next() noexcept override;
  void done() noexcept override;
  void failed(std::error_code error) noexcept override;

  std::uint64_t size_pages_ = 0;
  std::vector<PageRange> released_;
  std::size_t asked_ = 0;  // of released_
  int truncates_ = 0;      // still to be asked for
  bool truncated_ = false;
};

std::error_code TrimCall::prepare(const sync::WaitLimit& limit) {
  SpaceBook* const space = inode_->space();
  if (space == nullptr) return {};
  const bool all = !fault::planted(fault::Planted::kTrimLocksNothing);
  const Bytes kept = all ? Bytes{} : Bytes{kLast, kLast};
  const std::error_code error = lock_bytes([&](std::uint64_t) { return kept; }, limit);
  if (error) return error;
  size_pages_ = pages_of(inode_->size_bytes());
  if (inode_->has_memory() && !fault::planted(fault::Planted::kTrimKeepsPromises)) {
    // The first store of a program holds no write range but its page (page_fault.h). Either it sees that nothing
    // is promised any more, or we see that the page is being written.
    space->doubt({0, size_pages_});
  }
  released_ = spare_pages(*inode_, {0, size_pages_});
  const std::vector<PageRange> beyond = spare_pages(*inode_, {size_pages_, kAllPages.end});
  if (beyond.empty()) return {};
  const Result<ObjectStat> there = store().stat(handle());
  if (!there.ok()) return there.code();
  // Longer than we have made it: by another program, whose bytes are not ours to cut off.
  const bool longer = there->size_bytes > inode_->size_bytes();
  if (longer || space->keeps_beyond(size_pages_)) {
    released_.insert(released_.end(), beyond.begin(), beyond.end());
  } else {
    // What makes an object longer takes nothing from behind it: while its end is not written yet, once to
    // make it as long as the file, and once for the space.
    truncates_ = inode_->dirty().unwritten() > 0 ? 2 : 1;
  }
  return {};
}

bool TrimCall::next() noexcept {
  if (asked_ < released_.size()) {
    const PageRange range = released_[asked_++];
    store().release(handle(), page_offset(range.first), page_offset(range.end - range.first),
                    *this);
    return true;
  }
  if (truncates_ == 0) return false;
  --truncates_;
  truncated_ = true;
  store().truncate(handle(), inode_->size_bytes(), *this);
  return true;
}

void TrimCall::done() noexcept {
  if (asked_ == 0 && !truncated_) return;
  inode_->note_reserved();
  for (const PageRange range : released_) inode_->space()->cut(range);
  if (truncated_) inode_->space()->truncated(size_pages_, true);
}

void TrimCall::failed(std::error_code /*error*/) noexcept {
  inode_->note_changed();
  for (const PageRange range : released_) inode_->space()->doubt(range);
  if (truncated_) inode_->space()->truncated(size_pages_, false);
}

}  // namespace

bool is_full(std::error_code error) noexcept {
  return error == std::errc::no_space_on_device ||
         error == std::error_code(EDQUOT, std::generic_category());
}

void give_up_reserving(Inode& inode) {
  inode.space()->give_up();
  if (!inode.cache().note_not_reserving()) return;
  // The write range is held.
  inode.cache().log_soon(LogLevel::kInfo, [&] {
    return fmt::format(
        "the store cannot reserve space for {}: a full disk may show only when dirty data is "
        "written",
        inode.path());
  });
}

Reserved reserve(const std::shared_ptr<Inode>& inode, const std::shared_ptr<void>& owner,
                 PageRange need, PageRange held, const sync::WaitLimit& limit) {
  SpaceBook* const space = inode->space();
  if (space == nullptr) return {need.end, {}};
  sync::lock_rank::assert_may_wait_for_memory();
  SpaceRequest needed;
  while (space->next(need, held, &needed)) {
    SpaceRequest wider = needed;
    space->look_ahead(&wider, pages_of(inode->size_bytes()));
    std::error_code error = ask(inode, owner, wider, limit);
    if (error && wider.end > needed.end && !left(error)) error = ask(inode, owner, needed, limit);
    while (is_full(error) && needed.end - needed.first > 1) {
      needed.end = needed.first + (needed.end - needed.first) / 2;
      error = ask(inode, owner, needed, limit);
    }
    if (error == std::errc::operation_not_supported) {
      give_up_reserving(*inode);
      break;
    }
    if (error) return {needed.offset / limits::kPageBytes + needed.first, error};
  }
  return {need.end, {}};
}

std::vector<PageRange> spare_pages(Inode& inode, PageRange pages) {
  std::vector<PageRange> spare;
  const cache::FilePages::Walker walker(inode);
  for (const PageRange range : inode.space()->fresh(pages)) {
    for (std::uint64_t page = range.first; page < range.end; ++page) {
      const cache::PageWord* const word = inode.find(page);
      if (word != nullptr && (word->load().dirty() || word->load().writing())) continue;
      // After the look: what was written before is no longer fresh by the time that it is clean.
      if (inode.space()->fresh({page, page + 1}).empty()) continue;
      if (spare.empty() || spare.back().end != page) spare.push_back({page, page});
      spare.back().end = page + 1;
    }
  }
  return spare;
}

std::error_code trim(const std::shared_ptr<Inode>& inode, const sync::WaitLimit& limit) {
  const SpaceBook* const space = inode->space();
  if (space == nullptr || space->fresh_pages() == 0) return {};
  // What another program has done to the object is not to be taken for ours by what follows a trim: then the space
  // stays.
  const Result<ObjectStat> now = inode->cache().store().stat(inode->write_handle());
  if (!now.ok()) return now.code();
  if (inode->looks_changed(*now)) return {};
  return CutCall::run(new TrimCall(inode), limit);
}

}  // namespace quire::file
