// FilePages: the cached pages of one file: its page tree, its lock, its dirty list, its size. The unit
// that the kernel calls an address space. What is done with the pages stands in files of its own:
// page_read (hits), fill (misses, readahead), page_write, writeback, seal (cuts). The file floor derives
// its Inode from it.
//
// Who calls: the file floor, with a shared_ptr held for as long as anything is under way; eviction,
// through the descriptors of frames; the store, through the requests that fill and writeback started.
//
// Invariants:
//  1. Pages are added under a CacheLock::Add only, and never in a range that is blocked.
//  2. size_bytes: bytes of a page beyond it are zero. It grows after the bytes it uncovers are in place,
//     while their page is still `writing` or `filling`; it shrinks after the store has.
//  3. A tree node with a non-zero word is never freed. A look-up of a page that may be absent needs a
//     hazard guard on it or a Walker.
//  4. Destroyed empty: forget_all() first.
#ifndef QUIRE_CACHE_FILE_PAGES_H_
#define QUIRE_CACHE_FILE_PAGES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <system_error>
#include <utility>

#include "cache/cache_lock.h"
#include "cache/dirty_list.h"
#include "cache/file_memory.h"
#include "cache/hazard.h"
#include "cache/mapped_mode.h"
#include "cache/page_cache.h"
#include "cache/page_key.h"
#include "cache/page_tree.h"
#include "cache/page_word.h"
#include "cache/views.h"
#include "fault/planted.h"
#include "quire/limits.h"
#include "quire/result.h"
#include "quire/store.h"
#include "sync/atomic.h"
#include "sync/wait.h"

namespace quire::cache {

// Of an offset: the bits that lie in its page.
inline constexpr std::uint64_t kInPage = limits::kPageBytes - 1;
inline constexpr std::uint64_t page_index(std::uint64_t offset) {
  return offset >> limits::kPageShift;
}
inline constexpr std::uint64_t page_offset(std::uint64_t index) {
  return index << limits::kPageShift;
}
// Pages that `size_bytes` bytes touch.
inline constexpr std::uint64_t pages_of(std::uint64_t size_bytes) {
  return (size_bytes >> limits::kPageShift) + ((size_bytes & (limits::kPageBytes - 1)) != 0);
}

class FilePages : public std::enable_shared_from_this<FilePages> {
 public:
  FilePages(PageCache& cache, std::uint64_t size_bytes);
  virtual ~FilePages();
  FilePages(const FilePages&) = delete;
  FilePages& operator=(const FilePages&) = delete;

  PageCache& cache() noexcept { return cache_; }
  CacheLock& lock() noexcept { return lock_; }
  DirtyList& dirty() noexcept { return dirty_; }
  const DirtyList& dirty() const noexcept { return dirty_; }
  std::uint64_t serial() const noexcept { return serial_; }
  PageKey key(std::uint64_t index) const noexcept { return PageKey::of(serial_, index); }

  std::uint64_t size_bytes() const noexcept { return size_bytes_.load(); }
  void set_size_bytes(std::uint64_t size) noexcept {
    // The memory is no shorter than the file meanwhile: a page that the file has can be moved there.
    const bool grows = size > size_bytes_.load();
    if (has_memory() && grows) [[unlikely]]
      resize_memory(pages_of(size));
    size_bytes_.store(size);
    if (has_memory() && !grows) [[unlikely]]
      resize_memory(pages_of(size));
  }

  // The store's handles: for reading, and for writing once the file was opened so. Set by the file
  // floor before the first request and kept until the last has ended.
  ObjectHandle read_handle() const noexcept { return {read_handle_.load()}; }
  ObjectHandle write_handle() const noexcept { return {write_handle_.load()}; }
  void set_handles(ObjectHandle read, ObjectHandle write) noexcept {
    read_handle_.store(read.value);
    write_handle_.store(write.value);
  }

  // ---- Where the bytes are: in frames, or, where the file is mapped, in its memory (mapped_mode.h) ----

  // A mapping of the file, or the wish for one: as long as one exists the file is mapped.
  class Mapped {
   public:
    Mapped() = default;
    Mapped(Mapped&& other) noexcept : pages_(std::exchange(other.pages_, nullptr)) {}
    Mapped& operator=(Mapped&& other) noexcept {
      std::swap(pages_, other.pages_);
      return *this;
    }
    ~Mapped() {
      if (pages_ != nullptr) pages_->mapped_.end();
    }
    explicit operator bool() const noexcept { return pages_ != nullptr; }

