// FaultThread: the one thread that takes the faults of a Userfault, and hands each to whoever answers them.
// Whatever a fault may have to wait for is somebody else's to wait for: who ends that wait posts what is to be
// done next, and that is done on this thread too. So all that concerns faults is done in one place, one thing at
// a time.
//
//   a program's access --> kernel --> Userfault --+
//                                                 +--> FaultThread: FaultSink::fault(), Posted::run()
//   whoever has something done --> post() --------+
//
// Who calls: post() from any thread, holding whatever it likes: it takes no lock and waits for nothing. stop()
// from the owner.
//
// Invariants:
//  1. Each fault is handed over once, and each posting run once, in the order in which they came; faults and
//     postings have no order among each other. They take turns: kFaultsAtOnce faults at most, then what was
//     posted by then.
//  2. The thread sleeps for want of work only, until the sink's next tick(), and whoever posts to it wakes it
//     (posted_queue.h). What it calls must not wait, nor access a view.
//  3. Before it sleeps it looks for work for limits::kFaultSpin, giving way to whoever wants its processor: only if the
//     work before came as soon as that. To wake a processor that sleeps may take longer than all the rest of a fault.
//     Once somebody it gave way to has kept the processor for kFaultSpinLost, it sleeps without looking for
//     kFaultSpinPause: who sleeps is let in sooner than who gave way.
//  4. When stop() has returned, all that was posted before has been run, and each fault that was waiting to be
//     taken was handed over. Nobody takes later ones: the views go first, and their going wakes who waits.
#ifndef QUIRE_MAP_FAULT_THREAD_H_
#define QUIRE_MAP_FAULT_THREAD_H_

#include <sys/types.h>

#include <cstddef>
#include <memory>

#include "map/posted_queue.h"
#include "map/userfault.h"
#include "quire/result.h"
#include "sync/atomic.h"
#include "sync/clock.h"
#include "sync/thread.h"

namespace quire::map {

// Who answers faults. Called on the FaultThread.
class FaultSink {
 public:
  FaultSink() = default;
  FaultSink(const FaultSink&) = delete;
  FaultSink& operator=(const FaultSink&) = delete;

  // Answers, or sees to it that somebody will. Must not wait.
  virtual void fault(const Fault& fault) noexcept = 0;
  // Does what is due by now. When to be called again at the latest; it is called more often.
  virtual sync::Clock::time_point tick() noexcept { return sync::Clock::kNever; }

 protected:
  virtual ~FaultSink() = default;
};

class FaultThread {
 public:
  static constexpr std::size_t kFaultsAtOnce = 16;

  // Starts the thread, "quire-fault". Both arguments outlive it. Errors: EAGAIN, EMFILE.
  static Result<std::unique_ptr<FaultThread>> start(Userfault& userfault, FaultSink& sink);
  // As stop().
  ~FaultThread();
  FaultThread(const FaultThread&) = delete;
  FaultThread& operator=(const FaultThread&) = delete;

  // Has `posted` run, soon. REQUIRES: it is not posted already, and lives until it runs; stop() has not been
  // called, unless this is the thread itself.
  void post(Posted& posted) noexcept;
  // Ends the thread, once it has nothing left to do. Not on the thread itself.
  void stop() noexcept;

  // The caller is the thread. Its kernel id, once it runs; 0 before.
  bool is_here() const noexcept;
  pid_t id() const noexcept { return id_.load(); }
  // How often it was rung for, each a system call.
  std::size_t rings() const { return rings_.load(); }

 private:
  friend struct FaultThreadPeer;  // lets the tests hold a thread at a chosen place

  FaultThread(Userfault& userfault, FaultSink& sink, int bell)
      : userfault_(userfault), sink_(sink), bell_(bell) {}

  void run() noexcept;
  std::size_t work() noexcept;
  std::size_t spin(sync::Clock::time_point now, sync::Clock::time_point until) noexcept;
  void sleep(sync::Clock::time_point until) noexcept;
  void ring() noexcept;
  std::size_t hand_over() noexcept;
  std::size_t run_posted() noexcept;

  Userfault& userfault_;
  FaultSink& sink_;
  const int bell_;  // an eventfd: readable when there may be postings, or the end
  PostedQueue posted_;
  sync::Atomic<std::size_t> posting_{0};  // threads in post()
  sync::Atomic<bool> stopping_{false};
  sync::Atomic<pid_t> id_{0};
  sync::Atomic<std::size_t> rings_{0};
  sync::Clock::time_point spins_again_{};  // of the thread alone
  sync::Thread thread_;
};

}  // namespace quire::map

#endif  // QUIRE_MAP_FAULT_THREAD_H_
