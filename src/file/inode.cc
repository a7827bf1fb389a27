#include "file/inode.h"

#include <fmt/format.h>

#include <algorithm>

#include "file/sync_file.h"
#include "sync/clock.h"

namespace quire::file {
namespace {

std::int64_t tick_of(const TimeSpec& time) {
  return time.seconds * 1'000'000'000 + time.nanoseconds;
}

}  // namespace

sync::WaitStatus Inode::lock_range(sync::RangeLock::Hold& hold, std::uint64_t first,
                                   std::uint64_t last, const sync::WaitLimit& limit,
                                   sync::RangeMode mode) {
  if (ranges_.try_lock(hold, first, last, mode)) return sync::WaitStatus::kReady;
  const cache::WaitCount::Timer timer(cache().counters().range_waits);
  return ranges_.lock(hold, first, last, mode, limit);
}

Stamps Inode::stamps() const {
  sync::MutexLock lock(mutex_);
  return stamps_;
}

void Inode::stamp_change() {
  if (!stamps_changed_.load()) stamps_changed_.store(true);
  if (changed_at_.load() == tick_of(sync::Clock::wall())) return;
  sync::MutexLock lock(mutex_);
  const TimeSpec now = sync::Clock::wall();
  stamps_.mtime = stamps_.ctime = now;
  changed_at_.store(tick_of(now));
  stamps_changed_.store(true);  // again: a push may have looked between
}

void Inode::note_reserved() noexcept {
  unsynced_.note_change();
  stamps_changed_.store(true);
  std::uint64_t looks_before = 0;
  {
    sync::MutexLock lock(mutex_);
    looks_before = looks_;
  }
  const auto now = cache().store().stat(write_handle());
  if (!now.ok()) {
    store_changed_.store(true);
    return;
  }
  sync::MutexLock lock(mutex_);
  // To reserve makes nothing longer or shorter: that is somebody else's doing, and is to be noticed.
  if (now->size_bytes == seen_.size_bytes) see(*now, looks_before);
}

Status Inode::set_times(const TimeSpec* atime, const TimeSpec* mtime) {
  const TimeSpec now = sync::Clock::wall();
  {
    sync::MutexLock lock(mutex_);
    if (atime != nullptr) {
      stamps_.atime = *atime;
      atime_set_ = true;
    }
    if (mtime != nullptr) stamps_.mtime = *mtime;
    stamps_.ctime = now;
    changed_at_.store(kNoTick);
  }
  Status pushed = push_times();
  unsynced_.note_change();
  return pushed;
}

Status Inode::push_times() {
  const InUse in_use(*this, Request::kChanges);
  // One at a time, so that an older stamp never overtakes a newer one on its way.
  sync::MutexLock pushing(push_mutex_);
  // Before we look: what is changed from here on is for the next push.
  stamps_changed_.store(false);
  store_changed_.store(false);
  Stamps stamps;
  bool with_atime = false;
  {
    sync::MutexLock lock(mutex_);
    stamps = stamps_;
    with_atime = atime_set_;
  }
  Status result;
  if (cache().traits().sets_times) {
    const ObjectHandle handle = write_handle().value != 0 ? write_handle() : read_handle();
    result = cache().store().set_times(handle, with_atime ? &stamps.atime : nullptr, stamps.mtime);
  }
  std::uint64_t looks_before = 0;
  {
    sync::MutexLock lock(mutex_);
    looks_before = looks_;
  }
  if (auto now = cache().store().stat(read_handle()); now.ok()) {
    sync::MutexLock lock(mutex_);
    see(*now, looks_before);
  }
  return result;
}

void Inode::see(const ObjectStat& now, std::uint64_t looks_before) {
  // Two who looked at the same time may come here in either order. A host's ctime only grows, unless
  // its clock is set back.
  const TimeSpec ctime = looks_ == looks_before ? now.ctime : std::max(now.ctime, seen_.ctime);
  seen_ = now;
  seen_.ctime = ctime;
  ++looks_;
}

std::uint64_t Inode::begin_attribute_change() {
  begin_change_elsewhere();
  sync::MutexLock lock(mutex_);
  return looks_;
}

void Inode::end_attribute_change(std::uint64_t looks_before, const ObjectStat* now,
                                 Attribute what) {
  if (now != nullptr) {
    sync::MutexLock lock(mutex_);
    ObjectStat seen = seen_;
    seen.ctime = now->ctime;
    // What is shown never goes back: a write may have been stamped since `now` was taken.
    stamps_.ctime = std::max(stamps_.ctime, now->ctime);
    changed_at_.store(kNoTick);
    if (what == Attribute::kTimes) {
      seen.mtime = stamps_.mtime = now->mtime;
      seen.atime = stamps_.atime = now->atime;
    }
    see(seen, looks_before);
    nameless_.store(now->links == 0);
  }
  end_change_elsewhere();
}

void Inode::forget_changes() {
  unsynced_.forget();
  if (space_) space_->forget();
  sync::MutexLock lock(mutex_);
  stamps_changed_.store(false);
  store_changed_.store(false);
  stale_ = false;
  nameless_.store(true);
}

void Inode::after_flush() noexcept {
  const Status pushed = push_times();
  if (!pushed.ok()) {
    cache().log(LogLevel::kWarning,
                fmt::format("setting the time stamps of {}: {}", path_, pushed.error().message()));
  }
  if (unsynced_.sync_due()) begin_sync(std::static_pointer_cast<Inode>(shared_from_this()));
}

bool Inode::changed_behind(const ObjectStat& stat) const {
  return changing() == 0 && looks_changed(stat);
}

bool Inode::looks_changed(const ObjectStat& stat) const {
  sync::MutexLock lock(mutex_);
  return !store_changed_.load() && (stat.size_bytes != seen_.size_bytes ||
                                    stat.mtime != seen_.mtime || stat.ctime != seen_.ctime);
}

std::optional<ObjectStat> Inode::look_behind() {
  const std::uint64_t begun = changes_begun();
  if (changing() != 0 || store_changed_.load()) return std::nullopt;
  const auto now = cache().store().stat(read_handle());
  if (!now.ok() || !changed_behind(*now) || changes_begun() != begun) return std::nullopt;
  return *now;
}

void Inode::adopt(const ObjectStat& stat) {
  note_cut();
  if (space_) space_->forget();
  {
    sync::MutexLock lock(mutex_);
    stamps_ = {stat.atime, stat.mtime, stat.ctime};
    changed_at_.store(kNoTick);
    seen_ = stat;
    ++looks_;
  }
  set_size_bytes(stat.size_bytes);
}

void Inode::set_stale(const ObjectStat& stat) {
  if (space_) space_->forget();
  sync::MutexLock lock(mutex_);
  seen_ = stat;
  ++looks_;
  stale_ = true;
}

void Inode::mended(const ObjectStat& stat) {
  note_cut();
  if (space_) space_->forget();
  {
    sync::MutexLock lock(mutex_);
    seen_ = stat;
    ++looks_;
  }
  set_size_bytes(stat.size_bytes);
  broken_.store(false);
}

bool Inode::take_stale() {
  sync::MutexLock lock(mutex_);
  return std::exchange(stale_, false);
}

}  // namespace quire::file
