#include "file/parked_reserve.h"

#include <new>

#include "file/reserve.h"
#include "file/reserve_call.h"
#include "sync/check.h"

namespace quire::file {

// Nobody waits for it but the waker, which it wakes last.
class ParkedReserve::Call final : public ReserveCall {
 public:
  Call(ParkedReserve& parked, const SpaceRequest& request)
      : ReserveCall(parked.inode_, parked.held_, request), parked_(parked) {
    set_alone();
  }

 private:
  ~Call() override = default;
  void ended(std::error_code error) noexcept override {
    ReserveCall::ended(error);
    parked_.answer_ = error;
    parked_.waker_.wake();
  }

  ParkedReserve& parked_;
};

bool ParkedReserve::begin(std::uint64_t page) noexcept {
  QUIRE_DCHECK(inode_->space() != nullptr);
  page_ = page;
  asked_ = false;
  error_ = {};
  const std::uint64_t first = page / SpaceBook::kChunkPages * SpaceBook::kChunkPages;
  const std::uint64_t last_byte =
      cache::page_offset(first) + SpaceBook::kChunkPages * limits::kPageBytes - 1;
  try {
    held_ = std::make_shared<Held>(inode_);
  } catch (const std::bad_alloc&) {
    return end(std::make_error_code(std::errc::not_enough_memory));
  }
  if (!inode_->ranges().enqueue(held_->hold, cache::page_offset(first), last_byte,
                                sync::RangeMode::kExclusive, waker_)) {
    return false;
  }
  return locked();
}

bool ParkedReserve::resume() noexcept {
  return asked_ ? answered() : locked();
}

bool ParkedReserve::locked() noexcept {
  // A shift that was waited for may have failed midway.
  if (inode_->broken()) return end(std::make_error_code(std::errc::io_error));
  return ask(Ask::kMore);
}

bool ParkedReserve::ask(Ask what) noexcept {
  const std::uint64_t first = page_ / SpaceBook::kChunkPages * SpaceBook::kChunkPages;
  SpaceRequest request;
  if (!inode_->space()->next({page_, page_ + 1}, {first, first + SpaceBook::kChunkPages},
                             &request)) {
    return end({});
  }
  const std::size_t wanted = request.end;
  if (what == Ask::kMore) {
    inode_->space()->look_ahead(&request, cache::pages_of(inode_->size_bytes()));
  }
  wider_ = request.end > wanted;
  asked_ = true;
  auto* const call = new (std::nothrow) Call(*this, request);
  if (call == nullptr) return end(std::make_error_code(std::errc::not_enough_memory));
  call->submit(IoMode::kAsync);  // from here on it may be resumed
  return false;
}

bool ParkedReserve::answered() noexcept {
  if (answer_ && wider_) return ask(Ask::kPageAlone);
  if (answer_ == std::errc::operation_not_supported) {
    give_up_reserving(*inode_);
    return end({});
  }
  return end(answer_);
}

bool ParkedReserve::end(std::error_code error) noexcept {
  held_.reset();
  error_ = error;
  return true;
}

}  // namespace quire::file
