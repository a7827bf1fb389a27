#include "model/store_script.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace quire::model {
namespace {

thread_local bool bypassed = false;

unsigned bit(StoreOp op) {
  return 1u << static_cast<unsigned>(op);
}

}  // namespace

StoreBypass::StoreBypass() {
  bypassed = true;
}
StoreBypass::~StoreBypass() {
  bypassed = false;
}
bool StoreBypass::active() {
  return bypassed;
}

StoreScript::StoreScript(std::shared_ptr<MemoryStore> store) : store_(std::move(store)) {
  store_->set_hook([this](const StoreRequest& request) { return verdict(request); });
}

StoreScript::~StoreScript() {
  end();
  store_->set_hook({});
}

void StoreScript::begin(const std::optional<Failure>& failure) {
  const std::lock_guard lock(mutex_);
  failure_ = failure;
  seen_ = 0;
  struck_.clear();
  kinds_seen_ = 0;
  owner_ = std::this_thread::get_id();
}

void StoreScript::interrupt(StoreOp op, const std::string& path, std::function<void()> act) {
  const std::lock_guard lock(mutex_);
  interrupt_ = Interrupt{op, path, std::move(act)};
}

void StoreScript::end() {
  std::size_t held = 0;
  {
    const std::lock_guard lock(mutex_);
    failure_.reset();
    interrupt_.reset();
    held = std::exchange(held_, 0);
  }
  // A request that was told to be held may be on its way to where it is held.
  while (held > 0) {
    const std::size_t released = store_->release_held(held);
    held -= released;
    if (released == 0) std::this_thread::yield();
  }
}

void StoreScript::die() {
  const std::lock_guard lock(mutex_);
  dead_ = true;
}

void StoreScript::revive() {
  const std::lock_guard lock(mutex_);
  dead_ = false;
}

StoreVerdict StoreScript::verdict(const StoreRequest& request) {
  if (StoreBypass::active()) return {};
  std::unique_lock lock(mutex_);
  if (interrupt_ && interrupt_->op == request.op && interrupt_->path == request.path &&
      std::this_thread::get_id() == owner_) {
    const std::function<void()> act = std::move(interrupt_->act);
    interrupt_.reset();
    lock.unlock();
    act();
    lock.lock();
  }
  kinds_seen_ |= bit(request.op);
  StoreVerdict verdict;
  const bool changes = request.op == StoreOp::kWrite || request.op == StoreOp::kTruncate ||
                       request.op == StoreOp::kReserve || request.op == StoreOp::kCut;
  if (dead_ && changes) {
    verdict.error = std::make_error_code(std::errc::io_error);
    struck_.push_back({request.op, request.path, verdict.error, true, false});
    return verdict;
  }
  const auto goes_through = [&] {
    if (request.op == StoreOp::kSync) synced_.insert(request.path);
    return StoreVerdict{};
  };
  if (!failure_ || failure_->op != request.op) return goes_through();
  const unsigned turn = seen_++;
  if (turn < failure_->skip || turn >= failure_->skip + failure_->count) return goes_through();
  const bool own = std::this_thread::get_id() == owner_;
  if (failure_->hold) {
    verdict.hold = true;
    ++held_;
  } else {
    verdict.error = std::make_error_code(failure_->error);
    verdict.drop_unsynced = failure_->drop;
  }
  struck_.push_back({request.op, request.path, verdict.error, own, verdict.drop_unsynced});
  return verdict;
}

bool StoreScript::struck(StoreOp op) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(struck_.begin(), struck_.end(), [&](const Struck& s) { return s.op == op; });
}

bool StoreScript::failed_own(StoreOp op) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(struck_.begin(), struck_.end(),
                     [&](const Struck& s) { return s.op == op && s.by_caller && s.error; });
}

bool StoreScript::sync_failed(const std::string& path, bool* dropped) const {
  const std::lock_guard lock(mutex_);
  bool failed = false;
  *dropped = false;
  for (const Struck& s : struck_) {
    if (s.op != StoreOp::kSync || !s.error || s.path != path) continue;
    failed = true;
    *dropped |= s.dropped;
  }
  return failed;
}

std::set<std::string> StoreScript::take_synced() {
  const std::lock_guard lock(mutex_);
  return std::exchange(synced_, {});
}

bool StoreScript::gave(std::error_code error) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(struck_.begin(), struck_.end(),
                     [&](const Struck& s) { return s.error && s.error == error; });
}

bool StoreScript::saw(StoreOp op) const {
  const std::lock_guard lock(mutex_);
  return (kinds_seen_ & bit(op)) != 0;
}

}  // namespace quire::model
