#include "file/cache_impl.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cerrno>
#include <utility>

#include "file/resize.h"
#include "file/sync_file.h"
#include "sync/lock_rank.h"

namespace quire {

Status CacheImpl::check_flags(std::string_view path, OpenFlags flags) {
  const auto bad = [&](std::string_view why) {
    return Error(std::errc::invalid_argument, fmt::format("opening {}: {}", path, why));
  };
  if (!has(flags, OpenFlags::kRead) && !has(flags, OpenFlags::kWrite)) {
    return bad("neither kRead nor kWrite was given");
  }
  for (const OpenFlags flag : {OpenFlags::kTruncate, OpenFlags::kAppend}) {
    if (has(flags, flag) && !has(flags, OpenFlags::kWrite)) {
      return bad("kTruncate and kAppend need kWrite");
    }
  }
  return {};
}

Result<std::shared_ptr<CacheImpl>> CacheImpl::create(std::shared_ptr<Store> store,
                                                     const CacheOptions& options) {
  if (store == nullptr) {
    return Error(std::errc::invalid_argument, "Cache::create: the store is null");
  }
  file::install_fork_guard();
  std::shared_ptr<CacheImpl> impl(new CacheImpl);
  if (const auto planned = cache::plan_budget(options); !planned.ok()) return planned.error();
  if (!impl->claim_.claim(store)) {
    return Error(Errc::kInUse, "Cache::create: the store serves another Cache");
  }
  auto pages = cache::PageCache::create(std::move(store), options);
  if (!pages.ok()) return std::move(pages).error();
  impl->pages_ = std::move(*pages);
  impl->inodes_ = std::make_unique<file::InodeTable>(*impl->pages_);
  if (Status started = impl->workers_->start(options.worker_threads); !started.ok()) {
    return std::move(started).error();
  }
  return impl;
}

CacheImpl::~CacheImpl() {
  if (forked()) {
    // Another process's threads and locks: leave everything as it is.
    (void)inodes_.release();
    (void)pages_.release();
    (void)workers_.release();
    return;
  }
  workers_->stop();
  if (inodes_ == nullptr) return;
  if (!finished_) {
    // The Cache was abandoned with files open; the last of them has been closed now.
    for (const auto& inode : inodes_->in_use()) {
      if (inode->requests() == 0) continue;
      log(LogLevel::kError,
          fmt::format("the store has not answered for {}: waiting for it before the cache can end",
                      inode->path()));
    }
    const Status finished = finish({});
    if (!finished.ok()) log(LogLevel::kError, finished.error().message());
  }
}

Result<std::unique_ptr<FileImpl>> CacheImpl::open(std::string_view path, OpenFlags flags,
                                                  std::uint32_t mode) {
  if (closed()) return Error(Errc::kClosed, fmt::format("opening {}", path));
  if (Status flags_ok = check_flags(path, flags); !flags_ok.ok()) {
    return std::move(flags_ok).error();
  }
  if (has(flags, OpenFlags::kExclusive) && !has(flags, OpenFlags::kCreate)) {
    return Error(std::errc::invalid_argument,
                 fmt::format("opening {}: kExclusive needs kCreate", path));
  }
  auto inode = inodes_->open(std::string(path), flags, mode);
  if (!inode.ok()) return std::move(inode).error();
  return opened(std::move(*inode), flags);
}

Result<std::unique_ptr<FileImpl>> CacheImpl::opened(std::shared_ptr<file::Inode> inode,
                                                    OpenFlags flags) {
  if (has(flags, OpenFlags::kTruncate) && inode->size_bytes() != 0) {
    const sync::WaitLimit limit = {sync::deadline_after(limits::kCloseWaitMax), {}};
    const std::error_code error = file::truncate(inode, 0, limit);
    if (error) {
      (void)inodes_->close(inode, limit);
      return Error(error, fmt::format("truncating {}", inode->path()));
    }
  }
  return std::make_unique<FileImpl>(shared_from_this(), std::move(inode), flags);
}

Result<std::unique_ptr<FileImpl>> CacheImpl::adopt(const OpenedObject& opened_object,
                                                   std::string_view name, OpenFlags flags) {
  Status usable = check_flags(name, flags);
  if (closed()) usable = Error(Errc::kClosed, fmt::format("opening {}", name));
  if (!usable.ok()) {
    (void)pages_->store().close(opened_object.handle);
    return std::move(usable).error();
  }
  auto inode = inodes_->adopt(opened_object, std::string(name), has(flags, OpenFlags::kWrite));
  if (!inode.ok()) return std::move(inode).error();
  return opened(std::move(*inode), flags);
}

std::optional<CacheImpl::KnownObject> CacheImpl::known(const ObjectId& id,
                                                       const ObjectStat* host_now) const {
  const auto inode = inodes_->known(id, host_now);
  if (inode == nullptr) return std::nullopt;
  return KnownObject{inode->size_bytes(), inode->stamps()};
}

std::string CacheImpl::Outcome::text() const {
  std::vector<std::string> all = failed;
  for (const std::string& path : changed) {
    all.push_back(path + " (changed by another program while it had unwritten changes here)");
  }
  return fmt::format("{}", fmt::join(all, ", "));
}

CacheImpl::Outcome CacheImpl::sync_everything(const sync::WaitLimit& limit) {
  Outcome outcome;
  const std::error_code stale(ESTALE, std::generic_category());
  const auto fail = [&](std::error_code error, std::string what) {
    outcome.failed.push_back(std::move(what));
    if (!outcome.error) outcome.error = error;
  };
  for (const auto& inode : inodes_->in_use()) {
    const Result<bool> used = inodes_->begin_use(inode);
    if (!used.ok()) {
      fail(used.code(), used.error().message());
      continue;
    }
    if (!*used) continue;  // written and closed meanwhile
    const std::error_code e = file::sync_all(inode, SyncKind::kAll, limit);
    inode->end_request();
    // One at a time: files of a failed sync of the store were opened for this.
    const std::error_code closed = inodes_->settle(inode);
    if (e == stale) {
      outcome.changed.push_back(inode->path());
      if (!outcome.error) outcome.error = e;
    } else if (e) {
      fail(e, fmt::format("{} ({}{})", inode->path(), e.message(),
                          file::lost_text(*inode, 0, ~std::uint64_t{0})));
    } else if (closed) {
      fail(closed, fmt::format("{} (closing: {})", inode->path(), closed.message()));
    }
  }
  if (pages_->traits().syncs_store) {
    const Status synced = store_sync_.run(*inodes_, *workers_, limit);
    if (!synced.ok()) fail(synced.code(), synced.error().message());
  }
  if (const std::uint64_t lost = inodes_->lost_files(); lost > 0) {
    fail(std::make_error_code(std::errc::io_error),
         fmt::format("{} files that were closed, and forgotten before a sync of the store failed",
                     lost));
  }
  return outcome;
}

Status CacheImpl::sync(const CallOptions& call) {
  if (closed()) return Error(Errc::kClosed, "Cache::sync");
  const Outcome outcome = sync_everything(to_limit(call));
  if (outcome.error) return Error(outcome.error, "syncing " + outcome.text());
  return {};
}

Status CacheImpl::close(const CallOptions& call) {
  if (closed()) return {};
  if (inodes_->open_count() > 0) {
    return Error(Errc::kOpenFiles, fmt::format("Cache::close: close these files first: {}",
                                               fmt::join(inodes_->open_paths(), ", ")));
  }
  return finish(to_limit(call));
}

Error CacheImpl::refuse(std::error_code code, std::string text) {
  const Status restarted = pages_->flusher().restart();
  if (!restarted.ok()) {
    log(LogLevel::kError, "Cache::close was left, and background writeback cannot go on: " +
                              restarted.error().message());
  }
  return {code, std::move(text)};
}

Status CacheImpl::finish(const sync::WaitLimit& limit) {
  // First: a retry of its own that began later would be under way when everything is forgotten. What it
  // has not written we do.
  pages_->flusher().stop();
  Outcome last;
  for (int attempt = 0; attempt < limits::kCloseAttemptsMax; ++attempt) {
    last = sync_everything(limit);
    changed_.insert(changed_.end(), last.changed.begin(), last.changed.end());
    if (!last.error) break;
    // Not written yet is not lost: the caller may come back.
    const bool stopped = limit.stop.stop_requested();
    if (stopped || sync::Clock::now() >= limit.deadline) {
      return refuse(stopped ? Errc::kInterrupted : Errc::kTimedOut,
                    "Cache::close: call close again; not written yet: " + last.text());
    }
  }
  for (const auto& inode : inodes_->in_use()) {
    const sync::WaitStatus idle = inode->wait_idle(limit);
    if (idle == sync::WaitStatus::kReady) continue;
    // The store still has requests of ours and their memory: it cannot be taken away under them.
    return refuse(sync::to_error(idle),
                  fmt::format("Cache::close: the store has not answered for {}; call close again",
                              inode->path()));
  }
  workers_->stop();
  closed_.store(true);
  finished_ = true;
  const std::error_code handles = inodes_->forget_everything();
  claim_.release();
  last.changed = changed_;
  if (!last.failed.empty()) {
    return Error(last.error, "Cache::close: lost what could not be written: " + last.text());
  }
  // Said to nobody but an earlier attempt of ours.
  if (!changed_.empty()) {
    return Error(std::error_code(ESTALE, std::generic_category()), "Cache::close: " + last.text());
  }
  if (handles) return Error(handles, "Cache::close: the store failed to close an object");
  return {};
}

namespace {

WaitStats stats_of(const cache::WaitCount& waits) {
  return {waits.count(), waits.total_ns(), waits.worst_ns()};
}

}  // namespace

CacheStats CacheImpl::stats() const {
  if (forked()) return {};  // locks and memory are the parent's
  const cache::Counters& c = pages_->counters();
  CacheStats s;
  s.hits = c.hits();
  s.misses = c.misses.load();
  s.readahead_pages = c.readahead_pages.load();
  s.evicted_pages = pages_->memory().evicted();
  s.written_pages = c.written_pages.load();
  s.write_requests = c.write_requests.load();
  s.read_requests = c.read_requests.load();
  s.writeback_errors = c.writeback_errors.load();
  s.direct_read_bytes = c.direct_read_bytes.load();
  s.direct_write_bytes = c.direct_write_bytes.load();
  s.direct_fallbacks = c.direct_fallbacks.load();
  s.reclaims = pages_->memory().reclaims();
  s.empty_reclaims = pages_->memory().empty_reclaims();
  s.memory_bytes = pages_->budget().memory_bytes;
  s.memory_used_bytes = pages_->memory_used_bytes();
  s.cached_pages = c.cached_pages.load();
  s.dirty_pages = pages_->dirty().taken();
  s.writeback_pages = c.writeback_pages.load();
  s.reserved_pages = c.reserved_pages.load();
  s.open_files = inodes_->open_count();
  s.page_waits = stats_of(pages_->lot().waits());
  s.throttle_waits = stats_of(pages_->dirty().waits());
  s.memory_waits = stats_of(pages_->memory().waits());
  s.range_waits = stats_of(c.range_waits);
  return s;
}

Cache::Cache(std::shared_ptr<CacheImpl> impl) noexcept : impl_(std::move(impl)) {}

Result<std::unique_ptr<Cache>> Cache::create(std::shared_ptr<Store> store,
                                             const CacheOptions& options) {
  auto impl = CacheImpl::create(std::move(store), options);
  if (!impl.ok()) return std::move(impl).error();
  return std::unique_ptr<Cache>(new Cache(std::move(*impl)));
}

Cache::~Cache() {
  if (impl_->forked()) return;
  const Status closed = impl_->close({});
  if (closed.ok()) return;
  impl_->log(LogLevel::kError, closed.error().message());
  if (closed.code() == Errc::kOpenFiles) {
    impl_->log(LogLevel::kError,
               "a Cache was destroyed while files are open; they fail from now on");
  }
  impl_->abandon();
}

Result<File> Cache::open(std::string_view path, OpenFlags flags, std::uint32_t mode) {
  if (impl_->forked()) return Error(Errc::kForked, fmt::format("opening {}", path));
  auto file = impl_->open(path, flags, mode);
  if (!file.ok()) return std::move(file).error();
  return File(std::move(*file));
}

Status Cache::sync(const CallOptions& call) {
  if (impl_->forked()) return Error(Errc::kForked, "Cache::sync");
  return impl_->sync(call);
}

Status Cache::close(const CallOptions& call) {
  if (impl_->forked()) return Error(Errc::kForked, "Cache::close");
  return impl_->close(call);
}

CacheStats Cache::stats() const {
  return impl_->stats();
}

}  // namespace quire
