// SnapshotPool: the buffers through which writeback leaves. A page is copied into one before its
// request goes to the store, so that writers need not wait for IO and the store never sees bytes change
// under it; neighbours are copied side by side, so that they leave as one request.
//
// A fixed number of buffers, paid from the budget. Who wants one waits in turn, within his limit.
#ifndef QUIRE_CACHE_SNAPSHOT_POOL_H_
#define QUIRE_CACHE_SNAPSHOT_POOL_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "quire/result.h"
#include "sync/clock.h"
#include "sync/mutex.h"
#include "sync/parker.h"
#include "sync/wait.h"

namespace quire::cache {

class SnapshotPool {
 public:
  // `count` buffers of `buffer_bytes` each, page-aligned.
  static Result<std::unique_ptr<SnapshotPool>> create(std::size_t count, std::size_t buffer_bytes);
  ~SnapshotPool();
  SnapshotPool(const SnapshotPool&) = delete;
  SnapshotPool& operator=(const SnapshotPool&) = delete;

  // A buffer, or null with the reason in `status`.
  std::byte* acquire(const sync::WaitLimit& limit, sync::WaitStatus& status);
  std::byte* try_acquire() noexcept;
  void release(std::byte* buffer) noexcept;

  // When the buffer was handed out that is out longest; kNever if none is out.
  sync::Clock::time_point out_since() const noexcept;

  std::size_t buffer_bytes() const noexcept { return buffer_bytes_; }

 private:
  struct Waiter {
    sync::Parker parker;
    std::byte* given = nullptr;
    Waiter* next = nullptr;
  };
  SnapshotPool(std::size_t count, std::size_t buffer_bytes, std::byte* memory);
  void note_out(std::byte* buffer, sync::Clock::time_point since) noexcept REQUIRES(mutex_);

  const std::size_t buffer_bytes_;
  const std::size_t mapped_bytes_;
  std::byte* const memory_;
  mutable sync::Mutex mutex_;
  std::vector<std::byte*> free_ GUARDED_BY(mutex_);
  std::vector<sync::Clock::time_point> out_since_
      GUARDED_BY(mutex_);  // by buffer; kNever: it is in
  Waiter* first_ GUARDED_BY(mutex_) = nullptr;
  Waiter* last_ GUARDED_BY(mutex_) = nullptr;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_SNAPSHOT_POOL_H_
