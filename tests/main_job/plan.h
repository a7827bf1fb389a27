// What the job will do, worked out beforehand from the source tree and a seed: which files, how
// large each is after each round, which range of a file belongs to which thread.
//
// The trick that lets four threads change a file at once and still makes every byte predictable:
// in each round a file below some offset T is divided, at offsets aligned to nothing, into one
// strip for each thread, and one thread also owns everything from T on. Only the owner writes a
// strip, only the owner of the tail changes the size, and never to less than T. Neighbouring strips
// share pages, so the threads meet inside the cache on nearly every page that matters, and yet the
// owner always knows what its strip must read as.
#ifndef QUIRE_TESTS_MAIN_JOB_PLAN_H_
#define QUIRE_TESTS_MAIN_JOB_PLAN_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "main_job/failure.h"
#include "quire/store.h"

namespace quire::main_job {

inline constexpr int kRounds = 2;

struct PlannedFile {
  std::string path;  // relative, the same below the source and both targets
  std::string link;  // a second name, "" if it has none
  std::uint32_t mode = 0600;
  TimeSpec mtime;  // of the source
  // size[0] as written first, size[r] after round r.
  std::array<std::uint64_t, kRounds + 1> size_bytes{};
  // Opened with O_SYNC or O_DSYNC in the last round.
  bool synchronous = false;
};

// Files that are open at the same time: [first, last) of Plan::files.
struct Group {
  std::size_t first = 0;
  std::size_t last = 0;
  std::uint64_t bytes = 0;
};

struct Plan {
  std::string source;
  std::uint64_t seed = 1;
  unsigned threads = 4;
  std::vector<PlannedFile> files;
  std::vector<Group> groups;
  std::uint64_t source_bytes = 0;
  std::uint64_t record_bytes = 0;   // appended to each file of records, about
  std::uint64_t stamped_pages = 0;  // in the file of stamped pages
  std::uint64_t disk_bytes = 0;     // that one copy of the tree takes at its largest
};

// Walks `source` and takes files until they hold `size_bytes`. Which ones depends on their paths,
// their sizes and the seed only: first some of the largest that are still a small part of the
// whole, then whatever comes. Throws Failure if the tree holds less.
Plan make_plan(const std::string& source, std::uint64_t size_bytes, unsigned threads,
               std::uint64_t seed, const Stop& stop);

// How file `index` is divided in `round` (1 to kRounds).
struct Division {
  std::uint64_t tail = 0;  // T
  unsigned tail_owner = 0;
  std::vector<std::uint64_t> strips;  // threads + 1 offsets, 0 to T
};
Division divide(const Plan& plan, std::size_t index, int round);

// One operation of the tail's owner; `end` is the file's size before it.
struct TailOp {
  enum class Kind { kTruncate, kWrite, kAppend } kind = Kind::kTruncate;
  std::uint64_t offset = 0;  // of a write; the new size for kTruncate
  std::uint64_t length = 0;
  std::uint64_t end = 0;
  bool asynchronous = false;

  std::uint64_t end_after() const;
};
std::vector<TailOp> tail_ops(const Plan& plan, std::size_t index, int round);

}  // namespace quire::main_job

#endif  // QUIRE_TESTS_MAIN_JOB_PLAN_H_
