#include "cache/file_pages.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "fault/planted.h"
#include "sync/check.h"

namespace quire::cache {
namespace {

#ifndef QUIRE_SIM
std::uint64_t next_serial() noexcept {
  static sync::Atomic<std::uint64_t> last{0};
  return last.fetch_add(1) + 1;
}
#endif

// Gives tree nodes straight back to the pool.
class PoolNodes {
 public:
  explicit PoolNodes(FramePool& pool) : pool_(pool) {}
  void* allocate() noexcept { return nullptr; }
  void deallocate(void* node) noexcept { pool_.free(pool_.frame_of(node)); }

 private:
  FramePool& pool_;
};

}  // namespace

FilePages::FilePages(PageCache& cache, std::uint64_t size_bytes)
    : cache_(cache),
#ifdef QUIRE_SIM
      serial_(sync::sim::ordinal_of(tag_) + 1),
#else
      serial_(next_serial()),
#endif
      lot_(cache.shared_lot()),
      size_bytes_(size_bytes),
      lock_(cache.locking()),
      dirty_(cache.memory().pool()) {
}

FilePages::~FilePages() {
  QUIRE_CHECK(empty());
}

Result<FilePages::Mapped> FilePages::begin_mapped(std::shared_ptr<Views> views) {
  if (Mapped joined = join_mapped()) return joined;
  const std::error_code error = mapped_.begin(pages_of(size_bytes()), std::move(views));
  if (error) return Error(error, "memory that can be mapped");
  return Mapped(*this);
}

void FilePages::resize_memory(std::uint64_t size_pages) noexcept {
  const MappedMode::Use memory = use_memory();
  if (!memory) return;
  const std::error_code error = memory->resize(size_pages);
  if (!error) return;
  // It did not grow: pages that lie beyond stay in frames, and a mapping ends there. Who makes the file longer holds
  // its write range, and perhaps a page.
  cache_.log_soon(LogLevel::kWarning, [&] {
    return fmt::format("memory for a mapped file of {} pages: {}", size_pages, error.message());
  });
}

void FilePages::open_windows(std::uint64_t first, std::size_t count) noexcept {
  if (const MappedMode::Use memory = use_memory()) (void)memory->open_windows(first, count);
}

bool FilePages::move_to_memory(std::uint64_t index, PageWord& word) noexcept {
  const PageValue value = word.load();
  if (value.in_file()) return true;
  if (index >= memory()->size_pages() || memory()->open_windows(index, 1)) return false;
  Memory& frames = cache_.memory();
  std::memcpy(memory()->at(index), frames.bytes(value.frame()), limits::kPageBytes);
  enter_memory(word);
  frames.pool().lend(value.frame());
  return true;
}

void FilePages::move_to_frame(std::uint64_t index, PageWord& word) noexcept {
  const PageValue value = word.load();
  if (!value.in_file()) return;
  // Somebody may have begun to map the file again. Nobody brings the page into sight while it is ours.
  if (!fault::planted(fault::Planted::kComeBackInSight)) hide(index, 1);
  std::byte* const frame = cache_.memory().bytes(value.frame());
  std::memcpy(frame, memory()->at(index), limits::kPageBytes);
  // A program may have stored behind the end. Frames have zeros there, and nobody settles them (file/tail.h).
  const std::uint64_t size = size_bytes();
  const std::uint64_t begins = page_offset(index);
  if (size < begins + limits::kPageBytes && !fault::planted(fault::Planted::kComeBackWithTail)) {
    const auto in_file = static_cast<std::size_t>(size - std::min(size, begins));
    std::memset(frame + in_file, 0, limits::kPageBytes - in_file);
  }
  cache_.memory().pool().note_used(value.frame());
  word.move_to_frame();
  release_bytes(index, value);
}

void FilePages::come_back(std::uint64_t index) noexcept {
  const Walker walker(*this);
  PageWord* const word = find(index);
  if (word == nullptr || maps()) return;
  PageValue value = word->load();
  if (!value.in_file() || !word->begin_move(value)) return;
  if (!Hazards::named(key(index)) || fault::planted(fault::Planted::kComeBackWhileRead)) {
    move_to_frame(index, *word);
  }
  wake(index, word->unseal());
  cache_.memory().note_evictable();
}

void FilePages::leave_memory(FrameNumber frame) noexcept {
  cache_.memory().pool().take_back(frame);
  mapped_.leave();
}

void FilePages::list_store(PageWord& word) noexcept {
  const PageValue value = word.load();
  // While somebody holds the page it can only lose `writeback`, not become listed by anybody else.
  const bool listed = value.state() == PageState::kDirty || value.state() == PageState::kRewritten;
  if (!listed && dirty_.add(value.frame())) became_dirty();
}

namespace {

// Makes of pages that are out of sight ordinary ones.
class StopWatching final : public Views::Told {
 public:
  explicit StopWatching(FilePages& pages) : pages_(pages) {}

