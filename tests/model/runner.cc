#include "model/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <future>
#include <utility>

#include "model/step.h"
#include "quire/error.h"

namespace quire::model {
namespace {

constexpr std::size_t kPastMax = 40;
constexpr std::chrono::microseconds kSoon{300};

// The clock that stamps are taken from, as coarse as it is.
TimeSpec wall_now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return {now.tv_sec, static_cast<std::uint32_t>(now.tv_nsec)};
}

struct PageRange {
  std::uint64_t first;
  std::uint64_t last;
};

// Of calls for which a length of 0 means to the end.
PageRange range_of(const Operation& op) {
  const bool to_end = op.length == 0 || op.offset + op.length < op.offset;
  return {page_of(op.offset), to_end ? kLastPage : page_of(op.offset + op.length - 1)};
}

}  // namespace

Runner::Runner(Locking locking, std::uint64_t seed, bool trace)
    : seed_(seed), trace_(trace), world_(locking, seed) {
  stopped_.request_stop();
}

void Runner::run_one() {
  const std::uint64_t number = done_.load();
  Operation operation = generate(seed_, number, world_.view(), world_.mapping_view());
  past_.push_back({number, operation, "..."});
  if (past_.size() > kPastMax) past_.pop_front();
  if (trace_) fmt::print(stderr, "{} {}\n", number, to_string(operation));
  began_ = wall_now();
  world_.script().begin(operation.failure);
  begin_meanwhile(operation, number);
  perform(operation);
  world_.script().end();
  end_meanwhile();
  note_failed_syncs();
  note_syncs();
  done_.fetch_add(1);
}

void Runner::finish() {
  world_.script().begin({});
  verify();
  world_.crash(false);
}

std::string Runner::history() const {
  std::string text;
  for (const Past& past : past_) {
    text += fmt::format("  {} {} -> {}\n", past.number, to_string(past.operation), past.result);
  }
  return text + "library's messages:\n" + world_.log();
}

void Runner::perform(const Operation& op) {
  switch (op.kind) {
    case Kind::kRead:
      return read(op);
    case Kind::kWrite:
      return write(op);
    case Kind::kAppend:
      return op.submitted ? write(op) : append(op);
    case Kind::kTruncate:
      return truncate(op);
    case Kind::kAllocate:
      return allocate(op);
    case Kind::kCut:
      return cut(op);
    case Kind::kSync:
    case Kind::kDataSync:
    case Kind::kSyncRange:
      return sync(op);
    case Kind::kAdvise:
      return advise(op);
    case Kind::kInvalidate:
      return invalidate(op);
    case Kind::kWriteAndInvalidate:
      return write_and_invalidate(op);
    case Kind::kStat:
      return stat(op);
    case Kind::kSetTimes:
      return set_times(op);
    case Kind::kReopen:
      return reopen(op);
    case Kind::kCacheSync:
      return cache_sync();
    case Kind::kLose:
      return lose(op);
    case Kind::kCure:
      return cure(op);
    case Kind::kCrowd:
      return world_.read_crowd(op.pattern);
    case Kind::kVerify:
      return verify();
    case Kind::kMap:
      return map(op);
    case Kind::kUnmap:
      return unmap(op);
    case Kind::kProtect:
      return protect(op);
    case Kind::kLoad:
      return load(op);
    case Kind::kStore:
      return store(op);
    case Kind::kMapSync:
      return map_sync(op);
    case Kind::kMapAdvise:
      return map_advise(op);
    case Kind::kPopulate:
      return populate(op);
    case Kind::kReadInto:
      return read_into(op);
    case Kind::kWriteFrom:
      return write_from(op);
    case Kind::kCrash:
      return world_.crash(op.clean);
  }
}

void Runner::ended(std::error_code error, std::uint64_t value) {
  past_.back().result = error ? error.message() : fmt::format("{}", value);
  world_.script().end();
}

void Runner::expect(bool right, std::string_view what) const {
  if (!right) throw Mismatch(std::string(what));
}

CallOptions Runner::call_options(const Operation& op) {
  const auto now = std::chrono::steady_clock::now();
  CallOptions call;
  call.path = op.path;
  switch (op.way) {
    case Way::kPassed:
      call.deadline = now - std::chrono::milliseconds(1);
      break;
    case Way::kSoon:
      call.deadline = now + kSoon;
      break;
    case Way::kStopped:
      call.stop = stopped_.get_token();
      break;
    case Way::kNone:
      break;
  }
  return call;
}

