#include "cache/parked_write.h"

#include <utility>

#include "cache/write_run.h"
#include "fault/planted.h"
#include "sync/check.h"

namespace quire::cache {

bool ParkedWrite::begin(std::uint64_t index) noexcept {
  QUIRE_DCHECK(step_ == Step::kIdle && pages_.has_memory());
  index_ = index;
  error_ = {};
  past_end_ = false;
  return look();
}

bool ParkedWrite::try_begin(std::uint64_t index) noexcept {
  QUIRE_DCHECK(step_ == Step::kIdle && pages_.memory() != nullptr);
  index_ = index;
  error_ = {};
  word_ = WriteRun::try_hold(pages_, index);
  if (word_ == nullptr) return false;
  step_ = Step::kHeld;
  return true;
}

bool ParkedWrite::resume() noexcept {
  switch (step_) {
    case Step::kFill:
      return fill_->resume() && filled();
    case Step::kPage:
      return look();
    case Step::kSlots:
      return Hazards::resume(at_slots_) && wait_pins();
    case Step::kPins:
      return wait_pins();
    case Step::kIdle:
    case Step::kHeld:
      break;
  }
  QUIRE_CHECK(false);
  return true;
}

bool ParkedWrite::look() noexcept {
  for (;;) {
    switch (try_hold()) {
      case Look::kOurs:
        step_ = Step::kSlots;
        return Hazards::begin_clear(pages_.key(index_), at_slots_) && wait_pins();
      case Look::kBusy:
        step_ = Step::kPage;
        if (pages_.enqueue_unreadable(index_, at_page_)) return false;
        break;
      case Look::kAbsent:
        if (index_ >= pages_of(pages_.size_bytes())) return end_past_end();
        step_ = Step::kFill;
        fill_.emplace(pages_, waker_);
        if (!fill_->begin(index_, 1)) return false;
        if (const std::error_code error = fill_->error()) return end(error);
        fill_.reset();
        break;
    }
  }
}

ParkedWrite::Look ParkedWrite::try_hold() noexcept {
  const FilePages::Walker walker(pages_);
  PageWord* const word = pages_.find(index_);
  if (word == nullptr) return Look::kAbsent;
  PageValue value = word->load();
  if (value.absent()) return Look::kAbsent;
  if (!word->begin_write(value)) return value.absent() ? Look::kAbsent : Look::kBusy;
  word_ = word;
  return Look::kOurs;
}

// The read has ended.
bool ParkedWrite::filled() noexcept {
  const std::error_code error = fill_->error();
  // Its pins go with it: from here on the page may be evicted again.
  fill_.reset();
  return error ? end(error) : look();
}

// The page is `writing`, and no hazard slot names it.
bool ParkedWrite::wait_pins() noexcept {
  step_ = Step::kPins;
  for (;;) {
    const PageValue value = word_->load();
    if (value.pins() == 0 || fault::planted(fault::Planted::kFirstStoreIgnoresPins)) break;
    if (pages_.enqueue_changed(index_, *word_, value, at_page_)) return false;
  }
  step_ = Step::kHeld;
  return move();
}

// Nobody uses the page.
bool ParkedWrite::move() noexcept {
  if (pages_.move_to_memory(index_, *word_)) return true;
  release();
  if (index_ >= pages_of(pages_.size_bytes())) return end_past_end();
  return end(std::make_error_code(std::errc::not_enough_memory));
}

bool ParkedWrite::end_past_end() noexcept {
  past_end_ = true;
  return end(std::make_error_code(std::errc::bad_address));
}

bool ParkedWrite::end(std::error_code error) noexcept {
  step_ = Step::kIdle;
  error_ = error;
  fill_.reset();
  return true;
}

void ParkedWrite::finish(bool watched) noexcept {
  QUIRE_DCHECK(held());
  step_ = Step::kIdle;
  if (watched) pages_.begin_watching();
  const bool carries_credit =
      pages_.end_store(index_, *std::exchange(word_, nullptr), watched ? PageValue::kWatched : 0);
  if (carries_credit) pages_.cache().dirty().give(1);
}

void ParkedWrite::admit_unheard() noexcept {
  QUIRE_DCHECK(held());
  pages_.begin_watching();
  pages_.list_store(*word_);
  word_->begin_watch();
}

void ParkedWrite::finish_unheard(bool stored) noexcept {
  QUIRE_DCHECK(held());
  step_ = Step::kIdle;
  const PageValue before = std::exchange(word_, nullptr)->end_watch(stored);
  pages_.wake(index_, before);
  if (before.dirty()) pages_.cache().dirty().give(1);
}

void ParkedWrite::release() noexcept {
  QUIRE_DCHECK(step_ == Step::kIdle || step_ == Step::kHeld);
  if (step_ != Step::kHeld) return;
  step_ = Step::kIdle;
  pages_.wake(index_, std::exchange(word_, nullptr)->cancel_write());
  pages_.cache().memory().note_evictable();
}

}  // namespace quire::cache