  void told(std::uint64_t page, bool /*mapped*/, bool stored) noexcept override {
    PageWord& word = *pages_.find(page);
    heard_ |= stored;
    const bool news = word.stop_watching(stored);
    const PageValue value = word.load();
    if (news || !value.sealed()) return;
    QUIRE_CHECK(value.state() == PageState::kDirty);
    pages_.dirty().remove(value.frame());
    const PageValue before = word.end_sealed_write();
    pages_.cache().dirty().give(1);
    pages_.wake(page, before);
  }
  void end() noexcept {
    if (heard_) pages_.note_heard();
  }

 private:
  FilePages& pages_;
  bool heard_ = false;
};

}  // namespace

void FilePages::hide(std::uint64_t first, std::uint64_t count) noexcept {
  views().hide(first, count);
  StopWatching stop(*this);
  for_each_watched(first, first + count - 1, [&](std::uint64_t begin, std::uint64_t pages) {
    views().ask(begin, pages, stop);
  });
  stop.end();
}

bool FilePages::end_store(std::uint64_t index, PageWord& word, std::uint64_t flags) noexcept {
  const PageValue before =
      word.load().state() == PageState::kFilling ? word.end_fill_dirty() : word.end_write(flags);
  wake(index, before);
  return before.dirty();
}

void FilePages::became_dirty() noexcept {
  cache_.dirty_files().add(*this);
  cache_.flusher().wake();  // the page's age counts from now
}

sync::WaitStatus FilePages::wait_idle(const sync::WaitLimit& limit) {
  // Not a page's key, or hardly: a false match costs one look.
  const PageKey idle = key(~std::uint64_t{0});
  while (requests_.load() != 0) {
    const sync::WaitStatus status = lot_->wait_where(
        idle,
        [&] {
          idle_wanted_.store(true);
          return requests_.load() != 0;
        },
        limit);
    if (status != sync::WaitStatus::kReady) return status;
  }
  return sync::WaitStatus::kReady;
}

void FilePages::end_request(Request kind) noexcept {
  if (kind == Request::kChanges) changing_.fetch_sub(1);
  // The cache may end as soon as the count is 0: only what is the file's own is touched then.
  if (requests_.fetch_sub(1) == 1 && idle_wanted_.exchange(false)) {
    lot_->wake(key(~std::uint64_t{0}));
  }
}

sync::WaitStatus FilePages::wait_unreadable(std::uint64_t index, const sync::WaitLimit& limit) {
  const std::uint32_t slot = Hazards::slot_of_thread();
  if (slot == Hazards::kNoSlot) {
    const Walker walker(*this);
    PageWord* const word = find(index);
    if (word == nullptr) return sync::WaitStatus::kReady;
    const PageValue seen = word->load();
    if (seen.absent() || seen.readable()) return sync::WaitStatus::kReady;
    return cache_.lot().wait(
        key(index), *word, seen, [] {}, limit);
  }
  Hazards::Guard guard(slot, key(index));
  PageWord* const word = find(index);
  if (word == nullptr) return sync::WaitStatus::kReady;
  const PageValue seen = word->load();
  if (seen.absent() || seen.readable()) return sync::WaitStatus::kReady;
  return cache_.lot().wait(
      key(index), *word, seen, [&] { guard.clear(); }, limit);
}

sync::WaitStatus FilePages::wait_changed(std::uint64_t index, PageWord& word, PageValue seen,
                                         const sync::WaitLimit& limit) {
  return cache_.lot().wait(
      key(index), word, seen, [] {}, limit);
}

bool FilePages::enqueue_unreadable(std::uint64_t index, PageWaitLot::Waiter& waiter) {
  const Walker walker(*this);
  PageWord* const word = find(index);
  if (word == nullptr) return false;
  const PageValue seen = word->load();
  if (seen.absent() || seen.readable()) return false;
  return enqueue_changed(index, *word, seen, waiter);
}

bool FilePages::enqueue_changed(std::uint64_t index, PageWord& word, PageValue seen,
                                PageWaitLot::Waiter& waiter) {
  return cache_.lot().enqueue(waiter, key(index), word, seen);
}

FrameNumber FilePages::leaf_frame(const PageWord& word) const noexcept {
  return cache_.memory().pool().frame_of(&word);
}

std::size_t FilePages::absent_run(std::uint64_t first, std::size_t max) noexcept {
  const Walker walker(*this);
  std::size_t n = 0;
  while (n < max) {
    const PageWord* word = find(first + n);
    const std::uint64_t leaf_left = PageTree::leaf_last(first + n) - (first + n) + 1;
    const std::size_t here = static_cast<std::size_t>(std::min<std::uint64_t>(leaf_left, max - n));
    if (word == nullptr) {
      n += here;
      continue;
    }
    for (std::size_t i = 0; i < here; ++i, ++n, ++word) {
      if (!word->load().absent()) return n;
    }
  }
  return n;
}

std::size_t FilePages::add_run(std::uint64_t first, std::size_t count, FrameSet& frames,
                               FrameNumber* added) {
  FramePool& pool = cache_.memory().pool();
  PageWord* const word = tree_.find_or_add(first, frames);
  if (word == nullptr) return 0;
  FrameDescriptor& leaf = pool.descriptor(leaf_frame(*word));
  leaf.index.store(PageTree::leaf_first(first));
  leaf.owner.store(this);
  leaf.is_leaf.store(1);

  const MappedMode::Use memory = maps() ? use_memory() : MappedMode::Use();
  std::size_t n = 0;
  for (; n < count && frames.size() > 0 && first + n <= PageTree::leaf_last(first); ++n) {
    const FrameNumber frame = frames.take();
    FrameDescriptor& d = pool.descriptor(frame);
    d.index.store(first + n);
    d.owner.store(this);
    const bool in_file =
        memory && first + n < memory->size_pages() && memory->has_window(first + n);
    if (in_file) mapped_.enter_page();
    if (!word[n].begin_fill(frame, in_file ? PageValue::kInFile : 0)) {
      if (in_file) mapped_.leave();
      d.owner.store(nullptr);
      frames.put(frame);
      break;
    }
    added[n] = frame;
  }
  leaf.leaf_pages.fetch_add(static_cast<std::uint32_t>(n));
  resident_.fetch_add(n);
  cache_.counters().cached_pages.fetch_add(n);
  return n;
}

bool FilePages::leave_leaf(const PageWord& word) noexcept {
  resident_.fetch_sub(1);
  cache_.counters().cached_pages.fetch_sub(1);
  return cache_.memory().pool().descriptor(leaf_frame(word)).leaf_pages.fetch_sub(1) == 1;
}

void FilePages::forget_page(std::uint64_t index, PageWord& word, FrameNumber frame) noexcept {
  Memory& memory = cache_.memory();
  memory.exclude_eviction([&] {
    if (leave_leaf(word)) memory.unused_leaves_.fetch_add(1);
  });
  if (fault::planted(fault::Planted::kLoseAFrame) && index % 16 == 0) return;
  memory.release(frame);
}

std::size_t FilePages::prune(std::uint64_t index) noexcept {
  const CacheLock::TreeBlock block(lock_);
  if (!block) return 0;
  PoolNodes nodes(cache_.memory().pool());
  return tree_.prune(
      index, nodes, [](PageWord& word) { return word.load().absent(); },
      [&](std::uint64_t first, std::uint64_t last) {
        return walkers_.load() == 0 && !Hazards::named_in(serial_, first, last);
      });
}

std::size_t FilePages::forget_one(std::uint64_t index, PageWord& word) noexcept {
  // Nothing is under way here, but eviction may be at any page for a moment.
  PageValue value = word.load();
  while (!value.absent() && !word.begin_seal(value)) {
    sync::spin_pause();
    value = word.load();
  }
  if (value.absent()) return 0;
  const bool dirty = value.state() == PageState::kDirty;
  if (dirty) dirty_.remove(value.frame());
  cache_.memory().remove(value.frame());
  release_bytes(index, value);
  (void)word.drop();
  forget_page(index, word, value.frame());
  return dirty ? 1 : 0;
}

void FilePages::forget_all() noexcept {
  Memory& memory = cache_.memory();
  std::uint64_t dirty_pages = 0;
  {
    // Eviction frees leaves that have become empty, among them the one we are in.
    const Walker walker(*this);
    tree_.for_each(0, ~std::uint64_t{0}, [&](std::uint64_t index, PageWord& word) {
      dirty_pages += forget_one(index, word);
      return true;
    });
  }
  cache_.dirty().give(dirty_pages);
  memory.exclude_eviction([&] {
    PoolNodes nodes(memory.pool());
    tree_.clear(nodes);
  });
  memory.note_evictable();
}

}  // namespace quire::cache
