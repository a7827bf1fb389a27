#include "file/inode_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "file/resize.h"
#include "file/sync_file.h"
#include "quire/limits.h"
#include "sync/check.h"

namespace quire::file {

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
  std::uint64_t settled = 0;
  {
    sync::MutexLock lock(mutex_);
    settled = settled_;
    if (open_files_ >= limits::kOpenFilesMax) {
      return Error(
          std::errc::too_many_files_open_in_system,
          fmt::format("opening {}: {} files are open, the most a cache allows", path, open_files_));
    }
  }
  // Partial pages are read before they are written; and truncation is the cache's to do.
  OpenFlags store_flags = OpenFlags::kRead;
  for (const OpenFlags flag : {OpenFlags::kWrite, OpenFlags::kCreate, OpenFlags::kExclusive}) {
    if (has(flags, flag)) store_flags = store_flags | flag;
  }
  auto opened = cache_.store().open(path, store_flags, mode);
  if (!opened.ok()) return std::move(opened).error();

  std::vector<ObjectHandle> surplus;
  std::shared_ptr<Inode> inode;
  std::shared_ptr<Inode> replaced;
  bool was_in_use = false;
  for (;;) {
    sync::MutexLock lock(mutex_);
    const auto known = entries_.find(opened->id);
    was_in_use = known != entries_.end() && !known->second.idle;
    if (!was_in_use && settled != settled_) {
      // A file, perhaps this one, was written and closed since the store told us what it has.
      settled = settled_;
      lock.unlock();
      auto now = cache_.store().stat(opened->handle);
      if (!now.ok()) {
        close_handles({opened->handle});
        return std::move(now).error();
      }
      opened->stat = *now;
      continue;
    }
    Entry& entry = entries_[opened->id];
    if (entry.idle) {
      leave_idle(entry);
      if (entry.inode->changed_behind(opened->stat)) replaced = std::move(entry.inode);
    }
    if (entry.inode == nullptr) entry.inode = std::make_shared<Inode>(cache_, *opened, path);
    attach(entry, *opened, writable, surplus);
    ++entry.openers;
    ++open_files_;
    inode = entry.inode;
    break;
  }
  if (replaced != nullptr) replaced->forget_all();
  close_handles(surplus);
  if (was_in_use) look_behind(*inode, opened->stat);
  return inode;
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
  {
    sync::MutexLock lock(mutex_);
    Entry& entry = entries_.at(inode->id());
    QUIRE_CHECK(entry.inode == inode && entry.openers > 0);
    --open_files_;
    if (--entry.openers > 0) return {};
  }
  std::error_code error = write_back(*inode, limit);
  // Without a sync of the whole store, what is closed could not be made durable later.
  if (!error && inode->needs_sync() && !cache_.traits().syncs_store) {
    error = sync_all(inode, SyncKind::kAll, limit);
  }
  const sync::WaitStatus idle = inode->wait_idle(limit);
  if (!error && idle != sync::WaitStatus::kReady) error = sync::to_error(idle);
  if (inode->unpushed()) {
    const cache::FilePages::InUse in_use(*inode);
    inode->after_flush();
  }
  try_settle(inode);
  return error;
}

void InodeTable::try_settle(const std::shared_ptr<Inode>& inode) {
  std::vector<ObjectHandle> surplus;
  std::vector<std::shared_ptr<Inode>> forgotten;
  {
    sync::MutexLock lock(mutex_);
    const auto it = entries_.find(inode->id());
    if (it == entries_.end() || it->second.inode != inode) return;
    Entry& entry = it->second;
    const bool settled = entry.openers == 0 && !entry.idle && inode->dirty().size() == 0 &&
                         inode->requests() == 0 && !inode->unsynced().rewrite_needed();
    if (!settled) return;
    become_idle(entry, surplus, forgotten);
  }
  close_handles(surplus);
  for (const auto& gone : forgotten) gone->forget_all();
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
  entry.idle = true;
  ++settled_;
  entry.idle_place = idle_.insert(idle_.end(), entry.inode->id());
  while (idle_.size() > idle_max_) {
    const auto oldest = entries_.find(idle_.front());
    idle_.pop_front();
    forgotten.push_back(std::move(oldest->second.inode));
    entries_.erase(oldest);
  }
}

void InodeTable::leave_idle(Entry& entry) {
  idle_.erase(entry.idle_place);
  entry.idle = false;
}

void InodeTable::close_handles(const std::vector<ObjectHandle>& handles) {
  for (const ObjectHandle handle : handles) {
    const Status closed = cache_.store().close(handle);
    if (!closed.ok()) {
      cache_.log(LogLevel::kWarning, "closing a store object: " + closed.error().message());
    }
  }
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
    if (entry.openers > 0) result.push_back(entry.inode->path());
  }
  return result;
}

std::size_t InodeTable::open_count() const {
  sync::MutexLock lock(mutex_);
  return open_files_;
}

bool InodeTable::begin_use(const Inode& inode) {
  sync::MutexLock lock(mutex_);
  const auto it = entries_.find(inode.id());
  if (it == entries_.end() || it->second.inode.get() != &inode || it->second.idle) return false;
  it->second.inode->begin_request();
  return true;
}

void InodeTable::settle_left_behind() {
  for (const auto& inode : in_use()) try_settle(inode);
}

void InodeTable::forget_everything() {
  Map entries;
  {
    sync::MutexLock lock(mutex_);
    entries.swap(entries_);
    idle_.clear();
  }
  for (auto& [id, entry] : entries) {
    QUIRE_CHECK(entry.openers == 0);
    cache_.dirty_files().remove(*entry.inode);
    entry.inode->forget_all();
    std::vector<ObjectHandle> handles;
    if (entry.has_read) handles.push_back(entry.read);
    if (entry.has_write && entry.write.value != entry.read.value) handles.push_back(entry.write);
    close_handles(handles);
  }
}

}  // namespace quire::file