   private:
    friend class FilePages;
    explicit Mapped(FilePages& pages) noexcept : pages_(&pages) {}

    FilePages* pages_ = nullptr;
  };
  // One more, where there is memory already; else none.
  Mapped join_mapped() noexcept { return mapped_.join() ? Mapped(*this) : Mapped(); }
  // The same, and makes the memory where there is none, for `views` to show; those of the first time are kept. Errors:
  // those of FileMemory::create(). REQUIRES: the write range of the whole file.
  Result<Mapped> begin_mapped(std::shared_ptr<Views> views);
  // Somebody maps the file; and: there may be pages in its memory, or in sight. What is false here remains so for as
  // long as the caller has the write range of the whole file.
  bool maps() const noexcept { return mapped_.maps(); }
  bool has_memory() const noexcept { return mapped_.has_memory(); }
  MappedMode::Use use_memory() noexcept { return mapped_.use(); }
  // REQUIRES: a Mapped or a Use, or a page that is in it and stays so; for views(), that there was one.
  FileMemory* memory() const noexcept { return mapped_.memory(); }
  Views& views() const noexcept { return mapped_.views(); }
  // The bytes of a page that has this value. REQUIRES: it is not absent.
  std::byte* bytes(std::uint64_t index, PageValue value) const noexcept {
    if (value.in_file()) [[unlikely]]
      return memory()->at(index);
    return cache_.memory().bytes(value.frame());
  }
  // Before pages are added, so that they can come into the file's memory; those for which this fails come into
  // frames.
  void open_memory(std::uint64_t first, std::size_t count) noexcept {
    if (maps()) [[unlikely]]
      open_windows(first, count);
  }
  // Moves the page into the file's memory, if it is not there. False: the memory does not reach so far, or cannot be
  // had. REQUIRES: a Mapped; the page is sealed or `writing`, and nobody uses it.
  bool move_to_memory(std::uint64_t index, PageWord& word) noexcept;
  // The step of it that counts: the page's bytes have been copied, and its word says so. REQUIRES: the same, and it is
  // not there.
  void enter_memory(PageWord& word) noexcept {
    mapped_.enter_page();
    word.move_to_file();
  }
  // Moves the page into its frame, if it is not there, and out of sight. What lies behind the end of the file is zeros
  // then. REQUIRES: the page is sealed or `writing`, and nobody uses it.
  void move_to_frame(std::uint64_t index, PageWord& word) noexcept;
  // The same of a page that was read, if nobody maps the file and nobody uses the page just now.
  void come_back(std::uint64_t index) noexcept;
  // The bytes of a page that is about to become absent go, if they are `there` still. REQUIRES: it is sealed or
  // filling, and unused; nobody looks at them again.
  enum class Bytes : std::uint8_t { kThere, kGone };
  void release_bytes(std::uint64_t index, PageValue value, Bytes bytes = Bytes::kThere) noexcept {
    if (!value.in_file()) [[likely]]
      return;
    if (bytes == Bytes::kThere) punch(index, 1);
    leave_memory(value.frame());
  }
  // The two steps of it, for pages side by side that are all in the file's memory: first of all of them, then of each.
  void punch(std::uint64_t first, std::uint64_t count) noexcept {
    if (!fault::planted(fault::Planted::kSkipPunch)) memory()->punch(first, count);
  }
  void leave_memory(FrameNumber frame) noexcept;

  // Takes the pages out of sight of all views. What was dirty for being watched alone, and was not stored into, is
  // clean afterwards, if it is sealed. REQUIRES: each page of them that is not absent is sealed or `writing`, and
  // nobody uses it; begin_mapped() has succeeded.
  void hide(std::uint64_t first, std::uint64_t count) noexcept;
  // Calls act(first, count) for runs of neighbours in [first, last] that are watched.
  template <class Act>
  void for_each_watched(std::uint64_t first, std::uint64_t last, const Act& act) noexcept;
  // A page of the file is watched from now on; see ParkedWrite.
  void begin_watching() noexcept { watching_.store(true); }
  // For the file floor. Views told that pages were stored into, some time since they were last asked.
  virtual void note_heard() noexcept {}

