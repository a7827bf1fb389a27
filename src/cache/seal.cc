#include "cache/seal.h"

#include <algorithm>
#include <cstring>

#include "fault/planted.h"
#include "sync/check.h"

namespace quire::cache {

namespace {

const std::error_code kBusy = std::make_error_code(std::errc::device_or_resource_busy);

// Somebody uses a page that was sealed.
bool used(FilePages& pages, std::uint64_t index, const PageWord& word) noexcept {
  return Hazards::named(pages.key(index)) || word.load().pins() != 0;
}

// Waits until nobody uses a page that was sealed.
std::error_code wait_users(FilePages& pages, std::uint64_t index, PageWord& word,
                           const sync::WaitLimit& limit, sync::Clock::duration users_wait) {
  const PageKey key = pages.key(index);
  if (fault::planted(fault::Planted::kSealIgnoresPins)) return {};
  if (!used(pages, index, word)) return {};
  sync::WaitLimit until = limit;
  if (users_wait != SealedRange::kAsLongAsItTakes) {
    until.deadline = std::min(limit.deadline, sync::deadline_after(users_wait));
  }
  sync::WaitStatus status = Hazards::wait_clear(key, until);
  while (status == sync::WaitStatus::kReady) {
    const PageValue value = word.load();
    if (value.pins() == 0) return {};
    status = pages.wait_changed(index, word, value, until);
  }
  const bool ours = status == sync::WaitStatus::kTimedOut && until.deadline != limit.deadline;
  return ours ? kBusy : sync::to_error(status);
}

void unseal_page(FilePages& pages, std::uint64_t index, PageWord& word) noexcept {
  pages.wake(index, word.unseal());
  pages.cache().memory().note_evictable();
}

// Drops a sealed page that nobody uses.
using Bytes = FilePages::Bytes;
void drop_page(FilePages& pages, std::uint64_t index, PageWord& word,
               Bytes bytes = Bytes::kThere) noexcept {
  const PageValue value = word.load();
  const bool dirty = value.state() == PageState::kDirty;
  if (dirty) pages.dirty().remove(value.frame());
  pages.cache().memory().remove(value.frame());
  pages.release_bytes(index, value, bytes);
  const PageValue before = word.drop();
  pages.forget_page(index, word, value.frame());
  // A sync that waits for the page finds nothing dirty then.
  if (dirty) pages.cache().dirty().give(1);
  pages.wake(index, before);
}

std::error_code seal_page(FilePages& pages, std::uint64_t index, PageWord& word,
                          const sync::WaitLimit& limit, sync::Clock::duration users_wait) {
  for (;;) {
    PageValue value = word.load();
    if (value.absent()) return {};
    if (word.begin_seal(value)) break;
    if (value.absent()) return {};
    if (fault::planted(fault::Planted::kSealSkipsFilling) && !value.uptodate()) return {};
    const sync::WaitStatus status = pages.wait_changed(index, word, value, limit);
    if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  }
  const std::error_code error = wait_users(pages, index, word, limit, users_wait);
  if (error) unseal_page(pages, index, word);
  return error;
}

}  // namespace

std::error_code SealedRange::seal(std::uint64_t first, std::uint64_t last,
                                  const sync::WaitLimit& limit, sync::Clock::duration users_wait) {
  QUIRE_DCHECK(first_ == end_);
  first_ = end_ = first;
  std::error_code error;
  pages_.tree().for_each(first, last, [&](std::uint64_t index, PageWord& word) {
    error = seal_page(pages_, index, word, limit, users_wait);
    if (!error) end_ = index + 1;
    return !error;
  });
  if (error) {
    unseal();
    return error;
  }
  const bool hides = !fault::planted(fault::Planted::kSealHidesNothing);
  if (const MappedMode::Use memory = pages_.use_memory(); memory && hides) {
    const std::uint64_t end = std::min(end_, memory->size_pages());
    if (first_ < end) pages_.hide(first_, end - first_);
  }
  return error;
}

void SealedRange::move_to_file() noexcept {
  if (first_ == end_) return;
  pages_.tree().for_each(first_, end_ - 1, [&](std::uint64_t index, PageWord& word) {
    if (!word.load().absent()) (void)pages_.move_to_memory(index, word);
    return true;
  });
}

void SealedRange::drop_from(std::uint64_t first) noexcept {
  if (first >= end_) return;
  // In one call what would be one for each page.
  const bool punches = !fault::planted(fault::Planted::kSkipPunch);
  const MappedMode::Use memory = pages_.use_memory();
  if (memory && punches) memory->punch(first, end_ - first);
  const Bytes bytes = memory ? Bytes::kGone : Bytes::kThere;
  pages_.tree().for_each(first, end_ - 1, [&](std::uint64_t index, PageWord& word) {
    if (!word.load().absent()) drop_page(pages_, index, word, bytes);
    return true;
  });
  end_ = first;
}

void SealedRange::drop_clean() noexcept {
  if (first_ == end_) return;
  pages_.tree().for_each(first_, end_ - 1, [&](std::uint64_t index, PageWord& word) {
    if (word.load().state() == PageState::kClean) drop_page(pages_, index, word);
    return true;
  });
}

void SealedRange::zero_tail_of(std::uint64_t index, std::size_t from) noexcept {
  PageWord* const word = pages_.find(index);
  if (word == nullptr) return;
  const PageValue value = word->load();
  if (value.absent()) return;
  QUIRE_CHECK(value.sealed());
  std::memset(pages_.bytes(index, value) + from, 0, limits::kPageBytes - from);
}

void SealedRange::unseal() noexcept {
  if (first_ == end_) return;
  pages_.tree().for_each(first_, end_ - 1, [&](std::uint64_t index, PageWord& word) {
    const PageValue value = word.load();
    if (!value.absent()) pages_.wake(index, word.unseal());
    return true;
  });
  end_ = first_;
  pages_.cache().memory().note_evictable();
}

namespace {

// Clean pages side by side that were sealed and that nobody uses: they are dropped together, so that views are told
// once, and the processors that have them in sight.
class DropRun {
 public:
  explicit DropRun(FilePages& pages) : pages_(pages) {}
  ~DropRun() { drop(); }
  DropRun(const DropRun&) = delete;
  DropRun& operator=(const DropRun&) = delete;

