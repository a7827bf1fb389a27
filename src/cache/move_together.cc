#include "cache/move_together.h"

#include <cstring>
#include <span>

#include "cache/hazard.h"
#include "fault/planted.h"
#include "sync/check.h"

namespace quire::cache {

std::size_t MoveTogether::move(std::uint64_t page, std::size_t before, std::size_t after) noexcept {
  QUIRE_DCHECK(before + 1 + after <= words_.size() && before <= page);
  const FilePages::Walker walker(pages_);
  first_ = end_ = page;
  while (end_ - page <= after && take(end_)) ++end_;
  if (end_ == page) return 0;
  while (page - first_ < before && take(first_ - 1)) --first_;
  const bool moved = copy();
  let_go();
  return moved ? static_cast<std::size_t>(end_ - first_) : 0;
}

bool MoveTogether::take(std::uint64_t index) noexcept {
  const FileMemory& memory = *pages_.memory();
  PageWord* const word = pages_.find(index);
  // To open a window takes memory: whoever wants the page for itself does that.
  if (word == nullptr || !memory.has_window(index)) return false;
  PageValue value = word->load();
  if (value.absent() || value.in_file()) return false;
  fault::meet_between();
  if (!word->begin_move(value)) return false;
  const bool read =
      Hazards::named(pages_.key(index)) && !fault::planted(fault::Planted::kMoveWhileRead);
  // The memory does not become shorter over a page that is sealed.
  if (!read && !value.in_file() && index < memory.size_pages()) {
    words_[index % words_.size()] = word;
    return true;
  }
  pages_.wake(index, word->unseal());
  pages_.cache().memory().note_evictable();
  return false;
}

// Of all that are sealed, or none.
bool MoveTogether::copy() noexcept {
  const auto count = static_cast<std::size_t>(end_ - first_);
  FileMemory& memory = *pages_.memory();
  if (memory.make(first_, count)) {
    // Nobody may find a page where its word says that there is none.
    memory.punch(first_, count);
    return false;
  }
  FramePool& pool = pages_.cache().memory().pool();
  std::array<FrameNumber, limits::kMovePagesMax> frames;
  for (std::size_t i = 0; i < count; ++i) {
    frames[i] = word(first_ + i).load().frame();
    std::memcpy(memory.at(first_ + i), pool.bytes(frames[i]), limits::kPageBytes);
    pages_.enter_memory(word(first_ + i));
  }
  pool.lend(std::span(frames).first(count));
  return true;
}

void MoveTogether::let_go() noexcept {
  for (std::uint64_t index = first_; index < end_; ++index) {
    pages_.wake(index, word(index).unseal());
  }
  pages_.cache().memory().note_evictable();
  fault::meet_between();
}

}  // namespace quire::cache
