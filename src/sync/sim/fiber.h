// Fiber: a thread of the simulated program. Owned by the Scheduler, which alone switches to it.
//
// States of a fiber:
//
//   started --> running <--> suspended --> ended
//                                |
//                                +-------> abandoned
//
//   running, suspended   Fiber::resume, Fiber::suspend
//   ended                the body has returned and the fiber's locals are destroyed
//   abandoned            Fiber::abandon: a failed run leaves it where it stands. Its stack is kept
//                        and nothing on it is destroyed, for unwinding it would run the program on.
#ifndef QUIRE_SYNC_SIM_FIBER_H_
#define QUIRE_SYNC_SIM_FIBER_H_

#include <boost/context/fiber.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sync/sim/hooks.h"

namespace quire::sync::sim {

class Fiber : public std::enable_shared_from_this<Fiber> {
 public:
  Fiber(std::uint32_t number, std::string name, std::function<void()> body);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  std::uint32_t number() const noexcept { return number_; }
  const std::string& name() const noexcept { return name_; }

  // Runs the fiber until it suspends itself or ends. REQUIRES: called from outside any fiber.
  void resume();
  // Back to resume()'s caller. REQUIRES: called by this fiber.
  void suspend();
  // Never to be resumed again; ended() is true from then on.
  void abandon();

  // Set once, when the fiber is over. A Thread joins by waiting for it.
  const bool& ended() const noexcept { return ended_; }
  void*& local(const void* key, void (*destroy)(void*));

  // The scheduler's notes on this fiber.
  Wait wait;                       // the operation it stands in front of
  bool fresh = true;               // has not come to a yield point since it started
  std::vector<const Fiber*> hold;  // spinning: who must run before it does
  unsigned spins = 0;              // since it last waited, or since the clock last jumped
  std::uint64_t priority = 0;      // for PCT

 private:
  struct Local {
    const void* key;
    void* value;
    void (*destroy)(void*);
  };
  // The C++ runtime's record of the exceptions in flight, which is per OS thread; Itanium C++ ABI,
  // section 2.2.2.
  struct ExceptionState {
    void* caught = nullptr;
    unsigned int uncaught = 0;
  };

  void run();
  void swap_exception_state() noexcept;

  const std::uint32_t number_;
  const std::string name_;
  std::function<void()> body_;
  bool ended_ = false;
  std::vector<std::unique_ptr<Local>> locals_;
  ExceptionState exceptions_;
  boost::context::fiber inside_;   // this fiber, while it is suspended
  boost::context::fiber outside_;  // resume()'s caller, while this fiber runs
};

}  // namespace quire::sync::sim

#endif  // QUIRE_SYNC_SIM_FIBER_H_
