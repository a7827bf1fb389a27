#include "cache/seal.h"

#include <cstring>

#include "sync/check.h"

namespace quire::cache {

sync::WaitStatus SealedTail::seal(std::uint64_t first, const sync::WaitLimit& limit) {
  QUIRE_DCHECK(first_ == end_);
  first_ = end_ = first;
  sync::WaitStatus status = sync::WaitStatus::kReady;
  pages_.tree().for_each(first, ~std::uint64_t{0}, [&](std::uint64_t index, PageWord& word) {
    status = seal_page(index, word, limit);
    if (status == sync::WaitStatus::kReady) end_ = index + 1;
    return status == sync::WaitStatus::kReady;
  });
  if (status != sync::WaitStatus::kReady) unseal();
  return status;
}

sync::WaitStatus SealedTail::seal_page(std::uint64_t index, PageWord& word,
                                       const sync::WaitLimit& limit) {
  sync::WaitStatus status = sync::WaitStatus::kReady;
  for (;;) {
    PageValue value = word.load();
    if (value.absent()) return sync::WaitStatus::kReady;
    if (word.begin_seal(value)) break;
    if (value.absent()) return sync::WaitStatus::kReady;
    status = pages_.wait_changed(index, word, value, limit);
    if (status != sync::WaitStatus::kReady) return status;
  }
  status = Hazards::wait_clear(pages_.key(index), limit);
  while (status == sync::WaitStatus::kReady) {
    const PageValue value = word.load();
    if (value.pins() == 0) return status;
    status = pages_.wait_changed(index, word, value, limit);
  }
  pages_.wake(index, word.unseal());
  pages_.cache().memory().note_evictable();
  return status;
}

void SealedTail::drop_from(std::uint64_t first) noexcept {
  if (first >= end_) return;
  Memory& memory = pages_.cache().memory();
  std::uint64_t credits = 0;
  pages_.tree().for_each(first, end_ - 1, [&](std::uint64_t index, PageWord& word) {
    const PageValue value = word.load();
    if (value.absent()) return true;
    if (value.state() == PageState::kDirty) {
      pages_.dirty().remove(value.frame());
      ++credits;
    }
    memory.remove(value.frame());
    const PageValue before = word.drop();
    pages_.forget_page(index, word, value.frame());
    pages_.wake(index, before);
    return true;
  });
  end_ = first;
  pages_.cache().dirty().give(credits);
}

void SealedTail::zero_tail_of(std::uint64_t index, std::size_t from) noexcept {
  PageWord* const word = pages_.find(index);
  if (word == nullptr) return;
  const PageValue value = word->load();
  if (value.absent()) return;
  QUIRE_CHECK(value.sealed());
  std::memset(pages_.cache().memory().bytes(value.frame()) + from, 0, limits::kPageBytes - from);
}

void SealedTail::unseal() noexcept {
  if (first_ == end_) return;
  pages_.tree().for_each(first_, end_ - 1, [&](std::uint64_t index, PageWord& word) {
    const PageValue value = word.load();
    if (!value.absent()) pages_.wake(index, word.unseal());
    return true;
  });
  end_ = first_;
  pages_.cache().memory().note_evictable();
}

void drop_clean(FilePages& pages, std::uint64_t first, std::uint64_t last) noexcept {
  Memory& memory = pages.cache().memory();
  const FilePages::Walker walker(pages);
  pages.tree().for_each(first, last, [&](std::uint64_t index, PageWord& word) {
    PageValue value = word.load();
    if (!word.begin_evict(value)) return true;
    if (Hazards::named(pages.key(index))) {
      pages.wake(index, word.unseal());
      memory.note_evictable();
      return true;
    }
    memory.remove(value.frame());
    const PageValue before = word.drop();
    pages.forget_page(index, word, value.frame());
    pages.wake(index, before);
    return true;
  });
}

}  // namespace quire::cache