Result<std::size_t> Runner::submit(File& file, const Op& op, const CallOptions& call) {
  std::promise<Result<std::size_t>> done;
  const Status accepted = file.submit(
      op, [&](Result<std::size_t> result) { done.set_value(std::move(result)); }, call);
  if (!accepted.ok()) throw Mismatch("submitting: " + accepted.error().message());
  return done.get_future().get();
}

bool Runner::left(const Operation& op, std::error_code error) const {
  switch (op.way) {
    case Way::kPassed:
    case Way::kSoon:
      return error == Errc::kTimedOut;
    case Way::kStopped:
      return error == Errc::kInterrupted;
    case Way::kNone:
      break;
  }
  return false;
}

bool Runner::may_fail_to_sync(unsigned number, std::error_code error) {
  if (world_.script().gave(error)) return true;
  TestedFile& file = world_.file(number);
  if (error == std::error_code(ESTALE, std::generic_category())) {
    return std::exchange(file.may_be_stale, false);
  }
  return is(error, std::errc::io_error) && file.model.may_be_lost(0, kLastPage);
}

void Runner::note_failed_syncs() {
  for (unsigned i = 0; i < kFiles; ++i) {
    bool dropped = false;
    if (!world_.script().sync_failed(kShapes[i].path, &dropped)) continue;
    world_.file(i).model.sync_failed(dropped,
                                     [&](std::uint64_t index) { return world_.stored(i, index); });
    if (dropped) note_dropped(world_.file(i));
  }
}

// A file is made durable without being asked, too: where it was written in many pieces, by the flusher.
void Runner::note_syncs() {
  for (const std::string& path : world_.script().take_synced()) {
    for (unsigned i = 0; i < kFiles; ++i) {
      if (path == kShapes[i].path) world_.file(i).model.sync_tried();
    }
  }
}

void Runner::note_dropped(TestedFile& file) {
  // The memory store forgets stamps too, and what it has then may be taken over by the next open.
  file.stamps = {};
  file.may_be_stale = true;
}

void Runner::note_change(TestedFile& file) {
  file.stamps.moved = true;
  file.stamps.moved_at = began_;
}

void Runner::sync(const Operation& op) {
  TestedHandle& handle = this->handle(op);
  const CallOptions call = call_options(op);
  const bool whole = op.kind != Kind::kSyncRange;
  const PageRange range = whole ? PageRange{0, kLastPage} : range_of(op);
  std::error_code error;
  if (op.submitted) {
    const SyncKind kind = op.kind == Kind::kSync ? SyncKind::kAll : SyncKind::kData;
    error = submit(handle.file, SyncOp{kind}, call).code();
  } else if (op.kind == Kind::kSync) {
    error = handle.file.sync(call).code();
  } else if (op.kind == Kind::kDataSync) {
    error = handle.file.datasync(call).code();
  } else {
    error = handle.file.sync_range(op.offset, op.length, call).code();
  }
  ended(error);
  model(op).sync_tried();

  if (error) {
    return expect(left(op, error) || may_fail_to_sync(handle.number, error), "sync failed");
  }
  expect(
      !world_.script().failed_own(StoreOp::kWrite) && !world_.script().failed_own(StoreOp::kSync),
      "sync hides an error");
  expect(!model(op).is_lost(range.first, range.last), "sync succeeds over lost pages");
  check_synced(handle.number, range.first, range.last, whole);
  model(op).synced(range.first, range.last);
}

void Runner::advise(const Operation& op) {
  const PageRange range = range_of(op);
  const std::error_code error = handle(op).file.advise(op.offset, op.length, op.advice).code();
  ended(error);
  if (op.advice != Advice::kDontNeed) return expect(!error, "advice failed");
  if (error) {
    return expect(world_.script().struck(StoreOp::kWrite) && world_.script().gave(error),
                  "advice failed to write back");
  }
  expect(!world_.script().failed_own(StoreOp::kWrite), "advice hides an error");
  if (!model(op).may_be_lost(0, kLastPage)) {
    world_.check_stored(handle(op).number, range.first, range.last, false);
  }
  model(op).flushed(range.first, range.last);
}

