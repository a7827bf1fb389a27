// The cuts section's job: under each locking strategy in turn, a cache with a budget smaller than the files,
// and two rounds of
//
//   work      writers, a cutter for each file and readers, all at once; whoever reads checks every byte of
//             what he gets against what the file may hold at that moment (pages_zone.h, bytes_zone.h, tail.h)
//   compare   every byte, as read through the cache, then, after a sync, as the host has it, beside
//             what the model says
//
// From one round to the next the cutters and an appender take turns at the ends of the files. The files
// are made once and carried on from strategy to strategy, each in a new cache.
#ifndef QUIRE_TESTS_CUT_JOB_JOB_H_
#define QUIRE_TESTS_CUT_JOB_JOB_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cut_job/worker.h"
#include "main_job/target.h"
#include "quire/options.h"

namespace quire::cut_job {

struct JobOptions {
  std::uint64_t size_bytes = 0;
  std::uint64_t memory_bytes = 0;
  unsigned writers = 2;
  unsigned readers = 2;
  double seconds = 0;  // of work under each strategy
  std::uint64_t seed = 1;
  bool corrupt = false;  // a byte behind the job's back, before the last comparison
};

struct NamedLocking {
  const char* name;
  Locking locking;
};
inline constexpr NamedLocking kLockings[] = {{"gate", Locking::kGate},
                                             {"range", Locking::kRange},
                                             {"invalidate", Locking::kInvalidate},
                                             {"inode", Locking::kInode}};

// What was done under one strategy.
struct StrategyResult {
  Counts counts;
  std::uint64_t compared_bytes = 0;  // through the cache
  std::uint64_t on_host_bytes = 0;
  std::uint64_t direct_fallbacks = 0;
  double seconds = 0;
};

class Job {
 public:
  // `root` is an empty directory.
  Job(const JobOptions& options, std::string root, Stop& stop);

  // Finds out what the store can, and makes the files. Throws Failure, as run() does.
  Abilities prepare();
  // Whether the host's files can be read and written directly.
  bool host_is_direct() const;
  StrategyResult run(const NamedLocking& strategy, bool last);

 private:
  class OpenCache;

  Abilities try_out(Cache& cache) const;
  void make_file(Cache& cache, JobFile& file) const;
  void run_round(Cache& cache, std::uint64_t number, StrategyResult& result);
  void make_ready(Cache& cache, const Round& round);
  void work(const Round& round, StrategyResult& result);
  void compare_all(Cache& cache, StrategyResult& result, bool corrupt);
  void flip_a_byte() const;

  const JobOptions options_;
  const std::string root_;
  Stop& stop_;
  const std::uint64_t tail_pages_;
  Files files_;
  Abilities abilities_;
  std::uint64_t rounds_ = 0;
};

}  // namespace quire::cut_job

#endif  // QUIRE_TESTS_CUT_JOB_JOB_H_
