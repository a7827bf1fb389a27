// CutCall: what truncate, allocate, punch, zero, insert and collapse have in common.
//
//   made -- run(): prepare() takes the locks -> requests to the store, one after the other: next()
//                                             -> done() or failed() -> all locks are given back
//
// A kind of cut is a class: what it locks, what it asks of the store, what it makes of the answer.
//
// Invariants:
//  1. If prepare() fails nothing has been asked of the store, and the file is as it was.
//  2. From the first request on the locks are the operation's: if the caller gives up, the thread that
//     ends the last request runs done() or failed(), and gives the locks back.
//  3. A cut waits for those who use a page for as long as its caller allows, and never answers EBUSY.
//
// Who calls: cuts (resize.cc, reshape.cc), holding nothing.
#ifndef QUIRE_FILE_CUT_CALL_H_
#define QUIRE_FILE_CUT_CALL_H_

#include <cstdint>
#include <memory>
#include <system_error>

#include "file/inode.h"
#include "file/shoot_down.h"
#include "file/store_call.h"
#include "sync/wait.h"

namespace quire::file {

class CutCall : public StoreCall {
 public:
  // Runs `call`, made with new, from its beginning to its end, and deletes it. Errors: those of prepare(),
  // the store's, Errc::kTimedOut, Errc::kInterrupted; after those two of the store's answer it goes on alone.
  static std::error_code run(CutCall* call, const sync::WaitLimit& limit);

 protected:
  struct Bytes {
    std::uint64_t first = 0;
    std::uint64_t last = ~std::uint64_t{0};
  };
  static constexpr std::uint64_t kLast = ~std::uint64_t{0};

  explicit CutCall(const std::shared_ptr<Inode>& inode)
      : StoreCall(inode), inode_(inode), down_(std::make_shared<ShotDown>(inode)) {}
  ~CutCall() override = default;

  // Takes the write range that `needed`, given the size of the file, says: the same before it is held and
  // after.
  template <class Needed>
  std::error_code lock_bytes(const Needed& needed, const sync::WaitLimit& limit) {
    for (;;) {
      const Bytes held = needed(inode_->size_bytes());
      const std::error_code error = down_->lock_bytes(held.first, held.last, limit);
      if (error) return error;
      // The size may have changed while we waited.
      const Bytes now = needed(inode_->size_bytes());
      if (now.first >= held.first && now.last <= held.last) return {};
      down_->unlock_bytes();
    }
  }
  // Blocks and seals the pages [first, last] in those bytes.
  std::error_code lock_pages(std::uint64_t first, std::uint64_t last,
                             const sync::WaitLimit& limit) {
    return down_->lock_pages(first, last, limit, cache::SealedRange::kAsLongAsItTakes);
  }
  Store& store() noexcept { return inode_->cache().store(); }
  ObjectHandle handle() const noexcept { return inode_->write_handle(); }

  const std::shared_ptr<Inode> inode_;
  std::shared_ptr<ShotDown> down_;

 private:
  virtual std::error_code prepare(const sync::WaitLimit& limit) = 0;
  // The store has done all that next() asked of it. Must not block.
  virtual void done() noexcept = 0;
  // A request failed. Must not block.
  virtual void failed(std::error_code /*error*/) noexcept {}

  void ended(std::error_code error) noexcept final;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_CUT_CALL_H_
