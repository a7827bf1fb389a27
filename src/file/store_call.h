// StoreCall: one request to the store that somebody waits for and may give up on: truncate, sync,
// reserve. What must happen when the request ends happens in `ended()`, in the thread that ends it,
// whether anybody waits still or not. A call may be of several requests, one after the other: next().
//
//   make on the heap, submit as an IoDone, then wait_and_disown(): the last of the two deletes it.
#ifndef QUIRE_FILE_STORE_CALL_H_
#define QUIRE_FILE_STORE_CALL_H_

#include <cstddef>
#include <memory>
#include <system_error>

#include "cache/file_pages.h"
#include "quire/store.h"
#include "sync/atomic.h"
#include "sync/parker.h"
#include "sync/wait.h"

namespace quire::file {

class StoreCall : public IoDone {
 public:
  // `pages`: the file whose handle is used; kept until the request has ended.
  explicit StoreCall(std::shared_ptr<cache::FilePages> pages) : pages_(std::move(pages)) {
    pages_->begin_request();
  }
  StoreCall(const StoreCall&) = delete;
  StoreCall& operator=(const StoreCall&) = delete;

  // The error of the request, or Errc::kTimedOut or kInterrupted: then it goes on alone.
  static std::error_code wait_and_disown(StoreCall* call, const sync::WaitLimit& limit) {
    const sync::WaitStatus status = call->parker_.park_until(limit);
    if (status != sync::WaitStatus::kReady) {
      if (!call->left_.exchange(true)) return sync::to_error(status);
      call->parker_.park();  // it ended after all
    }
    const std::error_code error = call->error_;
    delete call;
    return error;
  }

  void io_done(std::error_code error, std::size_t /*bytes*/) noexcept final {
    if (!error && next()) return;  // perhaps deleted by now
    error_ = error;
    ended(error);
    pages_->end_request();
    if (left_.exchange(true)) {
      delete this;
    } else {
      parker_.unpark();
    }
  }

 protected:
  virtual ~StoreCall() = default;
  // A request succeeded. Submits the next one of the call, not with IoMode::kWait, and returns true; or
  // there is none. Must not block.
  virtual bool next() noexcept { return false; }
  // The last request ended, or the first that failed. Must not block.
  virtual void ended(std::error_code /*error*/) noexcept {}

 private:
  const std::shared_ptr<cache::FilePages> pages_;
  std::error_code error_;
  sync::Atomic<bool> left_{false};  // by one of the two
  sync::Parker parker_;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_STORE_CALL_H_