  void add(std::uint64_t index) noexcept {
    if (index != first_ + count_ || count_ == limits::kStoreIoMaxPieces) drop();
    if (count_ == 0) first_ = index;
    ++count_;
  }
  void drop() noexcept {
    if (count_ == 0) return;
    const MappedMode::Use memory = pages_.use_memory();
    if (memory && first_ < memory->size_pages()) {
      // One page alone the punch takes out of sight.
      if (count_ > 1) pages_.views().hide(first_, count_);
      memory->punch(first_, count_);
    }
    const Bytes bytes = memory ? Bytes::kGone : Bytes::kThere;
    pages_.tree().for_each(first_, first_ + count_ - 1, [&](std::uint64_t index, PageWord& word) {
      drop_page(pages_, index, word, bytes);
      return true;
    });
    count_ = 0;
  }

 private:
  FilePages& pages_;
  std::uint64_t first_ = 0;
  std::uint64_t count_ = 0;
};

}  // namespace

std::error_code invalidate_pages(FilePages& pages, std::uint64_t first, std::uint64_t last,
                                 const sync::WaitLimit& limit, sync::Clock::duration users_wait,
                                 Stayed* stayed) {
  const FilePages::Walker walker(pages);
  std::error_code error;
  DropRun run(pages);
  const auto stays = [&](std::uint64_t index, bool dirty) {
    if (stayed->pages++ == 0) stayed->first = index;
    stayed->dirty += dirty ? 1 : 0;
    return true;
  };
  pages.tree().for_each(first, last, [&](std::uint64_t index, PageWord& word) {
    PageValue value;
    for (;;) {
      value = word.load();
      if (value.absent()) return true;
      if (word.begin_seal(value)) break;
      if (value.absent()) return true;
      if (value.dirty() || value.writing()) return stays(index, true);
      run.drop();  // nothing is kept from others over a wait
      const sync::WaitStatus status = pages.wait_changed(index, word, value, limit);
      error = sync::to_error(status);
      if (error) return false;
    }
    // A sealed page stays as dirty as it is, but for one that counts as dirty since a view watches it: out of sight it
    // is clean, if nothing was stored.
    const bool quiet = value.quiet();
    bool dirty = value.dirty() && !quiet && !fault::planted(fault::Planted::kDropDirtyOnInvalidate);
    if (!dirty && used(pages, index, word)) {
      run.drop();
      error = wait_users(pages, index, word, limit, users_wait);
    }
    if (!error && quiet) {
      pages.hide(index, 1);
      dirty = word.load().dirty();
    }
    if (!error && !dirty) {
      run.add(index);
      return true;
    }
    unseal_page(pages, index, word);
    if (error && error != kBusy) return false;
    error = {};
    return stays(index, dirty);
  });
  return error;
}

void drop_clean(FilePages& pages, std::uint64_t first, std::uint64_t last) noexcept {
  Memory& memory = pages.cache().memory();
  const FilePages::Walker walker(pages);
  DropRun run(pages);
  pages.tree().for_each(first, last, [&](std::uint64_t index, PageWord& word) {
    PageValue value = word.load();
    if (!word.begin_evict(value)) return true;
    if (Hazards::named(pages.key(index))) {
      pages.wake(index, word.unseal());
      memory.note_evictable();
      return true;
    }
    run.add(index);
    return true;
  });
}

}  // namespace quire::cache
