#include "file/inode.h"

#include <fmt/format.h>

#include "file/sync_file.h"
#include "sync/clock.h"

namespace quire::file {
namespace {

std::int64_t tick_of(const TimeSpec& time) {
  return time.seconds * 1'000'000'000 + time.nanoseconds;
}

}  // namespace

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
  if (auto now = cache().store().stat(read_handle()); now.ok()) {
    sync::MutexLock lock(mutex_);
    seen_ = *now;
  }
  return result;
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
  sync::MutexLock lock(mutex_);
  return changing() == 0 && !store_changed_.load() &&
         (stat.size_bytes != seen_.size_bytes || stat.mtime != seen_.mtime ||
          stat.ctime != seen_.ctime);
}

std::optional<ObjectStat> Inode::look_behind() {
  const std::uint64_t begun = changes_begun();
  if (changing() != 0 || store_changed_.load()) return std::nullopt;
  const auto now = cache().store().stat(read_handle());
  if (!now.ok() || !changed_behind(*now) || changes_begun() != begun) return std::nullopt;
  return *now;
}

void Inode::adopt(const ObjectStat& stat) {
  sync::MutexLock lock(mutex_);
  stamps_ = {stat.atime, stat.mtime, stat.ctime};
  changed_at_.store(kNoTick);
  seen_ = stat;
  set_size_bytes(stat.size_bytes);
}

void Inode::set_stale(const ObjectStat& stat) {
  sync::MutexLock lock(mutex_);
  seen_ = stat;
  stale_ = true;
}

bool Inode::take_stale() {
  sync::MutexLock lock(mutex_);
  return std::exchange(stale_, false);
}

}  // namespace quire::file
