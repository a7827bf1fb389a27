#include "file/cut_call.h"

#include "cache/block_holders.h"

namespace quire::file {

std::error_code CutCall::run(CutCall* call, const sync::WaitLimit& limit) {
  const cache::BlockHolders::Scope scope;
  const std::shared_ptr<Inode> inode = call->inode_;
  std::error_code error = call->prepare(limit);
  if (error) {
    delete call;
    inode->end_request();
    return error;
  }
  call->down_->hand_over();
  const bool asked = call->next();
  if (asked) {
    error = wait_and_disown(call, limit);
  } else {
    // The store is asked nothing.
    call->ended({});
    delete call;
    inode->end_request();
  }
  if (asked && !error) inode->after_flush();
  return error;
}

void CutCall::ended(std::error_code error) noexcept {
  if (error) {
    failed(error);
  } else {
    done();
  }
  down_.reset();
}

}  // namespace quire::file
