// A thread that reads everywhere, by both paths and at odd offsets, and checks every byte, whatever is done
// to the files meanwhile.
#ifndef QUIRE_TESTS_CUT_JOB_READER_H_
#define QUIRE_TESTS_CUT_JOB_READER_H_

#include "cut_job/worker.h"

namespace quire::cut_job {

class Reader final : public Worker {
 public:
  Reader(const Round& round, std::uint64_t number) : Worker(round, number) {}
  void run();

 private:
  void read_somewhere();
  // A place in one of the parts of the file, each as often as the others.
  std::uint64_t somewhere_in(const JobFile& file);
};

}  // namespace quire::cut_job

#endif  // QUIRE_TESTS_CUT_JOB_READER_H_
