// What tests that choose who runs when share: a thread that starts or the test ends, and a limit that passes.
#ifndef QUIRE_SYNC_TEST_THREADS_H_
#define QUIRE_SYNC_TEST_THREADS_H_

#include <chrono>
#include <functional>
#include <utility>

#include "sync/clock.h"
#include "sync/thread.h"
#include "sync/wait.h"

namespace quire::sync {

inline Thread start_thread(const char* name, std::function<void()> body) {
  return std::move(Thread::start(name, std::move(body)).value());
}

inline WaitLimit within_a_second() {
  return {.deadline = deadline_after(std::chrono::seconds(1)), .stop = {}};
}

}  // namespace quire::sync

#endif  // QUIRE_SYNC_TEST_THREADS_H_
