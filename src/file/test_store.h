// FrontStore: what tests of the file floor put before a memory store where they need a store that can be
// synced as a whole, that counts or refuses closes, or whose handles they want to see.
#ifndef QUIRE_FILE_TEST_STORE_H_
#define QUIRE_FILE_TEST_STORE_H_

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "quire/store_memory.h"

namespace quire::file {

class FrontStore final : public Store {
 public:
  explicit FrontStore(std::shared_ptr<MemoryStore> memory) : memory_(std::move(memory)) {}

  // Set while nothing is under way.
  bool syncs_store = true;
  std::function<Status()> on_sync_store;
  std::function<Status(ObjectHandle)> on_close;       // after the handle was closed
  std::function<void(ObjectHandle)> on_sync;          // before the request is passed on
  std::function<void(const TimeSpec&)> on_set_times;  // before it is carried out
  std::function<void()> on_stat;                      // before it is carried out
  std::function<void()> after_open;                   // before its result is returned

  std::size_t open_handles() const {
    const std::lock_guard lock(mutex_);
    return open_.size();
  }
  // Requests on handles that were not open.
  int bad_handles() const { return bad_handles_; }

  StoreTraits traits() const noexcept override {
    StoreTraits traits = memory_->traits();
    traits.syncs_store = syncs_store;
    return traits;
  }
  Result<OpenedObject> open(std::string_view path, OpenFlags flags, std::uint32_t mode) override {
    auto opened = memory_->open(path, flags, mode);
    if (opened.ok()) {
      const std::lock_guard lock(mutex_);
      open_.insert(opened->handle.value);
    }
    if (const auto then = after_open) then();
    return opened;
  }
  Status close(ObjectHandle object) override {
    {
      const std::lock_guard lock(mutex_);
      open_.erase(object.value);
    }
    Status closed = memory_->close(object);
    return closed.ok() && on_close ? on_close(object) : closed;
  }
  Result<ObjectStat> stat(ObjectHandle object) override {
    if (on_stat) on_stat();
    return memory_->stat(object);
  }
  void read(ObjectHandle object, std::uint64_t offset, std::span<const Buffer> buffers, IoMode mode,
            IoDone& done) noexcept override {
    look(object);
    memory_->read(object, offset, buffers, mode, done);
  }
  void write(ObjectHandle object, std::uint64_t offset, std::span<const ConstBuffer> buffers,
             IoMode mode, IoDone& done) noexcept override {
    look(object);
    memory_->write(object, offset, buffers, mode, done);
  }
  void truncate(ObjectHandle object, std::uint64_t size_bytes, IoDone& done) noexcept override {
    look(object);
    memory_->truncate(object, size_bytes, done);
  }
  void sync(ObjectHandle object, SyncKind kind, IoDone& done) noexcept override {
    look(object);
    if (on_sync) on_sync(object);
    memory_->sync(object, kind, done);
  }
  void reserve(ObjectHandle object, std::uint64_t offset, std::uint64_t length,
               IoDone& done) noexcept override {
    look(object);
    memory_->reserve(object, offset, length, done);
  }
  void reserve_pages(ObjectHandle object, SpaceRequest& request, IoMode mode,
                     IoDone& done) noexcept override {
    look(object);
    memory_->reserve_pages(object, request, mode, done);
  }
  void release(ObjectHandle object, std::uint64_t offset, std::uint64_t length,
               IoDone& done) noexcept override {
    look(object);
    memory_->release(object, offset, length, done);
  }
  void cut(ObjectHandle object, Cut kind, std::uint64_t offset, std::uint64_t length,
           IoDone& done) noexcept override {
    look(object);
    memory_->cut(object, kind, offset, length, done);
  }
  Status set_times(ObjectHandle object, const TimeSpec* atime, const TimeSpec& mtime) override {
    look(object);
    if (on_set_times) on_set_times(mtime);
    return memory_->set_times(object, atime, mtime);
  }
  Status sync_store() override { return on_sync_store ? on_sync_store() : Status{}; }

 private:
  void look(ObjectHandle object) {
    const std::lock_guard lock(mutex_);
    if (!open_.contains(object.value)) ++bad_handles_;
  }

  const std::shared_ptr<MemoryStore> memory_;
  mutable std::mutex mutex_;
  std::set<std::uint64_t> open_;
  std::atomic<int> bad_handles_{0};
};

}  // namespace quire::file

#endif  // QUIRE_FILE_TEST_STORE_H_
