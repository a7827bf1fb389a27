// ReserveCall: one request to the store for space for pages of a file (reserve.h), and what its answer is to the
// file's book.
//
// Who calls: reserve() and ParkedReserve, who hold the write range of all pages that are asked about.
#ifndef QUIRE_FILE_RESERVE_CALL_H_
#define QUIRE_FILE_RESERVE_CALL_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "cache/block_holders.h"
#include "file/inode.h"
#include "file/store_call.h"
#include "quire/store.h"

namespace quire::file {

class ReserveCall : public StoreCall {
 public:
  // `owner` holds the write range, handed over, and is kept until the store has answered.
  ReserveCall(const std::shared_ptr<Inode>& inode, std::shared_ptr<void> owner,
              const SpaceRequest& request)
      : StoreCall(inode), inode_(inode), owner_(std::move(owner)), request_(request) {}

  void submit(IoMode mode) noexcept {
    // A store that accesses a mapping of these pages may come to wait for the write range.
    std::optional<cache::BlockHolders::Scope> scope;
    if (inode_->has_memory()) scope.emplace();
    inode_->cache().store().reserve_pages(inode_->write_handle(), request_, mode, *this);
  }

 protected:
  ~ReserveCall() override = default;
  void ended(std::error_code error) noexcept override {
    if (took()) inode_->note_reserved();
    inode_->space()->answered(request_, !error, cache::pages_of(inode_->size_bytes()));
    owner_.reset();
  }

 private:
  // Some page may have got space that it did not have.
  bool took() const noexcept {
    for (std::size_t page = request_.first; page < request_.end; ++page) {
      if (!request_.had_space[page]) return true;
    }
    return false;
  }

  const std::shared_ptr<Inode> inode_;
  std::shared_ptr<void> owner_;
  SpaceRequest request_;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_RESERVE_CALL_H_
