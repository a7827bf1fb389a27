#include "cache/write_run.h"

#include <span>
#include <utility>

#include "cache/hazard.h"
#include "sync/check.h"

namespace quire::cache {
namespace {

void let_go(FilePages& pages, std::uint64_t index, PageWord& word) noexcept {
  pages.wake(index, word.cancel_write());
  pages.cache().memory().note_evictable();
}

}  // namespace

PageWord* WriteRun::try_hold(FilePages& pages, std::uint64_t index) noexcept {
  QUIRE_DCHECK(pages.memory() != nullptr);
  PageWord* word = nullptr;
  {
    const FilePages::Walker walker(pages);
    word = pages.find(index);
    if (word == nullptr) return nullptr;
    PageValue value = word->load();
    if (value.absent() || !word->begin_write(value)) return nullptr;
  }
  const PageValue value = word->load();
  if (value.in_file() && value.pins() == 0 && !Hazards::named(pages.key(index))) return word;
  let_go(pages, index, *word);
  return nullptr;
}

void WriteRun::try_begin(std::uint64_t first, std::size_t pages_max) noexcept {
  QUIRE_DCHECK(count_ == 0 && pages_max <= words_.size());
  first_ = first;
  while (count_ < pages_max) {
    PageWord* const word = try_hold(pages_, first_ + count_);
    if (word == nullptr) return;
    words_.at(count_++) = word;
  }
}

void WriteRun::shrink(std::size_t pages) noexcept {
  while (count_ > pages) {
    --count_;
    let_go(pages_, first_ + count_, *words_.at(count_));
  }
}

void WriteRun::admit_stores() noexcept {
  for (PageWord* const word : std::span(words_).first(count_)) pages_.list_store(*word);
}

void WriteRun::finish() noexcept {
  std::uint64_t carried = 0;
  const std::size_t count = std::exchange(count_, 0);
  for (std::size_t i = 0; i < count; ++i) {
    if (pages_.end_store(first_ + i, *words_.at(i))) ++carried;
  }
  // Those that were dirty had a credit already.
  if (carried > 0) pages_.cache().dirty().give(carried);
}

}  // namespace quire::cache
