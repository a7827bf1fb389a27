#include "file/store_sync.h"

#include <memory>
#include <utility>

#include "sync/parker.h"

namespace quire::file {

// Shared by the caller and the worker.
struct StoreSync::Call {
  explicit Call(StoreSync& whose) : owner(whose) {}

  void end(Status with) {
    result = std::move(with);
    owner.turn_.unlock(turn);
    ended.unpark();
  }

  StoreSync& owner;
  sync::RangeLock::Hold turn;
  Status result;
  sync::Parker ended;
};

Status StoreSync::run(InodeTable& inodes, WorkerPool& workers, const sync::WaitLimit& limit) {
  const char* const what = "syncing the store";
  auto call = std::make_shared<Call>(*this);
  sync::WaitStatus status =
      turn_.lock(call->turn, 0, ~std::uint64_t{0}, sync::RangeMode::kExclusive, limit);
  if (status != sync::WaitStatus::kReady) return Error(sync::to_error(status), what);

  if (!limit.may_leave()) {
    Status synced = inodes.sync_store();
    turn_.unlock(call->turn);
    return synced;
  }
  WorkerPool::Request request = [call, &inodes, what](std::error_code late) {
    call->end(late ? Status(Error(late, what)) : inodes.sync_store());
  };
  turn_.hand_over();
  if (!workers.accept(request, limit)) {
    turn_.unlock(call->turn);
    return Error(Errc::kBusy, what);
  }
  status = call->ended.park_until(limit);
  if (status != sync::WaitStatus::kReady) return Error(sync::to_error(status), what);
  return std::move(call->result);
}

}  // namespace quire::file
