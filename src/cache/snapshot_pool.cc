#include "cache/snapshot_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "sync/check.h"

namespace quire::cache {

Result<std::unique_ptr<SnapshotPool>> SnapshotPool::create(std::size_t count,
                                                           std::size_t buffer_bytes) {
  void* const memory = mmap(nullptr, count * buffer_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return Error(std::error_code(errno, std::generic_category()), "mapping writeback's buffers");
  }
  (void)madvise(memory, count * buffer_bytes, MADV_DONTFORK);
  return std::unique_ptr<SnapshotPool>(
      new SnapshotPool(count, buffer_bytes, static_cast<std::byte*>(memory)));
}

SnapshotPool::SnapshotPool(std::size_t count, std::size_t buffer_bytes, std::byte* memory)
    : buffer_bytes_(buffer_bytes), mapped_bytes_(count * buffer_bytes), memory_(memory) {
  sync::MutexLock lock(mutex_);
  for (std::size_t i = 0; i < count; ++i) free_.push_back(memory + i * buffer_bytes);
  out_since_.assign(count, sync::Clock::kNever);
}

SnapshotPool::~SnapshotPool() {
  QUIRE_CHECK(free_.size() * buffer_bytes_ == mapped_bytes_);
  munmap(memory_, mapped_bytes_);
}

std::byte* SnapshotPool::try_acquire() noexcept {
  sync::MutexLock lock(mutex_);
  if (free_.empty()) return nullptr;
  std::byte* const buffer = free_.back();
  free_.pop_back();
  note_out(buffer, sync::Clock::coarse_now());
  return buffer;
}

std::byte* SnapshotPool::acquire(const sync::WaitLimit& limit, sync::WaitStatus& status) {
  Waiter waiter;
  {
    sync::MutexLock lock(mutex_);
    if (!free_.empty()) {
      std::byte* const buffer = free_.back();
      free_.pop_back();
      note_out(buffer, sync::Clock::coarse_now());
      status = sync::WaitStatus::kReady;
      return buffer;
    }
    (last_ != nullptr ? last_->next : first_) = &waiter;
    last_ = &waiter;
  }
  status = waiter.parker.park_until(limit);
  if (status == sync::WaitStatus::kReady) return waiter.given;
  sync::MutexLock lock(mutex_);
  if (waiter.given != nullptr) {  // given at the last moment
    status = sync::WaitStatus::kReady;
    return waiter.given;
  }
  Waiter* before = nullptr;
  for (Waiter* w = first_; w != &waiter; w = w->next) before = w;
  (before != nullptr ? before->next : first_) = waiter.next;
  if (last_ == &waiter) last_ = before;
  return nullptr;
}

void SnapshotPool::release(std::byte* buffer) noexcept {
  sync::MutexLock lock(mutex_);
  Waiter* const waiter = first_;
  note_out(buffer, waiter == nullptr ? sync::Clock::kNever : sync::Clock::coarse_now());
  if (waiter == nullptr) {
    free_.push_back(buffer);
    return;
  }
  first_ = waiter->next;
  if (first_ == nullptr) last_ = nullptr;
  waiter->given = buffer;
  waiter->parker.unpark();
}

void SnapshotPool::note_out(std::byte* buffer, sync::Clock::time_point since) noexcept {
  out_since_[static_cast<std::size_t>(buffer - memory_) / buffer_bytes_] = since;
}

sync::Clock::time_point SnapshotPool::out_since() const noexcept {
  sync::MutexLock lock(mutex_);
  return *std::min_element(out_since_.begin(), out_since_.end());
}

}  // namespace quire::cache
