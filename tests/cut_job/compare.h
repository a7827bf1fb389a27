// The last word on a file that nobody changes any more: every byte of it, beside what it must hold.
#ifndef QUIRE_TESTS_CUT_JOB_COMPARE_H_
#define QUIRE_TESTS_CUT_JOB_COMPARE_H_

#include <cstdint>
#include <functional>
#include <string>

#include "cut_job/job_file.h"
#include "main_job/failure.h"

namespace quire::cut_job {

// Reads at an offset into the buffer, as much as there is.
using ReadAt = std::function<std::size_t(Bytes, std::uint64_t)>;

// Throws Failure at the first difference, which it calls one `where`. Returns the bytes compared.
std::uint64_t compare(const JobFile& file, const std::string& where, std::uint64_t size_bytes,
                      const ReadAt& read, const main_job::Stop& stop);

}  // namespace quire::cut_job

#endif  // QUIRE_TESTS_CUT_JOB_COMPARE_H_
