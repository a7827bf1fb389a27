// Runs one function on several threads and waits for them. The first Failure among them is thrown
// again here, after the others have been told to stop and have left.
#ifndef QUIRE_TESTS_MAIN_JOB_THREADS_H_
#define QUIRE_TESTS_MAIN_JOB_THREADS_H_

#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "main_job/failure.h"

namespace quire::main_job {

template <class Function>
void run_on_threads(unsigned count, Stop& stop, Function function) {
  std::mutex mutex;
  std::exception_ptr first;
  {
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < count; ++t) {
      threads.emplace_back([&, t] {
        try {
          function(t);
        } catch (const std::exception&) {
          const std::lock_guard lock(mutex);
          if (!first) {
            first = std::current_exception();
          }
          stop.give_up();
        }
      });
    }
  }
  if (first) {
    std::rethrow_exception(first);
  }
}

}  // namespace quire::main_job

#endif  // QUIRE_TESTS_MAIN_JOB_THREADS_H_
