// Inode: one file of the store as the cache knows it, however many paths lead to it and however often it
// is open. Its pages, and what belongs to the file rather than to pages: identity, write range lock, time
// stamps, what the store last said of it.
//
// Time stamps are the cache's: they change when a write changes bytes, not when writeback carries the
// bytes to the store. After each flush the store is told the cache's mtime, so that the host shows what
// stat showed. (A host's ctime cannot be set by anybody; there it is the time of the last change.)
//
// Lock order of what is here: lock() as Operation, write range, lock() as Add or Block, pages (see
// docs/architecture.md); the small mutexes are leaves, held for a few instructions. `push_mutex_` is held over the
// store's set_times and stat.
#ifndef QUIRE_FILE_INODE_H_
#define QUIRE_FILE_INODE_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "cache/file_pages.h"
#include "file/append_place.h"
#include "file/space_book.h"
#include "file/unsynced.h"
#include "quire/result.h"
#include "quire/store.h"
#include "sync/mutex.h"
#include "sync/range_lock.h"

namespace quire::file {

struct Stamps {
  TimeSpec atime, mtime, ctime;
};

class Inode final : public cache::FilePages {
 public:
  Inode(cache::PageCache& cache, const OpenedObject& opened, std::string path)
      : FilePages(cache, opened.stat.size_bytes),
        id_(opened.id),
        path_(std::move(path)),
        stamps_{opened.stat.atime, opened.stat.mtime, opened.stat.ctime},
        seen_(opened.stat) {
    if (cache.reserving()) space_.emplace(cache.counters());
  }

  const ObjectId& id() const noexcept { return id_; }
  // The path that it was first opened by, for messages.
  const std::string& path() const noexcept { return path_; }
  sync::RangeLock& ranges() noexcept { return ranges_; }
  // Locks a write range, and counts it if that takes waiting.
  sync::WaitStatus lock_range(sync::RangeLock::Hold& hold, std::uint64_t first, std::uint64_t last,
                              const sync::WaitLimit& limit,
                              sync::RangeMode mode = sync::RangeMode::kExclusive);
  Unsynced& unsynced() noexcept { return unsynced_; }
  const Unsynced& unsynced() const noexcept { return unsynced_; }
  // Which of its pages have space at the store; null where that is not asked for.
  SpaceBook* space() noexcept { return space_ ? &*space_ : nullptr; }
  const SpaceBook* space() const noexcept { return space_ ? &*space_ : nullptr; }
  // Held, as the whole range, by the one sync of the store's that is under way: a store tells an error
  // to one of the syncs that it happens under, and the next must know of it before it begins.
  sync::RangeLock& sync_turn() noexcept { return sync_turn_; }

  Stamps stamps() const;
  // Bytes or size change now. Called before anybody can see the change, so that whoever writes it back
  // tells the store of it.
  void stamp_change();
  // utimens: the stamps of now, and what the store will be told from now on.
  Status set_times(const TimeSpec* atime, const TimeSpec* mtime);
  // Tells the store the cache's mtime, and looks at what it has then.
  Status push_times();

  void note_written(std::uint64_t first, std::size_t count) noexcept override {
    unsynced_.add(first, count);
    if (space_) space_->written({first, first + count});
    store_changed_.store(true);
  }
  // The same of pages that a direct write stored, as Unsynced::add_and_cure.
  void note_overwritten(std::uint64_t first, std::size_t count, std::uint64_t whole_first,
                        std::uint64_t whole_end) noexcept {
    unsynced_.add_and_cure(first, count, whole_first, whole_end);
    if (space_) space_->written({first, first + count});
    store_changed_.store(true);
  }
  // A request of ours changed something other than bytes of the object.
  void note_changed() noexcept {
    unsynced_.note_change();
    store_changed_.store(true);
  }
  // A request of ours took space for the object, or gave some back, which the store has stamped: something to make
  // durable, and stamps to set again; but a change by another program is noticed as before. Asks the store for the
  // stamps.
  void note_reserved() noexcept;
  // The store has not been told the stamps of now: they changed, or a request of ours left stamps of the
  // store's own making.
  bool unpushed() const noexcept { return stamps_changed_.load() || store_changed_.load(); }
  void after_flush() noexcept override;
  // Nobody knows when it was: it counts as changed now.
  void note_heard() noexcept override { stamp_change(); }

