// Housekeeper: a thread that does one thing again and again until it is destroyed.
#ifndef QUIRE_MOUNT_HOUSEKEEPER_H_
#define QUIRE_MOUNT_HOUSEKEEPER_H_

#include <functional>
#include <memory>

#include "quire/result.h"
#include "sync/clock.h"
#include "sync/condition.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace quire::mount {

class Housekeeper {
 public:
  // Calls `work` every `interval`, first after one.
  static Result<std::unique_ptr<Housekeeper>> start(const char* name,
                                                    sync::Clock::duration interval,
                                                    std::function<void()> work) {
    std::unique_ptr<Housekeeper> keeper(new Housekeeper(interval, std::move(work)));
    Housekeeper* const self = keeper.get();
    auto thread = sync::Thread::start(name, [self] { self->run(); });
    if (!thread.ok()) return std::move(thread).error();
    keeper->thread_ = std::move(*thread);
    return keeper;
  }
  // Waits for the call under way.
  ~Housekeeper() {
    if (!thread_.joinable()) return;
    {
      sync::MutexLock lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Housekeeper(const Housekeeper&) = delete;
  Housekeeper& operator=(const Housekeeper&) = delete;

 private:
  Housekeeper(sync::Clock::duration interval, std::function<void()> work)
      : interval_(interval), work_(std::move(work)) {}

  void run() {
    sync::MutexLock lock(mutex_);
    while (!ending_) {
      const auto next = sync::deadline_after(interval_);
      while (!ending_ && changed_.wait_until(mutex_, next)) {
      }
      if (ending_) return;
      lock.unlock();
      work_();
      lock.lock();
    }
  }

  const sync::Clock::duration interval_;
  const std::function<void()> work_;
  sync::Mutex mutex_;
  sync::Condition changed_;
  bool ending_ GUARDED_BY(mutex_) = false;
  sync::Thread thread_;
};

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_HOUSEKEEPER_H_
