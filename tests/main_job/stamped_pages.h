// A file whose pages all threads overwrite at the same time, whole pages at a time, each filled
// with one word that tells who wrote it, when, and for which page. A read must find every page
// whole: all of one write or all of another, never half of each, and never another page's bytes.
#ifndef QUIRE_TESTS_MAIN_JOB_STAMPED_PAGES_H_
#define QUIRE_TESTS_MAIN_JOB_STAMPED_PAGES_H_

#include <cstdint>
#include <string>

#include "main_job/worker.h"

namespace quire::main_job {

// Throws Failure unless each whole page in `bytes`, which were read at `offset`, is whole.
void check_stamped_pages(const std::string& path, ConstBytes bytes, std::uint64_t offset);

// Fills the file for the first time.
void make_stamped_pages(Worker& worker, const FilePair& file, std::uint64_t pages);

// One thread's part. Checks what it reads if `check`: the kernel's own reads are not atomic.
void change_stamped_pages(Worker& worker, const FilePair& file, unsigned thread,
                          std::uint64_t pages, bool check, Rng rng, const Stop& stop);

}  // namespace quire::main_job

#endif  // QUIRE_TESTS_MAIN_JOB_STAMPED_PAGES_H_