void Runner::invalidate(const Operation& op) {
  const PageRange range = range_of(op);
  const std::error_code error =
      handle(op).file.invalidate(op.offset, op.length, call_options(op)).code();
  ended(error);
  if (!error) return;
  const bool stayed = is(error, std::errc::device_or_resource_busy) &&
                      model(op).may_be_dirty(range.first, range.last);
  expect(left(op, error) || stayed, "invalidate failed");
}

void Runner::write_and_invalidate(const Operation& op) {
  const PageRange range = range_of(op);
  const std::error_code error =
      handle(op).file.write_and_invalidate(op.offset, op.length, call_options(op)).code();
  ended(error);
  if (error) {
    return expect(left(op, error) || may_fail_to_sync(handle(op).number, error),
                  "write_and_invalidate failed");
  }
  expect(!world_.script().failed_own(StoreOp::kWrite), "write_and_invalidate hides an error");
  // What may be lost may have left the cache before.
  if (!model(op).may_be_lost(0, kLastPage)) {
    world_.check_stored(handle(op).number, range.first, range.last, false);
  }
  model(op).flushed(range.first, range.last);
}

void Runner::stat(const Operation& op) {
  const auto now = handle(op).file.stat();
  ended(now.code(), now.ok() ? now->size_bytes : 0);
  expect(now.ok(), "stat failed");
  expect(now->size_bytes == model(op).size(), "the size is wrong");
  expect(now->links == kShapes[handle(op).number].links, "the number of links is wrong");
  check_stamps(file(op), *now, world_.is_watched(handle(op).number));
}

void Runner::check_stamps(TestedFile& file, const FileStat& now, bool watched) {
  SeenStamps& seen = file.stamps;
  // They show stores when those are noticed, and a load may be taken for one.
  if (watched) seen.known = false;
  if (seen.known && !seen.moved) {
    expect(now.mtime == seen.mtime && now.ctime == seen.ctime, "stamps moved by themselves");
  }
  if (seen.known && seen.moved) expect(now.ctime >= seen.ctime, "ctime went back");
  if (seen.moved) {
    expect(now.mtime >= seen.moved_at && now.ctime >= seen.moved_at,
           "stamps are older than the change");
  }
  seen = {.known = true, .moved = false, .mtime = now.mtime, .ctime = now.ctime, .moved_at = {}};
}

