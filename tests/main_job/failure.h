// How the main job gives up: one exception, whose text becomes the last line of the output. The
// first one thrown on any thread is the one reported; the others see that the job is over and
// leave.
#ifndef QUIRE_TESTS_MAIN_JOB_FAILURE_H_
#define QUIRE_TESTS_MAIN_JOB_FAILURE_H_

#include <atomic>
#include <stdexcept>
#include <stop_token>
#include <string>

namespace quire::main_job {

class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Tells every thread of the job that it is over: after a signal, or after somebody's failure. Its
// token goes into each call of the library, so that no wait outlives the job.
class Stop {
 public:
  // For a signal: the job reports "interrupted", whatever else fails because of it.
  void interrupt() {
    interrupted_.store(true);
    source_.request_stop();
  }
  void give_up() { source_.request_stop(); }

  bool interrupted() const { return interrupted_.load(); }
  std::stop_token token() const { return source_.get_token(); }

  void check() const {
    if (source_.stop_requested()) {
      throw Failure("interrupted");
    }
  }

 private:
  std::atomic<bool> interrupted_{false};
  std::stop_source source_;
};

}  // namespace quire::main_job

#endif  // QUIRE_TESTS_MAIN_JOB_FAILURE_H_
