// The library's threads: named, with every signal blocked, joined by their owner. In `sim` builds a
// Thread is a fiber of the scheduler.
//
// Thread-safety: start() from any thread; a Thread object belongs to one owner.
#ifndef QUIRE_SYNC_THREAD_H_
#define QUIRE_SYNC_THREAD_H_

#include <functional>
#include <memory>

#include "quire/result.h"

namespace quire::sync {

class Thread {
 public:
  Thread() noexcept;
  Thread(Thread&&) noexcept;
  // REQUIRES: *this is not joinable.
  Thread& operator=(Thread&&) noexcept;
  // REQUIRES: not joinable.
  ~Thread();

  // Starts a thread that runs `body`, which must not throw. `name`: at most 15 bytes, shown by ps
  // and gdb. Errors: EAGAIN.
  static Result<Thread> start(const char* name, std::function<void()> body);

  bool joinable() const noexcept;
  // REQUIRES: joinable, and not called by the thread itself.
  void join();

 private:
  struct State;
  explicit Thread(std::unique_ptr<State> state) noexcept;

  std::unique_ptr<State> state_;
};

// Lets another thread run. A yield point in the simulation.
void yield_thread() noexcept;

}  // namespace quire::sync

#endif  // QUIRE_SYNC_THREAD_H_
