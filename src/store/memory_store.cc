#include "store/memory_store.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "quire/error.h"
#include "quire/limits.h"
#include "store/path.h"
#include "sync/check.h"
#include "sync/clock.h"
#include "sync/parker.h"
#include "sync/random.h"
#include "sync/thread.h"

namespace quire::store {

namespace {

#ifdef QUIRE_SIM
constexpr bool kSimulated = true;
#else
constexpr bool kSimulated = false;
#endif

// Where a real store would lose the processor: before a request is carried out and before it is
// answered.
void simulated_pause() {
  if (kSimulated) sync::yield_thread();
}

std::error_code error(std::errc code) {
  return std::make_error_code(code);
}

std::uint64_t capacity_pages(std::uint64_t bytes) {
  return bytes / limits::kPageBytes;
}

}  // namespace

MemoryStoreImpl::MemoryStoreImpl(const MemoryStoreOptions& options)
    : options_(options), quota_(capacity_pages(options.capacity_bytes)) {
  QUIRE_CHECK(std::has_single_bit(options.io_alignment_bytes) &&
              options.io_alignment_bytes <= limits::kPageBytes);
  QUIRE_CHECK(options.latency.count() >= 0);
  if (options_.latency.count() > 0) QUIRE_CHECK(timer_.start().ok());
}

MemoryStoreImpl::~MemoryStoreImpl() {
  sync::MutexLock lock(mutex_);
  QUIRE_CHECK(held_.empty());
  QUIRE_CHECK(handles_.empty());
}

StoreTraits MemoryStoreImpl::traits() const noexcept {
  StoreTraits traits;
  traits.io_alignment_bytes = options_.io_alignment_bytes;
  traits.reserves_space = options_.reserves_space;
  traits.sets_times = true;
  for (const Cut kind : {Cut::kPunch, Cut::kZero, Cut::kInsert, Cut::kCollapse}) {
    traits.cuts |= 1u << static_cast<unsigned>(kind);
  }
  traits.runs_inline = true;
  return traits;
}

MemoryStoreImpl::OpenObject MemoryStoreImpl::find(ObjectHandle handle) const {
  sync::MutexLock lock(mutex_);
  const auto found = handles_.find(handle.value);
  return found == handles_.end() ? OpenObject{} : found->second;
}

std::shared_ptr<MemoryObject> MemoryStoreImpl::find_path(const std::string& path) const {
  const Result<std::string> name = normalise_path(path);
  if (!name) return nullptr;
  sync::MutexLock lock(mutex_);
  const auto found = objects_.find(*name);
  return found == objects_.end() ? nullptr : found->second;
}

std::shared_ptr<MemoryObject> MemoryStoreImpl::make_object(const std::string& path,
                                                           std::uint32_t mode) {
  auto object = std::make_shared<MemoryObject>(ObjectId{0, ++last_id_}, path, mode,
                                               options_.io_alignment_bytes, quota_);
  objects_.emplace(path, object);
  return object;
}

Result<OpenedObject> MemoryStoreImpl::open(std::string_view path, OpenFlags flags,
                                           std::uint32_t mode) {
  simulated_pause();
  Result<std::string> name = normalise_path(path);
  if (!name) return name.error();
  const bool writes = has(flags, OpenFlags::kWrite);
  if (!writes && !has(flags, OpenFlags::kRead)) {
    return Error(std::errc::invalid_argument,
                 "open " + quote_path(path) + " for neither read nor write");
  }
  if (has(flags, OpenFlags::kTruncate) && !writes) {
    return Error(std::errc::invalid_argument,
                 "open " + quote_path(path) + ": kTruncate needs kWrite");
  }
  if (const StoreVerdict verdict = ask_hook(StoreOp::kOpen, *name, 0, 0, IoMode::kWait);
      verdict.error) {
    return Error(verdict.error, "open " + quote_path(path));
  }

  OpenedObject opened;
  std::shared_ptr<MemoryObject> object;
  {
    sync::MutexLock lock(mutex_);
    if (const auto found = objects_.find(*name); found != objects_.end()) {
      if (has(flags, OpenFlags::kCreate | OpenFlags::kExclusive)) {
        return Error(std::errc::file_exists, "create " + quote_path(path));
      }
      object = found->second;
    } else {
      if (!has(flags, OpenFlags::kCreate)) {
        return Error(std::errc::no_such_file_or_directory, "open " + quote_path(path));
      }
      object = make_object(*name, mode);
      opened.created = true;
    }
    opened.handle = {++last_handle_};
    handles_.emplace(opened.handle.value, OpenObject{object, flags});
  }
  if (has(flags, OpenFlags::kTruncate) && !opened.created) {
    QUIRE_CHECK(!object->truncate(0).error);
  }
  opened.id = object->id();
  opened.stat = object->stat();
  return opened;
}

Status MemoryStoreImpl::close(ObjectHandle object) {
  sync::MutexLock lock(mutex_);
  if (handles_.erase(object.value) == 0) {
    return Error(std::errc::bad_file_descriptor, "close an object that is not open");
  }
  return {};
}

Result<ObjectStat> MemoryStoreImpl::stat(ObjectHandle object) {
  const OpenObject open = find(object);
  if (!open.object) {
    return Error(std::errc::bad_file_descriptor, "stat an object that is not open");
  }
  return open.object->stat();
}

Status MemoryStoreImpl::set_times(ObjectHandle object, const TimeSpec* atime,
                                  const TimeSpec& mtime) {
  const OpenObject open = find(object);
  if (!open.object) {
    return Error(std::errc::bad_file_descriptor,
                 "set the time stamps of an object that is not open");
  }
  open.object->set_times(atime, mtime);
  return {};
}

void MemoryStoreImpl::read(ObjectHandle object, std::uint64_t offset,
                           std::span<const Buffer> buffers, IoMode mode, IoDone& done) noexcept {
  Request request;
  request.op = StoreOp::kRead;
  request.mode = mode;
  request.needs = OpenFlags::kRead;
  request.offset = offset;
  request.length = total_bytes(buffers);
  request.into = buffers;
  request.done = &done;
  submit(object, std::move(request));
}

void MemoryStoreImpl::write(ObjectHandle object, std::uint64_t offset,
                            std::span<const ConstBuffer> buffers, IoMode mode,
                            IoDone& done) noexcept {
  Request request;
  request.op = StoreOp::kWrite;
  request.mode = mode;
  request.needs = OpenFlags::kWrite;
  request.offset = offset;
  request.length = total_bytes(buffers);
  request.from = buffers;
  request.done = &done;
  submit(object, std::move(request));
}

void MemoryStoreImpl::truncate(ObjectHandle object, std::uint64_t size_bytes,
                               IoDone& done) noexcept {
  Request request;
  request.op = StoreOp::kTruncate;
  request.needs = OpenFlags::kWrite;
  request.offset = size_bytes;
  request.done = &done;
  submit(object, std::move(request));
}

void MemoryStoreImpl::sync(ObjectHandle object, SyncKind kind, IoDone& done) noexcept {
  Request request;
  request.op = StoreOp::kSync;
  request.sync = kind;
  request.done = &done;
  submit(object, std::move(request));
}

void MemoryStoreImpl::cut(ObjectHandle object, Cut kind, std::uint64_t offset, std::uint64_t length,
                          IoDone& done) noexcept {
  Request request;
  request.op = StoreOp::kCut;
  request.needs = OpenFlags::kWrite;
  request.offset = offset;
  request.length = length;
  request.cut = kind;
  request.done = &done;
  submit(object, std::move(request));
}

void MemoryStoreImpl::reserve(ObjectHandle object, std::uint64_t offset, std::uint64_t length,
                              IoDone& done) noexcept {
  if (!options_.reserves_space) {
    Store::reserve(object, offset, length, done);
    return;
  }
  Request request;
  request.op = StoreOp::kReserve;
  request.needs = OpenFlags::kWrite;
  request.offset = offset;
  request.length = length;
  request.done = &done;
  submit(object, std::move(request));
}

void MemoryStoreImpl::reserve_pages(ObjectHandle object, SpaceRequest& space, IoMode mode,
                                    IoDone& done) noexcept {
  if (!options_.reserves_space) {
    Store::reserve_pages(object, space, mode, done);
    return;
  }
  Request request;
  request.op = StoreOp::kReserve;
  request.mode = mode;
  request.needs = OpenFlags::kWrite;
  request.offset = space.offset + space.first * limits::kPageBytes;
  request.length = (space.end - space.first) * limits::kPageBytes;
  request.space = &space;
  request.done = &done;
  submit(object, std::move(request));
}

void MemoryStoreImpl::release(ObjectHandle object, std::uint64_t offset, std::uint64_t length,
                              IoDone& done) noexcept {
  if (!options_.reserves_space) {
    Store::release(object, offset, length, done);
    return;
  }
  Request request;
  request.op = StoreOp::kRelease;
  request.needs = OpenFlags::kWrite;
  request.offset = offset;
  request.length = length;
  request.done = &done;
  submit(object, std::move(request));
}

StoreVerdict MemoryStoreImpl::ask_hook(StoreOp op, const std::string& path, std::uint64_t offset,
                                       std::uint64_t length, IoMode mode) const {
  std::shared_ptr<const Hook> hook;
  {
    sync::MutexLock lock(mutex_);
    hook = hook_;
  }
  return hook != nullptr ? (*hook)(StoreRequest{op, path, offset, length, mode}) : StoreVerdict{};
}

void MemoryStoreImpl::submit(ObjectHandle handle, Request request) {
  OpenObject open = find(handle);
  if (!open.object || !has(open.flags, request.needs)) {
    request.done->io_done(error(std::errc::bad_file_descriptor), 0);
    return;
  }
  request.object = std::move(open.object);
  simulated_pause();
  request.verdict =
      ask_hook(request.op, request.object->path(), request.offset, request.length, request.mode);

  if (request.verdict.hold) {
    if (request.verdict.hold_answer_only) carry_out(request);
    {
      sync::MutexLock lock(mutex_);
      if (held_.size() < limits::kStoreRequestsMax) {
        held_.push_back(std::move(request));
        return;
      }
    }
    request.done->io_done(Errc::kBusy, 0);
    return;
  }
  if (options_.latency.count() == 0) {
    answer(std::move(request));
    return;
  }
  const auto due = sync::deadline_after(options_.latency);
  if (request.mode == IoMode::kWait) {
    sync::Parker parker;
    static_cast<void>(parker.park_until({.deadline = due}));
    answer(std::move(request));
    return;
  }
  if (kSimulated && request.op == StoreOp::kRead && sync::random_u64() % 2 == 0) {
    carry_out(request);
  }
  IoDone& done = *request.done;
  if (!timer_.submit(due, [this, r = std::move(request)] { answer(r); })) {
    done.io_done(Errc::kBusy, 0);
  }
}

void MemoryStoreImpl::carry_out(Request& request) const {
  MemoryObject& object = *request.object;
  request.carried_out = true;
  const StoreVerdict& verdict = request.verdict;
  if (verdict.error && request.op == StoreOp::kSync && verdict.drop_unsynced) object.revert();
  if (!verdict.error || verdict.change_then_fail) request.outcome = outcome_of(request);
  if (verdict.error) request.outcome = {verdict.error, 0};
}

IoOutcome MemoryStoreImpl::outcome_of(const Request& request) {
  MemoryObject& object = *request.object;
  switch (request.op) {
    case StoreOp::kRead:
      return object.read(request.offset, request.into);
    case StoreOp::kWrite:
      return object.write(request.offset, request.from);
    case StoreOp::kTruncate:
      return object.truncate(request.offset);
    case StoreOp::kSync:
      return object.sync(request.sync);
    case StoreOp::kCut:
      return object.cut(request.cut, request.offset, request.length);
    case StoreOp::kReserve:
      return request.space != nullptr ? object.reserve_pages(*request.space)
                                      : object.reserve(request.offset, request.length);
    case StoreOp::kRelease:
      return object.release(request.offset, request.length);
    case StoreOp::kOpen:
      break;
  }
  QUIRE_CHECK(false && "an open is no request");
  return {};
}

// By value: io_done may end the store, and nothing of it is touched afterwards.
void MemoryStoreImpl::answer(Request request) const {
  if (!request.carried_out) carry_out(request);
  request.object.reset();
  simulated_pause();
  request.done->io_done(request.outcome.error, request.outcome.bytes);
}

void MemoryStoreImpl::set_hook(std::function<StoreVerdict(const StoreRequest&)> hook) {
  auto fresh = hook ? std::make_shared<const Hook>(std::move(hook)) : nullptr;
  sync::MutexLock lock(mutex_);
  hook_.swap(fresh);
}

std::size_t MemoryStoreImpl::release_held(std::size_t count) {
  std::deque<Request> released;
  {
    sync::MutexLock lock(mutex_);
    while (!held_.empty() && released.size() < count) {
      released.push_back(std::move(held_.front()));
      held_.pop_front();
    }
  }
  const std::size_t released_count = released.size();
  while (!released.empty()) {
    Request request = std::move(released.front());
    released.pop_front();
    answer(std::move(request));
  }
  return released_count;
}

std::size_t MemoryStoreImpl::held() const {
  sync::MutexLock lock(mutex_);
  return held_.size();
}

std::vector<std::byte> MemoryStoreImpl::contents(const std::string& path) const {
  const std::shared_ptr<MemoryObject> object = find_path(path);
  return object ? object->contents() : std::vector<std::byte>{};
}

std::vector<std::byte> MemoryStoreImpl::durable_contents(const std::string& path) const {
  const std::shared_ptr<MemoryObject> object = find_path(path);
  return object ? object->durable_contents() : std::vector<std::byte>{};
}

void MemoryStoreImpl::poke(const std::string& path, std::vector<std::byte> bytes) {
  const Result<std::string> name = normalise_path(path);
  QUIRE_CHECK(name.ok());
  std::shared_ptr<MemoryObject> object;
  {
    sync::MutexLock lock(mutex_);
    const auto found = objects_.find(*name);
    object = found == objects_.end() ? make_object(*name, 0644) : found->second;
  }
  object->replace(bytes);
}

void MemoryStoreImpl::link(const std::string& existing, const std::string& path) {
  const std::shared_ptr<MemoryObject> object = find_path(existing);
  const Result<std::string> name = normalise_path(path);
  QUIRE_CHECK(object && name.ok());
  object->add_link();
  sync::MutexLock lock(mutex_);
  const bool added = objects_.emplace(*name, object).second;
  QUIRE_CHECK(added);
}

void MemoryStoreImpl::crash() {
  std::vector<std::shared_ptr<MemoryObject>> objects;
  {
    sync::MutexLock lock(mutex_);
    QUIRE_CHECK(held_.empty());
    for (const auto& [path, object] : objects_) objects.push_back(object);
  }
  for (const auto& object : objects) object->revert();
}

void MemoryStoreImpl::set_capacity(std::uint64_t bytes) {
  quota_.set_limit_pages(capacity_pages(bytes));
}

}  // namespace quire::store

namespace quire {

std::shared_ptr<MemoryStore> MemoryStore::create(MemoryStoreOptions options) {
  return std::make_shared<store::MemoryStoreImpl>(options);
}

}  // namespace quire
