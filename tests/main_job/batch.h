// Requests given to TargetFile::submit and not yet known to be done. Each must complete exactly
// once.
//
// Owned by one thread; completions come from any. The destructor waits, since buffers must outlive
// the requests.
#ifndef QUIRE_TESTS_MAIN_JOB_BATCH_H_
#define QUIRE_TESTS_MAIN_JOB_BATCH_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <string>

#include "main_job/target.h"

namespace quire::main_job {

class Batch {
 public:
  Batch() = default;
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;
  ~Batch();

  // `moved` is the number of bytes that the request must report.
  void submit(TargetFile& file, Op op, std::size_t moved);
  // Throws Failure for the first request that failed, moved another number of bytes or completed
  // more than once.
  void wait();

 private:
  struct Request {
    std::size_t moved = 0;
    int completions = 0;
  };

  void wait_for_all();

  std::mutex mutex_;
  std::condition_variable done_;
  // Guarded by mutex_. A deque: requests do not move while completions point to them.
  std::deque<Request> requests_;
  std::size_t outstanding_ = 0;
  std::string problem_;
};

}  // namespace quire::main_job

#endif  // QUIRE_TESTS_MAIN_JOB_BATCH_H_
