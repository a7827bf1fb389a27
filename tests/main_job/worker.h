// One thread's share of the job: its buffers, its counters, and each operation done to the target
// and, where there is one, to the copy.
#ifndef QUIRE_TESTS_MAIN_JOB_WORKER_H_
#define QUIRE_TESTS_MAIN_JOB_WORKER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "main_job/rng.h"
#include "main_job/target.h"

namespace quire::main_job {

inline constexpr std::size_t kPieceMaxBytes = std::size_t{1} << 19;

// Random bytes to write. A piece of it is named by where it begins, so no two writes of any length
// are likely to hold the same bytes, and making them costs nothing.
class Pool {
 public:
  explicit Pool(std::uint64_t seed);
  ConstBytes slice(Rng& rng, std::size_t length) const;

 private:
  std::vector<std::byte> bytes_;
};

// A file in both places. `copy` is null when nothing is compared.
struct FilePair {
  TargetFile* target = nullptr;
  TargetFile* copy = nullptr;
  const std::string* path = nullptr;
};

class Worker {
 public:
  explicit Worker(const Pool& pool)
      : pool_(pool), ours_(2 * kPieceMaxBytes), theirs_(2 * kPieceMaxBytes) {}

  void write(const FilePair& file, ConstBytes bytes, std::uint64_t offset);
  // Reads [offset, offset + length) and compares [own_begin, own_end) of it with the copy; both
  // reads must move `expected` bytes.
  void read(const FilePair& file, std::uint64_t offset, std::size_t length, std::size_t expected,
            std::uint64_t own_begin, std::uint64_t own_end);
  // The same where all that is read is this thread's own.
  void read(const FilePair& file, std::uint64_t offset, std::size_t length) {
    read(file, offset, length, length, offset, offset + length);
  }
  // In pieces of random length.
  void writev(const FilePair& file, ConstBytes bytes, std::uint64_t offset, Rng& rng);
  void readv(const FilePair& file, std::uint64_t offset, std::size_t length, Rng& rng);
  // Several disjoint writes to [begin, end) in flight together, then reads of the same.
  void submit(const FilePair& file, std::uint64_t begin, std::uint64_t end, Rng& rng);
  // Throws Failure unless the target shows `size`.
  void expect_size(const FilePair& file, std::uint64_t size) const;

  const Pool& pool() const { return pool_; }
  Bytes scratch() { return ours_; }
  Bytes other_scratch() { return theirs_; }

  std::uint64_t written_bytes = 0;
  std::uint64_t read_bytes = 0;

 private:
  void compare(const FilePair& file, std::uint64_t offset, std::uint64_t own_begin,
               std::uint64_t own_end) const;

  const Pool& pool_;
  std::vector<std::byte> ours_;
  std::vector<std::byte> theirs_;
};

}  // namespace quire::main_job

#endif  // QUIRE_TESTS_MAIN_JOB_WORKER_H_
