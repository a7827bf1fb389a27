#include "model/meanwhile.h"

#include <chrono>
#include <optional>

namespace quire::model {
namespace {

using Clock = std::chrono::steady_clock;

// What waits for nobody has gone through by then, as a rule.
constexpr std::chrono::milliseconds kAnsweredWithin{1};

}  // namespace

void Meanwhile::begin() {
  begun_ = true;
  thread_ = std::thread([this] {
    access_ = plan_.stored.empty() ? load(plan_.address, plan_.loaded)
                                   : store(plan_.address, plan_.stored);
    done_ = true;
  });
  std::optional<Clock::time_point> asked;
  const auto service = file::FaultService::of_process(plan_.way);
  while (!done_) {
    if (!asked && service.ok() && (*service)->under_way() > 0) asked = Clock::now();
    if (asked && Clock::now() - *asked > kAnsweredWithin) return;
    std::this_thread::yield();
  }
}

const Access& Meanwhile::wait() {
  if (thread_.joinable()) thread_.join();
  return access_;
}

}  // namespace quire::model
