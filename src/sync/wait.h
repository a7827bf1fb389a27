// How a wait may end. Every wait of the engine takes a WaitLimit and none is without a way out.
#ifndef QUIRE_SYNC_WAIT_H_
#define QUIRE_SYNC_WAIT_H_

#include <stop_token>
#include <system_error>

#include "quire/error.h"
#include "sync/clock.h"

namespace quire::sync {

struct WaitLimit {
  Clock::time_point deadline = Clock::kNever;
  std::stop_token stop = {};

  // The wait may end before what is waited for: then the store must hold neither the thread nor memory of
  // whoever waits.
  bool may_leave() const noexcept { return stop.stop_possible() || deadline != Clock::kNever; }
};

enum class WaitStatus { kReady, kTimedOut, kInterrupted };

// Zero, Errc::kTimedOut or Errc::kInterrupted.
inline std::error_code to_error(WaitStatus status) noexcept {
  switch (status) {
    case WaitStatus::kReady:
      return {};
    case WaitStatus::kTimedOut:
      return Errc::kTimedOut;
    case WaitStatus::kInterrupted:
      return Errc::kInterrupted;
  }
  return Errc::kInterrupted;
}

}  // namespace quire::sync

#endif  // QUIRE_SYNC_WAIT_H_
