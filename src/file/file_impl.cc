#include <fmt/format.h>

#include <algorithm>

#include "fault/planted.h"
#include "file/cache_impl.h"
#include "file/mapped_io.h"
#include "file/reserve.h"
#include "file/reshape.h"
#include "file/resize.h"
#include "file/shoot_down.h"
#include "file/sync_file.h"
#include "sync/lock_rank.h"

namespace quire {
namespace {

// What a person must do about an error of a broken file.
std::string_view cure(const file::Inode& inode) {
  return inode.broken()
             ? ": an insert or collapse failed while the store moved its bytes; close every "
               "open of the file, open it again, and check what it holds"
             : "";
}

std::error_code check_range(std::uint64_t offset, std::uint64_t length) {
  if (length == 0 || offset + length < offset) {
    return std::make_error_code(std::errc::invalid_argument);
  }
  if (offset + length > limits::kFileSizeMaxBytes) {
    return std::make_error_code(std::errc::file_too_large);
  }
  return {};
}

std::string_view doing(Cut kind) {
  switch (kind) {
    case Cut::kPunch:
      return "punching";
    case Cut::kZero:
      return "zeroing";
    case Cut::kInsert:
      return "inserting";
    case Cut::kCollapse:
      return "collapsing";
  }
  return "cutting";
}

}  // namespace

FileImpl::FileImpl(std::shared_ptr<CacheImpl> owner, std::shared_ptr<file::Inode> inode,
                   OpenFlags open_flags)
    : owner_(std::move(owner)),
      inode_(std::move(inode)),
      flags_(open_flags),
      readahead_(owner_->pages().budget().readahead_max_pages) {}

std::error_code FileImpl::usable(OpenFlags needed) const noexcept {
  if (ready(needed)) return {};
  if (owner_->forked()) return Errc::kForked;
  if (owner_->closed()) return Errc::kClosed;
  return std::make_error_code(std::errc::bad_file_descriptor);
}

Error FileImpl::fail(std::error_code code, std::string_view what) const {
  return Error(code, fmt::format("{} {}{}", what, inode_->path(), cure(*inode_)));
}

Error FileImpl::fail_at(std::error_code code, std::string_view what, std::uint64_t offset,
                        std::size_t bytes) const {
  return Error(code, fmt::format("{} {} ({} bytes at {}){}", what, inode_->path(), bytes, offset,
                                 cure(*inode_)));
}

Result<std::size_t> FileImpl::read(std::span<std::byte> buffer, std::uint64_t offset,
                                   const CallOptions& call) {
  if (!ready(OpenFlags::kRead)) [[unlikely]] {
    return fail_at(usable(OpenFlags::kRead), "reading", offset, buffer.size());
  }
  if (offset > limits::kFileSizeMaxBytes || buffer.size() > limits::kFileSizeMaxBytes - offset)
      [[unlikely]] {
    return fail_at(std::make_error_code(std::errc::invalid_argument), "reading", offset,
                   buffer.size());
  }
  if (buffer.size() > limits::kTransferMaxBytes) buffer = buffer.first(limits::kTransferMaxBytes);
  if (is_direct(call)) [[unlikely]]
    return read_direct({&buffer, 1}, offset, call);
  if (file::in_mapping(buffer)) [[unlikely]] {
    const file::Transfer moved = file::mapped_read(
        inode_, readahead_, IoPath::kCached, {&buffer, 1}, buffer.size(), offset, to_limit(call));
    if (moved.error && moved.bytes == 0) {
      return fail_at(moved.error, "reading", offset, buffer.size());
    }
    return moved.bytes;
  }
  const std::size_t hit = file::read_hits(*inode_, buffer, offset);
  if (hit == buffer.size() || file::met_the_end(offset, hit)) return hit;
  file::Transfer moved =
      file::read_at(*inode_, readahead_, buffer.subspan(hit), offset + hit, to_limit(call));
  moved.bytes += hit;
  if (moved.error && moved.bytes == 0) {
    return fail_at(moved.error, "reading", offset, buffer.size());
  }
  return moved.bytes;
}

Error FileImpl::misaligned(file::Misaligned what_is, std::string_view what,
                           std::uint64_t offset) const {
  const std::uint32_t alignment = owner_->pages().traits().io_alignment_bytes;
  std::string why;
  switch (what_is) {
    case file::Misaligned::kNothing:
      break;
    case file::Misaligned::kOffset:
      why = fmt::format("offset {} is", offset);
      break;
    case file::Misaligned::kLength:
      why = "the length of a buffer is";
      break;
    case file::Misaligned::kMemory:
      why = "the address of a buffer is";
      break;
  }
  return fail(std::make_error_code(std::errc::invalid_argument),
              fmt::format("direct {}: {} not a multiple of {}, as the store needs it:", what, why,
                          alignment));
}

Result<std::size_t> FileImpl::read_direct(std::span<const std::span<std::byte>> buffers,
                                          std::uint64_t offset, const CallOptions& call) {
  std::size_t bytes = 0;
  for (const auto& buffer : buffers) {
    if (buffer.size() > limits::kFileSizeMaxBytes - offset - bytes) {
      return fail_at(std::make_error_code(std::errc::invalid_argument), "reading", offset,
                     buffer.size());
    }
    bytes = std::min(bytes + std::min(buffer.size(), limits::kTransferMaxBytes),
                     limits::kTransferMaxBytes);
  }
  const sync::WaitLimit limit = to_limit(call);
  const bool mapped = file::in_mapping(buffers);
  const auto wrong = file::misaligned(owner_->pages().traits().io_alignment_bytes, offset, buffers,
                                      !limit.may_leave() && !mapped);
  if (wrong != file::Misaligned::kNothing) return misaligned(wrong, "reading", offset);
  const file::Transfer moved =
      mapped ? file::mapped_read(inode_, readahead_, IoPath::kDirect, buffers, bytes, offset, limit)
             : file::direct_read(inode_, buffers, bytes, offset, limit);
  if (moved.error && moved.bytes == 0) return fail_at(moved.error, "reading", offset, bytes);
  return moved.bytes;
}

std::size_t FileImpl::read_hits(std::span<std::byte> buffer, std::uint64_t offset) noexcept {
  if (!ready(OpenFlags::kRead) || offset > limits::kFileSizeMaxBytes ||
      buffer.size() > limits::kFileSizeMaxBytes - offset || file::in_mapping(buffer)) {
    return 0;
  }
  return file::read_hits(*inode_, buffer, offset);
}

Result<std::size_t> FileImpl::readv(std::span<const std::span<std::byte>> buffers,
                                    std::uint64_t offset, const CallOptions& call) {
  if (buffers.size() > limits::kVectorMax) {
    return Error(std::errc::invalid_argument,
                 fmt::format("reading {}: {} buffers, at most {}", inode_->path(), buffers.size(),
                             limits::kVectorMax));
  }
  if (is_direct(call) && ready(OpenFlags::kRead) && offset <= limits::kFileSizeMaxBytes) {
    return read_direct(buffers, offset, call);
  }
  std::size_t moved = 0;
  for (const std::span<std::byte> buffer : buffers) {
    const bool restarts = fault::planted(fault::Planted::kVectorRestarts);
    auto part = read(buffer, restarts ? offset : offset + moved, call);
    if (!part.ok()) {
      if (moved > 0) break;
      return part;
    }
    moved += *part;
    if (*part < buffer.size() || moved >= limits::kTransferMaxBytes) break;
  }
  return moved;
}

Result<file::Transfer> FileImpl::write_part(std::span<const std::span<const std::byte>> buffers,
                                            std::uint64_t* offset, const CallOptions& call) {
  if (appends() && !fault::planted(fault::Planted::kIgnoreAppendFlag)) *offset = file::kAtEnd;
  std::size_t bytes = 0;
  if (buffers.size() > limits::kVectorMax) {
    return Error(std::errc::invalid_argument,
                 fmt::format("writing {}: {} buffers, at most {}", inode_->path(), buffers.size(),
                             limits::kVectorMax));
  }
  for (const auto& buffer : buffers) {
    bytes = std::min(bytes + std::min(buffer.size(), limits::kTransferMaxBytes),
                     limits::kTransferMaxBytes);
  }
  if (!ready(OpenFlags::kWrite)) [[unlikely]] {
    return fail_at(usable(OpenFlags::kWrite), "writing", *offset, bytes);
  }
  if (*offset != file::kAtEnd && *offset > limits::kFileSizeMaxBytes) {
    return fail_at(std::make_error_code(std::errc::file_too_large), "writing", *offset, bytes);
  }
  if (bytes == 0) return file::Transfer{};

  const sync::WaitLimit limit = to_limit(call);
  const bool direct = is_direct(call);
  const bool at_end = *offset == file::kAtEnd;
  const bool mapped = file::in_mapping(buffers);
  if (direct) [[unlikely]] {
    const auto wrong =
        file::misaligned(owner_->pages().traits().io_alignment_bytes, at_end ? 0 : *offset, buffers,
                         !limit.may_leave() && !mapped);
    if (wrong != file::Misaligned::kNothing) return misaligned(wrong, "writing", *offset);
  }
  const std::uint64_t asked = *offset;
  const auto write = [&] {
    if (mapped) [[unlikely]] {
      return file::mapped_write(inode_, direct ? IoPath::kDirect : IoPath::kCached, buffers, bytes,
                                offset, limit);
    }
    if (direct) return file::direct_write(inode_, buffers, bytes, offset, limit);
    file::Gather from(buffers);
    return file::write_at(*inode_, from, bytes, offset, limit);
  };
  file::Transfer moved = write();
  if (file::is_full(moved.error) && moved.bytes == 0 &&
      owner_->pages().counters().reserved_pages.load() > 0) {
    // What is reserved for writes that did not come may be enough for this one.
    owner_->inodes().trim_all(
        {std::min(limit.deadline, sync::deadline_after(limits::kTrimWaitMax)), limit.stop});
    *offset = asked;
    moved = write();
  }
  if (direct && moved.error == std::errc::invalid_argument && moved.bytes == 0 && at_end) {
    return misaligned(file::Misaligned::kOffset, "appending", *offset);
  }
  if (moved.error && moved.bytes == 0) return fail_at(moved.error, "writing", *offset, bytes);
  // Without a failure only the largest size of a file makes a write shorter.
  if (!moved.error && moved.bytes < bytes) {
    moved.error = std::make_error_code(std::errc::file_too_large);
  }

  const bool all = has(flags_, OpenFlags::kSync);
  const bool syncs = !fault::planted(fault::Planted::kSyncedWriteIsNot);
  if (moved.bytes > 0 && syncs && (all || has(flags_, OpenFlags::kDataSync))) {
    const std::error_code error = file::sync_pages(inode_, cache::page_index(*offset),
                                                   cache::page_index(*offset + moved.bytes - 1),
                                                   all ? SyncKind::kAll : SyncKind::kData, limit);
    if (error) {
      Error failed = fail_at(error, "syncing the write to", *offset, moved.bytes);
      failed.context += file::lost_text(*inode_, cache::page_index(*offset),
                                        cache::page_index(*offset + moved.bytes - 1));
      return failed;
    }
  }
  return moved;
}

Result<std::size_t> FileImpl::writev(std::span<const std::span<const std::byte>> buffers,
                                     std::uint64_t* offset, const CallOptions& call) {
  const auto moved = write_part(buffers, offset, call);
  if (!moved.ok()) return moved.error();
  return moved->bytes;
}

Result<std::size_t> FileImpl::write_stored(std::span<const std::byte> buffer, std::uint64_t offset,
                                           const CallOptions& call) {
  if (!ready(OpenFlags::kWrite)) [[unlikely]] {
    return fail_at(usable(OpenFlags::kWrite), "writing", offset, buffer.size());
  }
  file::Gather from({&buffer, 1});
  const file::Transfer moved =
      file::write_at(*inode_, from, buffer.size(), &offset, to_limit(call), file::Space::kWelcome);
  if (moved.error && moved.bytes == 0) {
    return fail_at(moved.error, "writing", offset, buffer.size());
  }
  return moved.bytes;
}

Result<std::uint64_t> FileImpl::append(std::span<const std::byte> buffer, const CallOptions& call) {
  if (buffer.empty()) {
    if (const std::error_code error = usable(OpenFlags::kWrite)) return fail(error, "appending to");
    return inode_->size_bytes();
  }
  if (buffer.size() > limits::kTransferMaxBytes) {
    return fail(std::make_error_code(std::errc::invalid_argument),
                fmt::format("appending {} bytes, at most {} at once, to", buffer.size(),
                            limits::kTransferMaxBytes));
  }
  std::uint64_t offset = file::kAtEnd;
  const auto moved = write_part({&buffer, 1}, &offset, call);
  if (!moved.ok()) return moved.error();
  if (moved->error) return fail_at(moved->error, "appending only a part to", offset, moved->bytes);
  return offset;
}

Status FileImpl::truncate(std::uint64_t size_bytes, const CallOptions& call) {
  std::error_code error = usable(OpenFlags::kWrite);
  if (!error && size_bytes > limits::kFileSizeMaxBytes) {
    error = std::make_error_code(std::errc::file_too_large);
  }
  if (!error) error = file::truncate(inode_, size_bytes, to_limit(call));
  if (error) return fail(error, fmt::format("setting the size to {} of", size_bytes));
  return {};
}

Status FileImpl::cut(Cut kind, std::uint64_t offset, std::uint64_t length, bool keep_size,
                     const CallOptions& call) {
  std::error_code error = usable(OpenFlags::kWrite);
  if (!error) error = check_range(offset, length);
  if (!error) {
    const bool clears = kind == Cut::kPunch || kind == Cut::kZero;
    error = clears ? file::clear(inode_, kind, offset, offset + length, keep_size, to_limit(call))
                   : file::shift(inode_, kind, offset, length, to_limit(call));
  }
  if (error) return fail(error, fmt::format("{} {} bytes at {} of", doing(kind), length, offset));
  return {};
}

Status FileImpl::allocate(std::uint64_t offset, std::uint64_t length, bool keep_size,
                          const CallOptions& call) {
  std::error_code error = usable(OpenFlags::kWrite);
  if (!error) error = check_range(offset, length);
  if (!error) error = file::allocate(inode_, offset, offset + length, keep_size, to_limit(call));
  if (error) return fail(error, fmt::format("allocating {} bytes at {} of", length, offset));
  return {};
}

Status FileImpl::discard() {
  std::error_code error = usable(OpenFlags{});
  if (!error) {
    error = file::discard(*inode_, {sync::deadline_after(limits::kCloseWaitMax), {}});
  }
  if (error) return fail(error, "discarding");
  return {};
}

Status FileImpl::sync(std::uint64_t first_page, std::uint64_t last_page, SyncKind kind,
                      const CallOptions& call) {
  std::error_code error = usable(OpenFlags{});
  if (!error) error = file::sync_pages(inode_, first_page, last_page, kind, to_limit(call));
  // What is there is durable then, but nobody shall take it for his file.
  if (!error && inode_->broken()) error = std::make_error_code(std::errc::io_error);
  if (!error) return {};
  Error failed = fail(error, "syncing");
  failed.context += file::lost_text(*inode_, first_page, last_page);
  return failed;
}

Status FileImpl::invalidate(std::uint64_t first_page, std::uint64_t last_page,
                            const CallOptions& call) {
  if (const std::error_code error = usable(OpenFlags{})) return fail(error, "invalidating");
  cache::Stayed stayed;
  const std::error_code error =
      file::invalidate(*inode_, first_page, last_page, to_limit(call), &stayed);
  if (error) return fail(error, "invalidating");
  if (stayed.pages == 0) return {};
  return Error(
      std::errc::device_or_resource_busy,
      fmt::format("invalidating {}: {} pages stayed, from offset {} on; {} of them are dirty",
                  inode_->path(), stayed.pages, cache::page_offset(stayed.first), stayed.dirty));
}

Status FileImpl::write_and_invalidate(std::uint64_t first_page, std::uint64_t last_page,
                                      const CallOptions& call) {
  std::error_code error = usable(OpenFlags{});
  if (!error) error = file::write_and_invalidate(inode_, first_page, last_page, to_limit(call));
  if (error) return fail(error, "writing and invalidating");
  return {};
}

Status FileImpl::advise(std::uint64_t first_page, std::uint64_t last_page, Advice advice) {
  if (const std::error_code error = usable(OpenFlags{})) return fail(error, "advising on");
  switch (advice) {
    case Advice::kNormal:
    case Advice::kSequential:
    case Advice::kRandom: {
      sync::MutexLock lock(readahead_.mutex);
      readahead_.state.advise(advice);
      return {};
    }
    case Advice::kWillNeed:
      file::will_need(*inode_, first_page, last_page);
      return {};
    case Advice::kDontNeed:
      if (const std::error_code error = file::drop_behind(inode_, first_page, last_page)) {
        return fail(error, "writing back");
      }
      return {};
  }
  return fail(std::make_error_code(std::errc::invalid_argument), "advising on");
}

Result<FileStat> FileImpl::stat() {
  if (const std::error_code error = usable(OpenFlags{})) return fail(error, "stat of");
  auto object = owner_->pages().store().stat(inode_->read_handle());
  if (!object.ok()) return std::move(object).error();
  const file::Stamps stamps = inode_->stamps();
  FileStat s;
  s.size_bytes = inode_->broken() ? object->size_bytes : inode_->size_bytes();
  s.allocated_bytes = object->allocated_bytes;
  s.atime = stamps.atime;
  s.mtime = stamps.mtime;
  s.ctime = stamps.ctime;
  s.id = inode_->id();
  s.mode = object->mode;
  s.links = object->links;
  return s;
}

Status FileImpl::set_times(const TimeSpec* atime, const TimeSpec* mtime) {
  if (const std::error_code error = usable(OpenFlags{})) return fail(error, "setting times of");
  return inode_->set_times(atime, mtime);
}

Result<std::size_t> FileImpl::perform(const Op& op, const CallOptions& call) {
  const auto size_of = [](Status status) -> Result<std::size_t> {
    if (!status.ok()) return std::move(status).error();
    return std::size_t{0};
  };
  if (const auto* o = std::get_if<ReadOp>(&op)) return read(o->buffer, o->offset, call);
  if (const auto* o = std::get_if<WriteOp>(&op)) {
    std::uint64_t offset = file::given_offset(o->offset);
    return writev({&o->buffer, 1}, &offset, call);
  }
  if (const auto* o = std::get_if<AppendOp>(&op)) {
    std::uint64_t offset = file::kAtEnd;
    return writev({&o->buffer, 1}, &offset, call);
  }
  if (const auto* o = std::get_if<TruncateOp>(&op)) return size_of(truncate(o->size_bytes, call));
  if (const auto* o = std::get_if<AllocateOp>(&op)) {
    return size_of(allocate(o->offset, o->length, o->keep_size, call));
  }
  if (const auto* o = std::get_if<CutOp>(&op)) {
    return size_of(cut(o->kind, o->offset, o->length, o->keep_size, call));
  }
  const auto& o = std::get<SyncOp>(op);
  return size_of(sync(0, ~std::uint64_t{0}, o.kind, call));
}

Status FileImpl::submit(const Op& op, OnDone on_done, const CallOptions& call) {
  if (const std::error_code error = usable(OpenFlags{})) return fail(error, "submitting to");
  if (!on_done) {
    return fail(std::make_error_code(std::errc::invalid_argument),
                "submitting with an empty on_done to");
  }
  {
    sync::MutexLock lock(mutex_);
    ++submits_;
  }
  file::WorkerPool::Request request = [this, op, done = std::move(on_done),
                                       call](std::error_code too_late) mutable {
    Result<std::size_t> result =
        too_late ? Result<std::size_t>(fail(too_late, "waiting for a worker to begin on"))
                 : perform(op, call);
    sync::lock_rank::assert_none_held();
    done(std::move(result));
    done = nullptr;  // what it has captured may go with the File
    sync::MutexLock lock(mutex_);
    if (--submits_ == 0) submits_ended_.notify_all();
  };
  if (owner_->workers().accept(request, to_limit(call))) return {};
  sync::MutexLock lock(mutex_);
  if (--submits_ == 0) submits_ended_.notify_all();
  return fail(Errc::kBusy, "submitting to");
}

Result<std::unique_ptr<FileImpl>> FileImpl::reopen(OpenFlags flags) {
  if (const std::error_code error = usable(OpenFlags{})) return fail(error, "opening again");
  if (Status good = CacheImpl::check_flags(name(), flags); !good.ok()) {
    return std::move(good).error();
  }
  if (Status counted = owner_->inodes().reopen(inode_, has(flags, OpenFlags::kWrite));
      !counted.ok()) {
    return std::move(counted).error();
  }
  return owner_->opened(inode_, flags);
}

Status FileImpl::write_back(const CallOptions& call) {
  std::error_code error = usable(OpenFlags{});
  if (!error) error = file::write_back(*inode_, to_limit(call));
  // The flusher may have written them, or there is nothing but a change of the stamps.
  if (!error && inode_->unpushed()) inode_->after_flush();
  if (error) return fail(error, "writing back");
  return {};
}

Status FileImpl::close() {
  if (owner_->forked()) return fail(Errc::kForked, "closing");
  {
    sync::MutexLock lock(mutex_);
    while (submits_ > 0) submits_ended_.wait(mutex_);
  }
  const std::error_code error =
      owner_->inodes().close(inode_, {sync::deadline_after(limits::kCloseWaitMax), {}});
  if (error) return fail(error, "writing back at the close of");
  return {};
}

void FileImpl::close_and_log() {
  if (owner_->forked()) return;
  const Status closed = close();
  if (!closed.ok()) owner_->log(LogLevel::kError, closed.error().message());
}

}  // namespace quire
