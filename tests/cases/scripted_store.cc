#include "cases/scripted_store.h"

#include <utility>

namespace quire::cases {
namespace {

template <class Buffers>
std::uint64_t length_of(const Buffers& buffers) {
  std::uint64_t bytes = 0;
  for (const auto& buffer : buffers) bytes += buffer.size();
  return bytes;
}

}  // namespace

void ScriptedStore::set_hook(Hook hook) {
  const std::lock_guard lock(mutex_);
  hook_ = std::move(hook);
}

void ScriptedStore::set_stamp_hook(std::function<void()> hook) {
  const std::lock_guard lock(mutex_);
  stamp_hook_ = std::move(hook);
}

std::size_t ScriptedStore::release_held() {
  std::vector<std::function<void(IoMode)>> held;
  {
    const std::lock_guard lock(mutex_);
    held.swap(held_);
  }
  for (const auto& pass : held) pass(IoMode::kAsync);
  return held.size();
}

std::size_t ScriptedStore::held() const {
  const std::lock_guard lock(mutex_);
  return held_.size();
}

Result<OpenedObject> ScriptedStore::open(std::string_view path, OpenFlags flags,
                                         std::uint32_t mode) {
  Hook hook;
  {
    const std::lock_guard lock(mutex_);
    hook = hook_;
  }
  if (hook) {
    const StoreVerdict verdict = hook({StoreOp::kOpen, std::string(path), 0, 0, IoMode::kWait});
    if (verdict.error) return Error(verdict.error, "open " + std::string(path));
  }
  auto opened = inner_->open(path, flags, mode);
  if (opened.ok()) {
    const std::lock_guard lock(mutex_);
    paths_[opened->handle.value] = path;
    if (const auto id = ids_.find(std::string(path)); id != ids_.end()) opened->id = id->second;
  }
  return opened;
}

void ScriptedStore::set_id(const std::string& path, ObjectId id) {
  const std::lock_guard lock(mutex_);
  ids_[path] = id;
}

Status ScriptedStore::close(ObjectHandle object) {
  {
    const std::lock_guard lock(mutex_);
    paths_.erase(object.value);
  }
  return inner_->close(object);
}

void ScriptedStore::decide(ObjectHandle object, StoreRequest request, IoDone& done,
                           const std::function<void(IoMode)>& pass) noexcept {
  Hook hook;
  {
    const std::lock_guard lock(mutex_);
    hook = hook_;
    request.path = paths_[object.value];
  }
  const StoreVerdict verdict = hook ? hook(request) : StoreVerdict{};
  if (verdict.error) {
    done.io_done(verdict.error, 0);
  } else if (verdict.hold) {
    const std::lock_guard lock(mutex_);
    held_.push_back(pass);
  } else {
    pass(request.mode);
  }
}

void ScriptedStore::read(ObjectHandle object, std::uint64_t offset, std::span<const Buffer> buffers,
                         IoMode mode, IoDone& done) noexcept {
  decide(object, {StoreOp::kRead, {}, offset, length_of(buffers), mode}, done,
         [=, this, &done](IoMode how) { inner_->read(object, offset, buffers, how, done); });
}

void ScriptedStore::write(ObjectHandle object, std::uint64_t offset,
                          std::span<const ConstBuffer> buffers, IoMode mode,
                          IoDone& done) noexcept {
  decide(object, {StoreOp::kWrite, {}, offset, length_of(buffers), mode}, done,
         [=, this, &done](IoMode how) { inner_->write(object, offset, buffers, how, done); });
}

void ScriptedStore::truncate(ObjectHandle object, std::uint64_t size_bytes, IoDone& done) noexcept {
  decide(object, {StoreOp::kTruncate, {}, size_bytes, 0, IoMode::kAsync}, done,
         [=, this, &done](IoMode) { inner_->truncate(object, size_bytes, done); });
}

void ScriptedStore::sync(ObjectHandle object, SyncKind kind, IoDone& done) noexcept {
  decide(object, {StoreOp::kSync, {}, 0, 0, IoMode::kAsync}, done,
         [=, this, &done](IoMode) { inner_->sync(object, kind, done); });
}

Status ScriptedStore::set_times(ObjectHandle object, const TimeSpec* atime, const TimeSpec& mtime) {
  std::function<void()> hook;
  {
    const std::lock_guard lock(mutex_);
    hook = stamp_hook_;
  }
  if (hook) hook();
  return inner_->set_times(object, atime, mtime);
}

Status ScriptedStore::sync_store() {
  Hook hook;
  {
    const std::lock_guard lock(mutex_);
    hook = hook_;
  }
  if (hook) {
    const StoreVerdict verdict = hook({StoreOp::kSync, {}, 0, 0, IoMode::kWait});
    if (verdict.error) return Error(verdict.error, "sync the store");
  }
  return inner_->sync_store();
}

}  // namespace quire::cases
