#include "cache/page_write.h"

#include <cstring>

#include "cache/fill.h"
#include "fault/planted.h"
#include "sync/check.h"
#include "sync/lock_rank.h"

namespace quire::cache {

std::byte* PageWrite::bytes() const noexcept {
  return pages_.bytes(index_, word_->load());
}

bool PageWrite::stored_here(FilePages& pages, std::uint64_t index) noexcept {
  const FilePages::Walker walker(pages);
  const PageWord* const word = pages.find(index);
  return word != nullptr && word->load().stored();
}

std::error_code PageWrite::begin(std::uint64_t index, std::size_t from, std::size_t to,
                                 const sync::WaitLimit& limit) {
  QUIRE_DCHECK(hold_ == Hold::kNone);
  for (;;) {
    std::error_code error = hold_cached(index, limit);
    if (error || hold_ != Hold::kNone) return error;

    // Absent. What of the page lies in the file and is not about to be stored must be read.
    if (covers(index, from, to)) {
      error = add_new(index, from, to, limit);
    } else {
      PinnedRun run;
      error = fill_run(pages_, index, 1, limit, run);
    }
    if (error || hold_ != Hold::kNone) return error;
  }
}

bool PageWrite::covers(std::uint64_t index, std::size_t from, std::size_t to) const noexcept {
  const std::uint64_t size = pages_.size_bytes();
  const std::uint64_t begins = page_offset(index);
  const std::uint64_t in_file =
      size <= begins ? 0 : std::min<std::uint64_t>(size - begins, limits::kPageBytes);
  if (fault::planted(fault::Planted::kSkipPartialRead)) return true;
  return (from == 0 || in_file == 0) && to >= in_file;
}

bool PageWrite::try_hold(std::uint64_t index) noexcept {
  PageWord* const word = pages_.find(index);
  if (word == nullptr) return false;
  PageValue value = word->load();
  if (value.absent()) return false;
  if (word->begin_write(value)) {
    hold_ = Hold::kCached;
    index_ = index;
    word_ = word;
    frame_ = value.frame();
    // For finish(): fetched while the bytes are copied.
    pages_.cache().memory().pool().prefetch_descriptor(frame_);
  }
  return true;
}

std::error_code PageWrite::hold_cached(std::uint64_t index, const sync::WaitLimit& limit) {
  const std::uint32_t slot = Hazards::slot_of_thread();
  for (;;) {
    bool there = false;
    if (slot != Hazards::kNoSlot) {
      // Ended before wait_readers(), or we would wait for ourselves.
      const Hazards::Guard guard(slot, pages_.key(index));
      there = try_hold(index);
    } else {
      const FilePages::Walker walker(pages_);
      there = try_hold(index);
    }
    if (!there) return {};
    if (hold_ == Hold::kCached) {
      sync::lock_rank::acquired(sync::Rank::kPage, word_);
      const std::error_code error = wait_readers(limit);
      const bool in_file = !error && word_->load().in_file();
      if (in_file && !pages_.maps()) [[unlikely]]
        pages_.move_to_frame(index_, *word_);
      return error;
    }
    const sync::WaitStatus status = pages_.wait_unreadable(index, limit);
    if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  }
}

std::error_code PageWrite::wait_readers(const sync::WaitLimit& limit) {
  sync::WaitStatus status = Hazards::wait_clear(pages_.key(index_), limit);
  while (status == sync::WaitStatus::kReady) {
    const PageValue value = word_->load();
    if (value.pins() == 0) return {};
    status = pages_.wait_changed(index_, *word_, value, limit);
  }
  abandon();
  return sync::to_error(status);
}

std::error_code PageWrite::add_new(std::uint64_t index, std::size_t from, std::size_t to,
                                   const sync::WaitLimit& limit) {
  Memory& memory = pages_.cache().memory();
  FrameSet frames(memory);
  std::size_t need = 0;
  {
    const FilePages::Walker walker(pages_);
    need = pages_.frames_for(index);
  }
  sync::WaitStatus status = memory.acquire(frames, need, limit);
  if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  pages_.open_memory(index, 1);
  CacheLock::Add add;
  status = add.begin(pages_.lock(), index, index, limit);
  if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  const bool added = pages_.add_run(index, 1, frames, &frame_) == 1;
  // Not kept until the page is filled, under no strategy: the write range keeps cuts away from it.
  add.end();
  if (!added) return {};

  hold_ = Hold::kNew;
  index_ = index;
  word_ = pages_.find(index);
  sync::lock_rank::acquired(sync::Rank::kPage, word_);
  if (word_->load().in_file()) memory.pool().lend_unused(frame_);
  memory.insert({&frame_, 1}, pages_.serial());
  // Somebody may have appended to this page, and it may have been written back and evicted, all since
  // the size was looked at. From here on nobody can: the page is ours.
  if (!covers(index, from, to) && !fault::planted(fault::Planted::kTrustFirstCovers)) {
    abandon();
    return {};
  }
  std::memset(bytes(), 0, from);
  std::memset(bytes() + to, 0, limits::kPageBytes - to);
  return {};
}

void PageWrite::finish(std::uint64_t end_bytes) noexcept {
  QUIRE_DCHECK(hold_ != Hold::kNone);
  // Before the page can be seen or written back: whoever sees it knows how much of it counts. Growing
  // and shrinking are excluded from each other by the write range; so are two that grow.
  if (end_bytes > pages_.size_bytes()) pages_.set_size_bytes(end_bytes);

  pages_.list_store(*word_);
  const bool carries_credit = pages_.end_store(index_, *word_);
  sync::lock_rank::released(sync::Rank::kPage, word_);
  hold_ = Hold::kNone;
  if (carries_credit) pages_.cache().dirty().give(1);
}

void PageWrite::abandon() noexcept {
  if (hold_ == Hold::kNone) return;
  sync::lock_rank::released(sync::Rank::kPage, word_);
  if (hold_ == Hold::kCached) {
    hold_ = Hold::kNone;
    pages_.wake(index_, word_->cancel_write());
    pages_.cache().memory().note_evictable();
    return;
  }
  hold_ = Hold::kNone;
  pages_.cache().memory().remove(frame_);
  pages_.release_bytes(index_, word_->load());
  const PageValue before = word_->fail_fill();
  pages_.forget_page(index_, *word_, frame_);
  pages_.wake(index_, before);
}

}  // namespace quire::cache