  // A page that is held for a store, `writing` or filling, has been stored into, or may be from here on: it is on the
  // dirty list. Whoever flushes from now on waits for it.
  void list_store(PageWord& word) noexcept;
  // It is dirty, and let go. True: it was dirty before, and carries a credit already. `flags` as of
  // PageWord::end_write().
  bool end_store(std::uint64_t index, PageWord& word, std::uint64_t flags = 0) noexcept;
  // The dirty list is no longer empty: the flusher shall know the file.
  void became_dirty() noexcept;
  // For the file floor. A request wrote these pages; called by the store's thread, before they are
  // clean, under no lock. Must not block.
  virtual void note_written(std::uint64_t /*first*/, std::size_t /*count*/) noexcept {}
  // A flush wrote pages of this file; called in the flushing thread, under no lock.
  virtual void after_flush() noexcept {}

  // Requests to the store under way on the file's handles. `kind`: whether it may change the object.
  enum class Request : std::uint8_t { kChanges, kLooks };
  void begin_request(Request kind = Request::kChanges) noexcept {
    if (kind == Request::kChanges) {
      changing_.fetch_add(1);
      changes_begun_.fetch_add(1);
    }
    requests_.fetch_add(1);
    begun_.fetch_add(1);
  }
  // The caller holds a reference to the file that outlives the call.
  void end_request(Request kind = Request::kChanges) noexcept;
  // Waits until no request is under way.
  sync::WaitStatus wait_idle(const sync::WaitLimit& limit);
  std::uint32_t requests() const noexcept { return requests_.load(); }
  // Requests ever begun. If this was read, then requests() was 0, and later both are as they were,
  // no request was under way from the one moment to the other.
  std::uint64_t requests_begun() const noexcept { return begun_.load(); }
  // The same of those that may change the object.
  std::uint32_t changing() const noexcept { return changing_.load(); }
  std::uint64_t changes_begun() const noexcept { return changes_begun_.load(); }
  // The object is changed by us in another way than through its handles. Counts as a request that may
  // change it, but keeps no handle.
  void begin_change_elsewhere() noexcept {
    changing_.fetch_add(1);
    changes_begun_.fetch_add(1);
  }
  void end_change_elsewhere() noexcept { changing_.fetch_sub(1); }
  // Holds the file's handles as a request does, for a scope.
  class InUse {
   public:
    explicit InUse(FilePages& pages, Request kind = Request::kLooks) noexcept
        : pages_(pages), kind_(kind) {
      pages_.begin_request(kind);
    }
    ~InUse() { pages_.end_request(kind_); }
    InUse(const InUse&) = delete;
    InUse& operator=(const InUse&) = delete;

   private:
    FilePages& pages_;
    const Request kind_;
  };

  // The word of a page, or null where the tree has no leaf. See invariant 3.
  PageWord* find(std::uint64_t index) const noexcept { return tree_.find(index); }
  PageTree& tree() noexcept { return tree_; }

  // While one exists no tree node is freed, so that a range can be walked.
  class Walker {
   public:
    explicit Walker(FilePages& pages) noexcept : pages_(&pages) { pages.walkers_.fetch_add(1); }
    ~Walker() {
      if (pages_ != nullptr) pages_->walkers_.fetch_sub(1);
    }
    Walker(Walker&& other) noexcept : pages_(std::exchange(other.pages_, nullptr)) {}
    Walker& operator=(Walker&&) = delete;

   private:
    FilePages* pages_;
  };

  // Waits until the page that was seen unreadable changes. Returns at once if it has.
  sync::WaitStatus wait_unreadable(std::uint64_t index, const sync::WaitLimit& limit);
  // Waits until the page no longer has the value `seen`. REQUIRES: `word` cannot go away (invariant 3).
  sync::WaitStatus wait_changed(std::uint64_t index, PageWord& word, PageValue seen,
                                const sync::WaitLimit& limit);
  // The same for what is no thread. True: `waiter` is queued, and will be woken to look again. False: there
  // is nothing to wait for. PageWaitLot::cancel() takes it back.
  bool enqueue_unreadable(std::uint64_t index, PageWaitLot::Waiter& waiter);
  bool enqueue_changed(std::uint64_t index, PageWord& word, PageValue seen,
                       PageWaitLot::Waiter& waiter);
  // After a transition of the page: wakes whoever waited for it.
  void wake(std::uint64_t index, PageValue before) noexcept {
    if (before.waiters() && !fault::planted(fault::Planted::kLoseAPagesWake)) [[unlikely]]
      cache_.lot().wake(key(index));
  }

