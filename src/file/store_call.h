// StoreCall: one request to the store that somebody waits for and may give up on: truncate, sync,
// reserve. What must happen when the request ends happens in `ended()`, in the thread that ends it,
// whether anybody waits still or not. A call may be of several requests, one after the other: next(), and
// after a failure mend().
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
  using Request = cache::FilePages::Request;

  // `pages`: the file whose handle is used; kept until the request has ended.
  explicit StoreCall(std::shared_ptr<cache::FilePages> pages, Request kind = Request::kChanges)
      : pages_(std::move(pages)), kind_(kind) {
    pages_->begin_request(kind_);
  }
  StoreCall(const StoreCall&) = delete;
  StoreCall& operator=(const StoreCall&) = delete;

  // kReady: the request has ended, and the call is the caller's, to look at and to delete. Else it goes on
  // alone and deletes itself.
  static sync::WaitStatus wait(StoreCall* call, const sync::WaitLimit& limit) {
    const sync::WaitStatus status = call->parker_.park_until(limit);
    if (status == sync::WaitStatus::kReady) return status;
    if (!call->left_.exchange(true)) return status;
    call->parker_.park();  // it ended after all
    return sync::WaitStatus::kReady;
  }
  // Nobody waits for it: it goes on alone. REQUIRES: it was not submitted yet.
  void set_alone() noexcept { left_.store(true); }
  // The error of the request, or Errc::kTimedOut or kInterrupted: then it goes on alone.
  static std::error_code wait_and_disown(StoreCall* call, const sync::WaitLimit& limit) {
    const sync::WaitStatus status = wait(call, limit);
    if (status != sync::WaitStatus::kReady) return sync::to_error(status);
    const std::error_code error = call->error_;
    delete call;
    return error;
  }

  void io_done(std::error_code error, std::size_t bytes) noexcept final {
    if (mending_) {
      mended(error);
    } else {
      if (!error) error = check(bytes);
      if (!error && next()) return;  // perhaps deleted by now
      error_ = error;
      bytes_ = bytes;
      mending_ = static_cast<bool>(error);
      if (mending_ && mend()) return;
    }
    ended(error_);
    // Whoever waits does not go on before unpark(). If nobody does, what is held goes before the file
    // counts as idle.
    const std::shared_ptr<cache::FilePages> pages = pages_;
    const Request kind = kind_;
    const bool left = left_.exchange(true);
    if (left) delete this;
    pages->end_request(kind);
    if (!left) parker_.unpark();
  }

 protected:
  virtual ~StoreCall() = default;
  // Of the last request but those of mend(), once it has ended.
  std::error_code error() const noexcept { return error_; }
  std::size_t bytes() const noexcept { return bytes_; }
  // A request succeeded with so many bytes: an error if that is too few.
  virtual std::error_code check(std::size_t /*bytes*/) const noexcept { return {}; }
  // A request succeeded. Submits the next one of the call, not with IoMode::kWait, and returns true; or
  // there is none. Must not block.
  virtual bool next() noexcept { return false; }
  // A request failed. Submits one, not with IoMode::kWait, that undoes what it may have left, and returns
  // true; or there is nothing to undo. Must not block.
  virtual bool mend() noexcept { return false; }
  // ... and how that one ended.
  virtual void mended(std::error_code /*error*/) noexcept {}
  // The last request ended, or the first that failed. Must not block.
  virtual void ended(std::error_code /*error*/) noexcept {}

 private:
  const std::shared_ptr<cache::FilePages> pages_;
  const Request kind_;
  bool mending_ = false;
  std::error_code error_;
  std::size_t bytes_ = 0;
  sync::Atomic<bool> left_{false};  // by one of the two
  sync::Parker parker_;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_STORE_CALL_H_
