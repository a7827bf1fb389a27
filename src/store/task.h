// What the engines of a host store carry out on other threads.
#ifndef QUIRE_STORE_TASK_H_
#define QUIRE_STORE_TASK_H_

#include <cstdint>
#include <span>
#include <system_error>

#include "quire/store.h"
#include "store/transfer.h"
#include "sync/gate.h"

namespace quire::store {

// Work for a WorkerPool. Deleted once run() has returned.
class Task {
 public:
  virtual ~Task() = default;
  // Does the work and answers.
  virtual void run() noexcept = 0;
};

// A transfer and who waits for it.
class TransferTask final : public Task {
 public:
  template <class Buffers>
  TransferTask(HostFile& file, std::uint64_t offset, const Buffers& buffers, IoDone& done) noexcept
      : transfer_(file, offset, buffers), done_(done) {}

  Transfer& transfer() { return transfer_; }
  void run() noexcept override {
    run_inline(transfer_);
    answer();
  }
  // What the transfer holds until it has ended.
  sync::GateToken& held() { return held_; }
  // REQUIRES: the transfer has ended.
  void answer() noexcept {
    held_.release();  // the file may be gone once it is known that this has ended
    done_.io_done(transfer_.error(), transfer_.bytes());
  }

 private:
  sync::GateToken held_;
  Transfer transfer_;
  IoDone& done_;
};

}  // namespace quire::store

#endif  // QUIRE_STORE_TASK_H_
