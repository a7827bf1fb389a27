// What ends a job from outside: SIGINT, SIGTERM and SIGHUP, waited for on a thread of its own; every
// other thread has them blocked.
//
// Who makes one: main(), before any other thread.
#ifndef QUIRE_TESTS_MAIN_JOB_INTERRUPT_H_
#define QUIRE_TESTS_MAIN_JOB_INTERRUPT_H_

#include <signal.h>

#include <atomic>
#include <ctime>
#include <exception>
#include <optional>
#include <string>
#include <thread>

#include "main_job/failure.h"

namespace quire::main_job {

class SignalWatch {
 public:
  explicit SignalWatch(Stop& stop) {
    sigset_t set;
    ::sigemptyset(&set);
    for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
      ::sigaddset(&set, signal);
    }
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    // A shell has its background jobs ignore SIGINT, and what is ignored is not waited for.
    ::signal(SIGINT, SIG_DFL);
    thread_ = std::jthread([this, set, &stop] {
      const timespec slice{0, 200'000'000};
      while (!over_) {
        if (::sigtimedwait(&set, nullptr, &slice) > 0) {
          stop.interrupt();
        }
      }
    });
  }
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;
  ~SignalWatch() { over_ = true; }

 private:
  std::atomic<bool> over_{false};
  std::jthread thread_;
};

// Why job(stop) failed, or nothing.
template <class Job>
std::optional<std::string> run_until_stopped(Job&& job) {
  Stop stop;
  const SignalWatch signals(stop);
  std::optional<std::string> failure;
  try {
    job(stop);
  } catch (const std::exception& error) {
    failure = error.what();
  }
  if (stop.interrupted()) {
    failure = "interrupted";
  }
  return failure;
}

}  // namespace quire::main_job

#endif  // QUIRE_TESTS_MAIN_JOB_INTERRUPT_H_