void Runner::set_times(const Operation& op) {
  const TimeSpec mtime{static_cast<std::int64_t>(op.pattern % 4'000'000'000),
                       static_cast<std::uint32_t>(op.pattern % 1'000'000'000)};
  const std::error_code error = handle(op).file.set_times(nullptr, &mtime).code();
  ended(error);
  expect(!error, "set_times failed");
  const auto now = handle(op).file.stat();
  // A store of before may be noticed since.
  const bool moved = world_.is_watched(handle(op).number) && now.ok() && now->mtime >= began_;
  expect(now.ok() && (now->mtime == mtime || moved), "mtime is not what was set");
  expect(now->ctime >= began_, "ctime is older than the change");
  file(op).stamps = {
      .known = true, .moved = false, .mtime = now->mtime, .ctime = now->ctime, .moved_at = {}};
}

void Runner::reopen(const Operation& op) {
  if (handle(op).file.is_open()) close(op);
  note_failed_syncs();
  world_.script().begin(op.failure);
  open(op);
}

void Runner::close(const Operation& op) {
  TestedHandle& handle = this->handle(op);
  const std::error_code error = handle.file.close().code();
  ended(error);
  expect(!handle.file.is_open(), "a closed file is open");
  model(op).sync_tried();  // perhaps
  if (error) return expect(may_fail_to_sync(handle.number, error), "close failed");
  expect(!world_.script().failed_own(StoreOp::kWrite), "close hides an error");
  if (!model(op).may_be_lost(0, kLastPage)) {
    world_.check_stored(handle.number, 0, kLastPage, true);
  }
  model(op).flushed(0, kLastPage);
}

void Runner::open(const Operation& op) {
  const Name& name = kNames[op.name];
  TestedHandle& handle = this->handle(op);
  auto opened = world_.cache().open(name.path, op.flags, 0644);
  ended(opened.code());
  handle.number = name.file;
  if (has(op.flags, OpenFlags::kExclusive)) {
    return expect(is(opened.code(), std::errc::file_exists), "opened what was to be made");
  }
  const bool cuts = has(op.flags, OpenFlags::kTruncate) && model(op).size() != 0;
  if (!opened.ok()) {
    return expect(
        cuts && world_.script().struck(StoreOp::kTruncate) && world_.script().gave(opened.code()),
        "open failed");
  }
  expect(!world_.script().failed_own(StoreOp::kTruncate), "open hides an error");
  handle.file = std::move(*opened);
  handle.flags = op.flags;
  if (!cuts) return;
  model(op).set_size(0);
  note_change(file(op));
}

void Runner::cache_sync() {
  const std::error_code error = world_.cache().sync().code();
  ended(error);
  for (unsigned i = 0; i < kFiles; ++i) world_.file(i).model.sync_tried();
  bool may_fail = false;
  for (unsigned i = 0; i < kFiles; ++i) may_fail |= may_fail_to_sync(i, error);
  if (error) return expect(may_fail, "sync of the cache failed");
  expect(
      !world_.script().failed_own(StoreOp::kWrite) && !world_.script().failed_own(StoreOp::kSync),
      "sync of the cache hides an error");
  for (unsigned i = 0; i < kFiles; ++i) {
    ModelFile& model = world_.file(i).model;
    expect(!model.is_lost(0, kLastPage), "sync of the cache succeeds over lost pages");
    world_.check_stored(i, 0, kLastPage, true);
    model.synced(0, kLastPage);
  }
}

void Runner::lose(const Operation& op) {
  TestedHandle& handle = this->handle(op);
  ModelFile& model = this->model(op);
  if (!has(handle.flags, OpenFlags::kWrite) || model.may_be_lost(0, kLastPage)) return;
  std::error_code error = handle.file.write_and_invalidate(0, 0).code();
  expect(!error, "write_and_invalidate failed");
  note_syncs();
  world_.script().begin(Failure{.op = StoreOp::kSync, .drop = op.forgets});
  error = handle.file.sync().code();
  ended(error);
  if (world_.file(handle.number).may_be_stale && !world_.script().struck(StoreOp::kSync)) {
    return expect(may_fail_to_sync(handle.number, error), "sync failed");
  }
  expect(is(error, std::errc::io_error), "sync hides an error");
  const bool lost = model.sync_failed_uncached(
      op.forgets, [&](std::uint64_t index) { return world_.stored(handle.number, index); });
  if (op.forgets) note_dropped(file(op));
  world_.script().begin({});
  if (!lost) return;
  error = handle.file.sync().code();
  ended(error);
  expect(is(error, std::errc::io_error), "sync succeeds over lost pages");
}

void Runner::cure(const Operation& op) {
  TestedHandle& handle = this->handle(op);
  if (!has(handle.flags, OpenFlags::kWrite) || has(handle.flags, OpenFlags::kAppend)) return;
  ModelFile& model = this->model(op);
  const bool syncs = has(handle.flags, OpenFlags::kSync) || has(handle.flags, OpenFlags::kDataSync);
  if (syncs) return;
  std::uint64_t pattern = op.pattern;
  for (std::uint64_t index = model.first_lost(); index != kLastPage; index = model.first_lost()) {
    const std::uint64_t offset = index * kPageBytes;
    const Bytes data = pattern_bytes(++pattern, model.readable(offset, kPageBytes));
    const auto put = handle.file.write(data, offset, {.path = IoPath::kCached});
    expect(put.ok() && *put == data.size(), "writing a lost page again failed");
    model.write(offset, data);
  }
  note_change(file(op));
  std::error_code error = handle.file.sync().code();
  if (error && may_fail_to_sync(handle.number, error)) error = handle.file.sync().code();
  ended(error);
  expect(!error, "sync failed when all was cured");
  world_.check_stored(handle.number, 0, kLastPage, true);
  model.synced(0, kLastPage);
}

void Runner::verify() {
  for (unsigned i = 0; i < kFiles; ++i) world_.check_contents(i);
  world_.check_books();
}

}  // namespace quire::model
