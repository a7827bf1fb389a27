// The program of operations: the phases of the main job, applied to one target, or to one target
// and step by step to a copy of the tree that is reached through the kernel.
//
//   write     every file is made and filled from the source, in pieces of random size and order
//   that
//             the threads take from a common heap
//   change r  kRounds times: every thread rewrites and reads its strip of each file, in plain,
//             vectored and submitted form, through either name of the file; the tail's owner cuts,
//             extends and appends meanwhile (plan.h)
//   records   all threads append to two shared files and read along (records.h)
//   stamped   all threads overwrite the same pages and see each page whole (stamped_pages.h)
//   stamps    a last small write to each file, then stat() or set_times()
//   sync      everything to the disk
//
// With a copy each read is compared with what the copy holds. Without one the same operations are
// done and nothing is compared: that is how speed is measured.
#ifndef QUIRE_TESTS_MAIN_JOB_JOB_H_
#define QUIRE_TESTS_MAIN_JOB_JOB_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "main_job/plan.h"
#include "main_job/progress.h"
#include "main_job/target.h"

namespace quire::main_job {

// The stamps that the target's stat() showed last, one for each file of the plan.
using Stamps = std::vector<Stamp>;

struct JobResult {
  std::uint64_t written_bytes = 0;
  std::uint64_t read_bytes = 0;
  double seconds = 0;
  Stamps stamps;
  // With a copy: files that were kept open over the sync. To be closed after the comparison.
  std::vector<std::unique_ptr<TargetFile>> open_files;
};

// What the phases of one run_job() announce to Progress, in all.
std::uint64_t job_work_bytes(const Plan& plan);

// Makes the tree's directories, then runs all phases. `copy` may be null. Throws Failure.
JobResult run_job(const Plan& plan, const std::string& name, Target& target, Target* copy,
                  Progress& progress, Stop& stop);

}  // namespace quire::main_job

#endif  // QUIRE_TESTS_MAIN_JOB_JOB_H_