  // Attributes of the object are being changed by us through the host: its mode, owner, links, stamps.
  // Until the last such change has ended, nothing counts as a change behind our back. `begin` returns
  // what `end` is given: how often we had looked at the object. `now`: what the store has after the
  // change; null if nobody knows. Only the ctime of it is taken, unless the change was of the stamps: a
  // change of bytes by another program is noticed later on. REQUIRES: the table's mutex, or as good.
  enum class Attribute : std::uint8_t { kOther, kTimes };
  static constexpr std::uint64_t kUnknownLook = ~std::uint64_t{0};
  std::uint64_t begin_attribute_change();
  void end_attribute_change(std::uint64_t looks_before, const ObjectStat* now, Attribute what);
  // The last name of the object is gone: its pages are of no use once it is closed.
  bool nameless() const noexcept { return nameless_.load(); }
  // How often what lies up to the end of the file was moved or taken away: by truncates to less, shifts, and changes
  // behind our back. Changes under the write range of those bytes: so whoever holds some, and finds it as it was, knows
  // that they have been in their place.
  std::uint64_t cuts() const noexcept { return cuts_.load(); }
  void note_cut() noexcept { cuts_.fetch_add(1); }
  AppendPlaces& append_places() noexcept { return append_places_; }
  // Everything that the store has not been told is of no interest any more. REQUIRES: no page is dirty.
  void forget_changes();

  // `stat` as an open found it: true if the object was changed by somebody else since Quire last looked.
  // Best effort: false while requests of ours are under way, or when the store's stamps are our doing.
  bool changed_behind(const ObjectStat& stat) const;
  // The same while requests of ours may be under way, which may be the reason then.
  bool looks_changed(const ObjectStat& stat) const;
  // Asks the store now; what it says, if that differs and nothing of ours can be the reason.
  std::optional<ObjectStat> look_behind();
  // Takes what the store says as ours: size and stamps. REQUIRES: no page is dirty.
  void adopt(const ObjectStat& stat);
  // The change was noticed while pages were dirty: the next sync says so, once; `stat` is known now.
  void set_stale(const ObjectStat& stat);
  bool take_stale();

  // The error state. A shift (insert, collapse) failed after the store may have moved some of the bytes:
  // nobody knows what is where. Every read, write, cut and sync fails with EIO, until all opens of the
  // file are closed and it is opened again (reshape.h, mend). What was dirty in front of the shift is
  // written back meanwhile.
  //
  //   sound -- set_broken(), by the shift, under its locks --> broken -- mended(), by an open --> sound
  bool broken() const noexcept { return broken_.load(); }
  void set_broken() noexcept { broken_.store(true); }
  // Takes what the store has now. REQUIRES: all pages are sealed, and only dirty ones in the file are left.
  void mended(const ObjectStat& stat);

 private:
  const ObjectId id_;
  const std::string path_;
  sync::RangeLock ranges_;
  sync::RangeLock sync_turn_;
  Unsynced unsynced_;
  std::optional<SpaceBook> space_;

  // Takes what the store had at some moment since looks_ was `looks_before` as seen.
  void see(const ObjectStat& now, std::uint64_t looks_before) REQUIRES(mutex_);

  sync::Atomic<bool> broken_{false};
  sync::Atomic<bool> nameless_{false};
  sync::Atomic<std::uint64_t> cuts_{0};
  AppendPlaces append_places_;
  sync::Atomic<bool> stamps_changed_{false};  // since push_times() looked at them
  sync::Atomic<bool> store_changed_{false};   // by requests of ours, since push_times() began
  sync::Mutex push_mutex_;
  mutable sync::Mutex mutex_;
  Stamps stamps_ GUARDED_BY(mutex_);
  // The tick of wall time that mtime and ctime show, so that the writes of one tick stamp once; kNoTick
  // if they show anything else. Set under mutex_.
  static constexpr std::int64_t kNoTick = std::numeric_limits<std::int64_t>::min();
  sync::Atomic<std::int64_t> changed_at_{kNoTick};
  bool atime_set_ GUARDED_BY(mutex_) = false;   // by set_times, so that the store shall have it
  ObjectStat seen_ GUARDED_BY(mutex_);          // what the store had when last looked at
  std::uint64_t looks_ GUARDED_BY(mutex_) = 0;  // times that seen_ was set
  bool stale_ GUARDED_BY(mutex_) = false;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_INODE_H_
