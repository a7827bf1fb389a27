#include "file/inode_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "fault/planted.h"
#include "file/reserve.h"
#include "file/resize.h"
#include "file/sync_file.h"
#include "quire/limits.h"
#include "sync/check.h"

namespace quire::file {
namespace {

// Files looked at by one open, in turn, so that it takes no longer for them.
constexpr std::size_t kSettleMax = 4;

}  // namespace

InodeTable::InodeTable(cache::PageCache& cache)
    : cache_(cache),
      idle_max_(std::min<std::size_t>(cache.budget().frames / limits::kFramesPerIdleFile,
                                      limits::kIdleFilesMax)) {}

InodeTable::~InodeTable() {
  QUIRE_CHECK(entries_.empty());
}

Result<std::shared_ptr<Inode>> InodeTable::open(const std::string& path, OpenFlags flags,
                                                std::uint32_t mode) {
  const bool writable = has(flags, OpenFlags::kWrite);
  settle_some();
  std::uint64_t settled = 0;
  {
    sync::MutexLock lock(mutex_);
    settled = settled_;
    if (Status room = check_room(path); !room.ok()) return std::move(room).error();
  }
  // Partial pages are read before they are written; and truncation is the cache's to do.
  OpenFlags store_flags = OpenFlags::kRead;
  for (const OpenFlags flag : {OpenFlags::kWrite, OpenFlags::kCreate, OpenFlags::kExclusive}) {
    if (has(flags, flag)) store_flags = store_flags | flag;
  }
  auto opened = cache_.store().open(path, store_flags, mode);
  if (!opened.ok()) return std::move(opened).error();
  return enter(*opened, path, writable, settled);
}

Result<std::shared_ptr<Inode>> InodeTable::adopt(const OpenedObject& opened,
                                                 const std::string& path, bool writable) {
  settle_some();
  return enter(opened, path, writable, kUnknown);
}

Status InodeTable::check_room(const std::string& path) const {
  if (open_files_ < limits::kOpenFilesMax) return {};
  return Error(
      std::errc::too_many_files_open_in_system,
      fmt::format("opening {}: {} files are open, the most a cache allows", path, open_files_));
}

Result<std::shared_ptr<Inode>> InodeTable::enter(OpenedObject opened, const std::string& path,
                                                 bool writable, std::uint64_t settled) {
  std::vector<ObjectHandle> surplus;
  std::shared_ptr<Inode> inode;
  std::shared_ptr<Inode> replaced;
  bool was_in_use = false;
  bool mends = false;
  for (;;) {
    sync::MutexLock lock(mutex_);
    if (Status room = check_room(path); !room.ok()) {
      lock.unlock();
      (void)close_handles({opened.handle});
      return std::move(room).error();
    }
    const auto known = entries_.find(opened.id);
    was_in_use = known != entries_.end() && !known->second.idle;
    if (!was_in_use && settled != settled_) {
      // A file, perhaps this one, was written and closed since the store told us what it has.
      settled = settled_;
      lock.unlock();
      auto now = cache_.store().stat(opened.handle);
      if (!now.ok()) {
        (void)close_handles({opened.handle});
        return std::move(now).error();
      }
      opened.stat = *now;
      continue;
    }
    Entry& entry = entries_[opened.id];
    if (entry.idle) {
      leave_idle(entry);
      // One that was made just now has the number of one that is gone.
      if (opened.created || entry.inode->changed_behind(opened.stat)) {
        note_forgotten(*entry.inode);
        replaced = std::move(entry.inode);
      }
    }
    if (entry.inode == nullptr) {
      entry.inode = std::make_shared<Inode>(cache_, opened, path);
      const auto changes = attribute_changes_.find(opened.id);
      for (std::uint32_t n = changes == attribute_changes_.end() ? 0 : changes->second; n > 0;
           --n) {
        (void)entry.inode->begin_attribute_change();
      }
    }
    attach(entry, opened, writable, surplus);
    mends = entry.openers == 0 && entry.inode->broken();
    ++entry.openers;
    ++open_files_;
    inode = entry.inode;
    break;
  }
  if (replaced != nullptr) replaced->forget_all();
  (void)close_handles(surplus);
  // If this fails, so does every sync until the file can be opened for writing.
  if (!writable && inode->unsynced().rewrite_needed()) (void)open_again(inode);
  // Of no use until that succeeds, but for an open that comes when this one is closed.
  if (mends) (void)mend(*inode, {sync::deadline_after(limits::kCloseWaitMax), {}});
  if (was_in_use) look_behind(*inode, opened.stat);
  return inode;
}

Status InodeTable::reopen(const std::shared_ptr<Inode>& inode, bool writable) {
  sync::MutexLock lock(mutex_);
  if (Status room = check_room(inode->path()); !room.ok()) return room;
  Entry& entry = entries_.at(inode->id());
  QUIRE_CHECK(entry.inode == inode && entry.openers > 0);
  if (writable && !entry.has_write) {
    return Error(std::errc::bad_file_descriptor,
                 fmt::format("opening {} again, for writing", inode->path()));
  }
  ++entry.openers;
  ++open_files_;
  return {};
}

std::uint64_t InodeTable::begin_attribute_change(const ObjectId& id) {
  sync::MutexLock lock(mutex_);
  ++attribute_changes_[id];
  const auto known = entries_.find(id);
  if (known == entries_.end()) return Inode::kUnknownLook;
  return known->second.inode->begin_attribute_change();
}

void InodeTable::end_attribute_change(const ObjectId& id, std::uint64_t looks,
                                      const ObjectStat* now, Inode::Attribute what) {
  std::vector<std::shared_ptr<Inode>> forgotten;
  {
    sync::MutexLock lock(mutex_);
    // With what is seen set before the change ends, and both before anybody can compare with a stat
    // that is older.
    const auto known = entries_.find(id);
    if (known != entries_.end()) {
      known->second.inode->end_attribute_change(looks, now, what);
      if (known->second.idle && known->second.inode->nameless()) forget_idle(known, forgotten);
    }
    const auto changes = attribute_changes_.find(id);
    if (--changes->second == 0) attribute_changes_.erase(changes);
    ++settled_;
  }
  for (const auto& gone : forgotten) gone->forget_all();
}

void InodeTable::end_attribute_change_unseen(const ObjectId& id, std::uint64_t looks) {
  std::shared_ptr<Inode> inode;
  {
    sync::MutexLock lock(mutex_);
    const auto known = entries_.find(id);
    if (known != entries_.end() && known->second.has_read) {
      inode = known->second.inode;
      inode->begin_request(cache::FilePages::Request::kLooks);
    }
  }
  std::optional<ObjectStat> now;
  if (inode != nullptr) {
    if (auto stat = cache_.store().stat(inode->read_handle()); stat.ok()) now = *stat;
    inode->end_request(cache::FilePages::Request::kLooks);
  }
  end_attribute_change(id, looks, now ? &*now : nullptr, Inode::Attribute::kOther);
}

std::shared_ptr<Inode> InodeTable::known(const ObjectId& id, const ObjectStat* host_now) const {
  sync::MutexLock lock(mutex_);
  const auto known = entries_.find(id);
  if (known == entries_.end()) return nullptr;
  const Entry& entry = known->second;
  const bool changed = entry.idle && host_now != nullptr && entry.inode->changed_behind(*host_now);
  return changed ? nullptr : entry.inode;
}

std::error_code InodeTable::open_again(const std::shared_ptr<Inode>& inode) {
  auto opened = cache_.store().open(inode->path(), OpenFlags::kReadWrite, 0);
  if (!opened.ok()) return opened.code();
  if (opened->id != inode->id()) {
    (void)close_handles({opened->handle});
    return std::make_error_code(std::errc::no_such_file_or_directory);
  }
  std::vector<ObjectHandle> surplus;
  {
    sync::MutexLock lock(mutex_);
    attach(entries_.at(inode->id()), *opened, true, surplus);
  }
  (void)close_handles(surplus);
  return {};
}

void InodeTable::attach(Entry& entry, const OpenedObject& opened, bool writable,
                        std::vector<ObjectHandle>& surplus) {
  bool used = false;
  if (!entry.has_read) {
    entry.read = opened.handle;
    entry.has_read = used = true;
  }
  if (writable && !entry.has_write) {
    entry.write = opened.handle;
    entry.has_write = used = true;
  }
  if (!used) surplus.push_back(opened.handle);
  entry.inode->set_handles(entry.read, entry.has_write ? entry.write : ObjectHandle{});
}

void InodeTable::look_behind(Inode& inode, const ObjectStat& stat) {
  // Requests of ours may have changed it since `stat` was taken: look again, and again under locks.
  if (!inode.changed_behind(stat) || !inode.look_behind()) return;
  switch (check_behind(inode, {sync::deadline_after(limits::kCloseWaitMax), {}})) {
    case Behind::kUnchanged:
      return;
    case Behind::kAdopted:
      cache_.log(LogLevel::kInfo,
                 fmt::format("{} was changed by another program; its cached pages were dropped",
                             inode.path()));
      return;
    case Behind::kStale:
      cache_.log(LogLevel::kError,
                 fmt::format("{} was changed by another program while it had unwritten changes "
                             "here; these are kept and will overwrite the others",
                             inode.path()));
      return;
  }
}

std::error_code InodeTable::close(const std::shared_ptr<Inode>& inode,
                                  const sync::WaitLimit& limit) {
  bool last = false;
  {
    sync::MutexLock lock(mutex_);
    Entry& entry = entries_.at(inode->id());
    QUIRE_CHECK(entry.inode == inode && entry.openers > 0);
    last = --entry.openers == 0;
    ++entry.closers;
  }
  std::error_code error = write_back(*inode, limit);
  if (fault::planted(fault::Planted::kCloseHidesError)) error = {};
  if (last) {
    trim_closing(inode, limit);
    // Without a sync of the whole store, what is closed could not be made durable later.
    if (!error && inode->unsynced().sync_needed() && !cache_.traits().syncs_store) {
      error = sync_all(inode, SyncKind::kAll, limit);
    }
    const sync::WaitStatus idle = inode->wait_idle(limit);
    if (!error && idle != sync::WaitStatus::kReady) error = sync::to_error(idle);
  }
  if (inode->unpushed()) inode->after_flush();
  const std::error_code closed = settle(inode, true);
  return error ? error : closed;
}

void InodeTable::trim_closing(const std::shared_ptr<Inode>& inode, const sync::WaitLimit& limit) {
  // Of these nobody knows where it is, or it goes with the object.
  if (inode->broken() || inode->nameless()) return;
  const std::error_code error = trim(inode, limit);
  if (!error) return;
  cache_.log(LogLevel::kWarning,
             fmt::format("up to {} pages of space that {} does not need stay allocated: {}",
                         inode->space()->fresh_pages(), inode->path(), error.message()));
}

void InodeTable::trim_all(const sync::WaitLimit& limit) {
  for (const auto& inode : in_use()) {
    if (inode->space() == nullptr || inode->space()->fresh_pages() == 0) continue;
    const Result<bool> used = begin_use(inode);
    if (!used.ok() || !*used) continue;
    if (inode->write_handle().value != 0) (void)trim(inode, limit);
    inode->end_request();
    (void)settle(inode);
  }
}

void InodeTable::leave(const std::shared_ptr<Inode>& inode) {
  sync::MutexLock lock(mutex_);
  Entry& entry = entries_.at(inode->id());
  QUIRE_CHECK(entry.inode == inode && entry.openers > 1);
  --entry.openers;
  --open_files_;
}

bool InodeTable::all_done(const Entry& entry) const {
  if (entry.openers > 0 || entry.closers > 0 || entry.idle) return false;
  // A page that a request carries is on no list, and back on it if the request fails: so no request may
  // have been under way while we looked.
  const Inode& inode = *entry.inode;
  if (inode.unsynced().sync_needed() && !cache_.traits().syncs_store) return false;
  const std::uint64_t begun = inode.requests_begun();
  return inode.requests() == 0 && inode.dirty().size() == 0 && !inode.unsynced().rewrite_needed() &&
         !inode.unsynced().any_lost() && inode.requests_begun() == begun;
}

std::error_code InodeTable::settle(const std::shared_ptr<Inode>& inode) {
  return settle(inode, false);
}

std::error_code InodeTable::settle(const std::shared_ptr<Inode>& inode, bool closer) {
  std::vector<ObjectHandle> surplus;
  std::vector<std::shared_ptr<Inode>> forgotten;
  {
    sync::MutexLock lock(mutex_);
    const auto it = entries_.find(inode->id());
    if (it == entries_.end() || it->second.inode != inode) return {};
    Entry& entry = it->second;
    if (closer) {
      --entry.closers;
      --open_files_;
    }
    if (all_done(entry)) {
      become_idle(entry, surplus, forgotten);
    } else if (entry.openers == 0 && entry.closers == 0 && !entry.idle) {
      leave_behind(entry);
    }
  }
  const std::error_code error = close_handles(surplus);
  for (const auto& gone : forgotten) gone->forget_all();
  return error;
}

void InodeTable::leave_behind(Entry& entry) {
  if (entry.left_behind) return;
  entry.left_behind = true;
  left_behind_.push_back(entry.inode->id());
}

void InodeTable::settle_some() {
  std::vector<std::shared_ptr<Inode>> some;
  {
    sync::MutexLock lock(mutex_);
    for (std::size_t n = std::min(kSettleMax, left_behind_.size()); n > 0; --n) {
      const auto it = entries_.find(left_behind_.front());
      left_behind_.pop_front();
      if (it == entries_.end()) continue;
      it->second.left_behind = false;
      some.push_back(it->second.inode);
    }
  }
  for (const auto& inode : some) (void)settle(inode);
}

void InodeTable::become_idle(Entry& entry, std::vector<ObjectHandle>& surplus,
                             std::vector<std::shared_ptr<Inode>>& forgotten) {
  if (entry.has_read) surplus.push_back(entry.read);
  if (entry.has_write && !(entry.has_read && entry.write.value == entry.read.value)) {
    surplus.push_back(entry.write);
  }
  entry.has_read = entry.has_write = false;
  entry.read = entry.write = {};
  entry.inode->set_handles({}, {});
  if (SpaceBook* const space = entry.inode->space(); space != nullptr) space->forget();
  entry.idle = true;
  ++settled_;
  const ObjectId id = entry.inode->id();
  entry.idle_place = idle_.insert(idle_.end(), id);
  if (entry.inode->nameless()) forget_idle(entries_.find(id), forgotten);
  while (idle_.size() > idle_max_) forget_idle(entries_.find(idle_.front()), forgotten);
}

void InodeTable::forget_idle(Map::iterator entry, std::vector<std::shared_ptr<Inode>>& forgotten) {
  leave_idle(entry->second);
  note_forgotten(*entry->second.inode);
  forgotten.push_back(std::move(entry->second.inode));
  entries_.erase(entry);
}

void InodeTable::note_forgotten(const Inode& inode) {
  if (inode.unsynced().sync_needed()) ++forgotten_unsynced_;
}

void InodeTable::leave_idle(Entry& entry) {
  idle_.erase(entry.idle_place);
  entry.idle = false;
}

std::error_code InodeTable::close_handles(const std::vector<ObjectHandle>& handles) {
  std::error_code error;
  for (const ObjectHandle handle : handles) {
    const Status closed = cache_.store().close(handle);
    if (closed.ok()) continue;
    cache_.log(LogLevel::kWarning, "closing a store object: " + closed.error().message());
    if (!error) error = closed.code();
  }
  return error;
}

std::vector<std::shared_ptr<Inode>> InodeTable::in_use() const {
  std::vector<std::shared_ptr<Inode>> result;
  sync::MutexLock lock(mutex_);
  for (const auto& [id, entry] : entries_) {
    if (!entry.idle) result.push_back(entry.inode);
  }
  return result;
}

std::vector<std::string> InodeTable::open_paths() const {
  std::vector<std::string> result;
  sync::MutexLock lock(mutex_);
  for (const auto& [id, entry] : entries_) {
    if (entry.openers > 0 || entry.closers > 0) result.push_back(entry.inode->path());
  }
  return result;
}

std::size_t InodeTable::open_count() const {
  sync::MutexLock lock(mutex_);
  return open_files_;
}

Result<bool> InodeTable::begin_use(const std::shared_ptr<Inode>& inode) {
  bool open_first = false;
  {
    sync::MutexLock lock(mutex_);
    const auto it = entries_.find(inode->id());
    if (it == entries_.end() || it->second.inode != inode || it->second.idle) return false;
    inode->begin_request();
    open_first = !it->second.has_write && inode->unsynced().rewrite_needed();
  }
  if (!open_first) return true;
  const std::error_code error = open_again(inode);
  if (!error) return true;
  inode->end_request();
  return Error(error, fmt::format("opening {} again, to write what a failed sync left unknown",
                                  inode->path()));
}

Status InodeTable::sync_store() {
  std::vector<std::pair<std::shared_ptr<Inode>, std::uint64_t>> changed;
  std::uint64_t forgotten = 0;
  {
    sync::MutexLock lock(mutex_);
    for (const auto& [id, entry] : entries_) {
      Unsynced& unsynced = entry.inode->unsynced();
      if (unsynced.sync_needed()) changed.emplace_back(entry.inode, unsynced.changes());
    }
    forgotten = forgotten_unsynced_;
  }
  Status synced = cache_.store().sync_store();
  sync::MutexLock lock(mutex_);
  if (synced.ok()) {
    for (const auto& [inode, changes] : changed) inode->unsynced().store_succeeded(changes);
    forgotten_unsynced_ -= std::min(forgotten, forgotten_unsynced_);
    return synced;
  }
  // The store says it once, to us, and not which file it means.
  for (auto& [id, entry] : entries_) {
    if (SpaceBook* const space = entry.inode->space(); space != nullptr) {
      space->doubt({0, ~std::uint64_t{0}});
    }
    if (!entry.inode->unsynced().store_failed() || !entry.idle) continue;
    leave_idle(entry);
    leave_behind(entry);
  }
  lost_files_ += std::exchange(forgotten_unsynced_, 0);
  return synced;
}

std::uint64_t InodeTable::lost_files() const {
  sync::MutexLock lock(mutex_);
  return lost_files_;
}

std::error_code InodeTable::forget_everything() {
  Map entries;
  {
    sync::MutexLock lock(mutex_);
    entries.swap(entries_);
    idle_.clear();
    left_behind_.clear();
  }
  std::error_code error;
  for (auto& [id, entry] : entries) {
    QUIRE_CHECK(entry.openers == 0 && entry.closers == 0);
    cache_.dirty_files().remove(*entry.inode);
    if (SpaceBook* const space = entry.inode->space(); space != nullptr) space->forget();
    entry.inode->forget_all();
    std::vector<ObjectHandle> handles;
    if (entry.has_read) handles.push_back(entry.read);
    if (entry.has_write && entry.write.value != entry.read.value) handles.push_back(entry.write);
    const std::error_code closed = close_handles(handles);
    if (!error) error = closed;
  }
  return error;
}

}  // namespace quire::file