  // Pages from `first` on that are absent at this moment, without a gap, at most `max`.
  std::size_t absent_run(std::uint64_t first, std::size_t max) noexcept;

  // Adds pages from `first` on, as many as follow in the same leaf, are absent and have a frame in
  // `frames`, at most `count`; all become filling. The caller is in a CacheLock::Add of them. 0 where the
  // first is not absent or `frames` has no node for it. Appends the frames used to `added`.
  std::size_t add_run(std::uint64_t first, std::size_t count, FrameSet& frames, FrameNumber* added);
  // The most frames that adding one page at `index` can take, tree nodes included.
  std::size_t frames_for(std::uint64_t index) const noexcept {
    return 1 + tree_.nodes_missing(index);
  }

  // A page became absent: its leaf has one page less, its frame is free. Not for eviction.
  void forget_page(std::uint64_t index, PageWord& word, FrameNumber frame) noexcept;
  // For eviction, under the policy's lock: frees the leaf of `index` if no page is in it and nobody
  // looks. Returns frames freed into the pool.
  std::size_t prune(std::uint64_t index) noexcept;
  // Drops every page, clean and dirty. REQUIRES: nothing is under way on this file.
  void forget_all() noexcept;
  bool empty() const noexcept { return tree_.empty(); }
  // Pages that are not absent.
  std::uint64_t resident_pages() const noexcept { return resident_.load(); }

 private:
  friend class Memory;
  friend class DirtyFiles;
  FrameNumber leaf_frame(const PageWord& word) const noexcept;
  void resize_memory(std::uint64_t size_pages) noexcept;
  void open_windows(std::uint64_t first, std::size_t count) noexcept;
  // Drops one page, whatever its state. Returns the dirty credits it had.
  std::size_t forget_one(std::uint64_t index, PageWord& word) noexcept;
  // Counts a page out of its leaf. REQUIRES: policy lock, or something that bars prune.
  bool leave_leaf(const PageWord& word) noexcept;

  PageCache& cache_;
#ifdef QUIRE_SIM
  sync::sim::ObjectTag tag_;  // serials are numbered by run, so that a run can be replayed
#endif
  const std::uint64_t serial_;
  const std::shared_ptr<PageWaitLot> lot_;
  sync::Atomic<std::uint64_t> size_bytes_;
  MappedMode mapped_;
  sync::Atomic<bool> watching_{false};  // some page is or was watched
  sync::Atomic<std::uint64_t> read_handle_{0};
  sync::Atomic<std::uint64_t> write_handle_{0};
  sync::Atomic<std::uint32_t> walkers_{0};
  sync::Atomic<std::uint32_t> requests_{0};
  sync::Atomic<std::uint64_t> begun_{0};
  sync::Atomic<std::uint32_t> changing_{0};
  sync::Atomic<std::uint64_t> changes_begun_{0};
  sync::Atomic<bool> idle_wanted_{false};
  sync::Atomic<std::uint64_t> resident_{0};
  PageTree tree_;
  CacheLock lock_;
  DirtyList dirty_;

  // For DirtyFiles, guarded by its mutex: the file itself while it is there, and the next.
  std::shared_ptr<FilePages> known_dirty_;
  FilePages* next_dirty_ = nullptr;
  // For the flusher's thread: its pass over the dirty list, by the list's numbers (0: none begun), and
  // the first error in it; when to try again after an error, and how long to wait after the next.
  friend class Flusher;
  std::uint64_t pass_tried_ = 0;
  std::uint64_t pass_newest_ = 0;
  std::error_code pass_error_;
  sync::Clock::time_point retry_at_{};
  sync::Clock::duration retry_after_{};
};

template <class Act>
void FilePages::for_each_watched(std::uint64_t first, std::uint64_t last, const Act& act) noexcept {
  if (!watching_.load()) return;
  const Walker walker(*this);
  std::uint64_t begin = first;
  std::uint64_t end = first;
  tree_.for_each(first, last, [&](std::uint64_t index, PageWord& word) {
    if (!word.load().watched()) return true;
    if (index != end) {
      if (begin < end) act(begin, end - begin);
      begin = index;
    }
    end = index + 1;
    return true;
  });
  if (begin < end) act(begin, end - begin);
}

}  // namespace quire::cache

#endif  // QUIRE_CACHE_FILE_PAGES_H_
