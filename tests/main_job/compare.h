// The last word: the target's tree as the host has it, beside the copy. Size, bytes, permission
// bits, links, and the modification time that the target's stat() showed; and neither tree holds a
// file that the other lacks.
#ifndef QUIRE_TESTS_MAIN_JOB_COMPARE_H_
#define QUIRE_TESTS_MAIN_JOB_COMPARE_H_

#include <cstdint>
#include <string>

#include "main_job/job.h"
#include "main_job/plan.h"
#include "main_job/progress.h"

namespace quire::main_job {

struct Comparison {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};

// Throws Failure at the first difference.
Comparison compare_trees(const Plan& plan, const Stamps& stamps, const std::string& root,
                         const std::string& copy_root, Progress& progress, const Stop& stop);

// Changes one byte of one file below `root` and restores its stamps, to show that compare_trees()
// finds it. Returns the path.
std::string flip_a_byte(const Plan& plan, const std::string& root);

}  // namespace quire::main_job

#endif  // QUIRE_TESTS_MAIN_JOB_COMPARE_H_
